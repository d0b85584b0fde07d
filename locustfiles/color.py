"""Request the page with the colour, again and again.

    locust -f locustfiles/color.py --host http://gateway --weight 25

Copy this file for an application of your own: say what to send, and `--variant-from` where its
responses name the variant that sent them.
"""

from trafficsplit.locust.user import Request, SplitUser


class ColorUser(SplitUser):
    """A person who reloads the page."""

    def request(self) -> Request:
        """Return what to send; each request is one draw from the split."""
        return Request(self.path)
