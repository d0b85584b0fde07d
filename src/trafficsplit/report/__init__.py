"""What a run found, for people and for machines.

document    the verdict document: the type of verdict.json, from a run and its judgement
pipelines   the document as JUnit, Markdown and annotations
page        report.html; plots draws PNGs, where they are asked for
run_files   run.json, tally.csv, latency.csv
directory   where all of it goes, whole or not at all
publish     the order: the verdict first, the decoration after it
"""
