"""The wait for a gateway's first good answer, before anything is counted.

A test that counts before the route is in force, and is retried until one try passes, is flaky
(DESIGN.md 6). So one good answer is awaited and discarded, and then the gateway is judged once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import requests
import urllib3

from trafficsplit.settings.load import ConnectionSettings, RequestSettings

# What some refusals mean, with the way out.
MEANINGS = {
    401: "it wants to know who asks: give --header 'Authorization: …'",
    403: "it forbids this request: give --header with what it wants, or another --path",
    405: "it takes no GET there: give another --path",
    407: "a proxy wants to know who asks: give --header 'Proxy-Authorization: …'",
    429: "these are too many requests for it, before the first one: ask later, with --rate",
}
PATIENCE = 3.0  # seconds
PAUSE = 0.2  # seconds between two tries
SHORTEST_TRY = 0.5  # seconds
LONGEST_TRY = 2.0  # seconds

log = logging.getLogger(__name__)


def why_not_ready(
    host: str,
    request: RequestSettings,
    connection: ConnectionSettings,
    patience: float = PATIENCE,
) -> str:
    """Wait for a 2xx answer; return what came instead, in one sentence, empty where one came.

    `patience` is in seconds.
    """
    deadline = time.monotonic() + patience
    with requests.Session() as session:
        session.trust_env = False  # no proxy and no netrc, as for the load
        session.headers.update(request.headers)
        session.verify = connection.ca_file or True
        if connection.insecure:
            session.verify = False
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        while True:
            left = deadline - time.monotonic()
            timeout = min(max(left, SHORTEST_TRY), LONGEST_TRY)
            reason, pause = _why_not(session, host, request.path, timeout)
            if not reason:
                log.info("%s is ready", host)
                return ""
            log.debug("not ready: %s", reason)
            if time.monotonic() + pause > deadline:
                return reason
            time.sleep(pause)


def _why_not(session: requests.Session, host: str, path: str, timeout: float) -> tuple[str, float]:
    """Try once; return what came instead of a 2xx answer, and the seconds until the next try.

    It is empty where a 2xx answer came. A gateway may say itself when to come again (RFC 9110,
    10.2.3).
    """
    try:
        with session.get(
            host + path, timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            status = response.status_code
            headers = response.headers
    except requests.exceptions.SSLError as error:
        if "certificate required" in str(error):
            return f"{host} asks for a certificate of the client's, which cannot be given.", PAUSE
        reason = (
            f"{host} has no certificate to trust ({_cause(error)}): give --ca-file, or do not "
            "check it, with --insecure."
        )
        return reason, PAUSE
    except requests.exceptions.Timeout:
        return f"{host} does not answer: nothing came within {timeout:.1g} seconds.", PAUSE
    except (OSError, ValueError) as error:  # those of requests and of urllib3 among them
        cause = _cause(error)
        return f"{host} cannot be reached ({cause}): check the address, and that it is up.", PAUSE
    if 200 <= status < 300:
        return "", 0.0
    again = headers.get("retry-after", "")
    pause = max(float(again), PAUSE) if again.isdecimal() else PAUSE
    return f"{host}{path} {_meaning(status, headers)}", pause


def _meaning(status: int, headers: Mapping[str, str]) -> str:
    """Return what a status that is not 2xx means here, and the way out."""
    if 300 <= status < 400:
        location = headers.get("location") or "nowhere"
        return f"redirects to {location}: give that as --host or --path."
    if status in MEANINGS:
        return f"answers {status}: {MEANINGS[status]}."
    if status == 404:
        return "answers 404: does its route match this path and host?"
    if status >= 500:
        return f"answers {status}: is a variant behind it up?"
    return f"answers {status}: a request without anything special is refused."


def _cause(error: BaseException) -> str:
    """Return the text of the exception that all the others were raised from."""
    innermost = error
    while cause := innermost.__cause__ or innermost.__context__:
        innermost = cause
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    lines = str(innermost).splitlines() or [type(innermost).__name__]
    return lines[0]
