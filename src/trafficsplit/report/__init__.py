"""What a run found, for people and for machines.

document    the verdict document: the type of verdict.json, from a run and its judgement
pipelines   the document as JUnit, Markdown and annotations
page        report.html; intervals is one of its pictures
plots       PNGs of a run, if they are asked for; plan_plot draws a plan's, drawing is their style
run_files   run.json, tally.csv, latency.csv, gateways.csv
directory   where all of it goes, whole or not at all
publish     the order: the verdict first, the decoration after it
"""
