"""What knows Locust: how a locustfile's users send, how a run begins, is judged and ends.

A locustfile makes its user a `trafficsplit.locust.user.SplitUser`, names what to send, and gets the
rest: options, counts by variant in Locust's own statistics, the verdict at the end of the run and,
headless, the exit code. Importing `trafficsplit.locust.user` registers with Locust's events and
brings gevent's patches with it, so that belongs into a locustfile only.

    process → child → lifecycle → session → sending, judging, fleet
"""
