"""What exists already: recordings, access logs, bare counts, Prometheus → a run.

parts           recordings, in constant memory
access_log      lines of logs; destinations says which variant a request went to
prometheus      counters → a tally
batches         what all requests come down to, as in a live run; replay looks at them in order
runs            any of these → a run with its verdict
inquiry         chooses among them, by what `analyze` is asked
"""
