"""How requests are sent and counted inside Locust.

A locustfile makes its user a `SplitUser`, names what to send, and gets the rest: options, counts by
variant in Locust's own statistics, the verdict at the end of the run and, headless, the exit code.

Importing this package registers with Locust's events, so it belongs into a locustfile only.
"""

from load.harness import register
from load.user import SplitUser

__all__ = ["SplitUser"]

register()
