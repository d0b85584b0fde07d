"""How requests are sent and counted inside Locust.

A locustfile makes its user a `load.user.SplitUser`, names what to send, and gets the rest: options,
counts by variant in Locust's own statistics, the verdict at the end of the run and, headless, the
exit code.

Importing `load.user` registers with Locust's events and brings gevent's patches with it, so that
belongs into a locustfile only; `load.counting` is free of Locust.
"""
