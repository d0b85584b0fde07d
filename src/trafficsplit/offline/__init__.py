"""What exists already: recordings, access logs, bare counts, Prometheus → a run.

parts, access_log, prometheus → batches → runs; inquiry chooses among them
"""
