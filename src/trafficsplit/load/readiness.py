"""The wait for a gateway's first good answer, before anything is counted.

A test that counts before the route is in force, and is retried until one try passes, is flaky
(DESIGN.md 6). So one good answer is awaited and discarded, and then the gateway is judged once.
"""

from __future__ import annotations

import logging
import time

import requests
import urllib3

from trafficsplit.settings.load import ConnectionSettings, RequestSettings

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
            reason = _why_not(session, host, request.path, timeout)
            if not reason:
                log.info("%s is ready", host)
                return ""
            log.debug("not ready: %s", reason)
            if time.monotonic() + PAUSE > deadline:
                return reason
            time.sleep(PAUSE)


def _why_not(session: requests.Session, host: str, path: str, timeout: float) -> str:
    """Try once; return what came instead of a 2xx answer, empty where one came."""
    try:
        with session.get(
            host + path, timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            status = response.status_code
            location = response.headers.get("location", "")
    except requests.exceptions.SSLError as error:
        return (
            f"{host} has no certificate to trust ({_cause(error)}): give --ca-file, or do not "
            "check it, with --insecure."
        )
    except requests.exceptions.Timeout:
        return f"{host} does not answer: nothing came within {timeout:.1g} seconds."
    except (OSError, ValueError) as error:  # those of requests and of urllib3 among them
        return f"{host} cannot be reached ({_cause(error)}): check the address, and that it is up."
    if 200 <= status < 300:
        return ""
    return f"{host}{path} {_meaning(status, location)}"


def _meaning(status: int, location: str) -> str:
    """Return what a status that is not 2xx means here, and the way out."""
    if 300 <= status < 400:
        return f"redirects to {location or 'nowhere'}: give that as --host or --path."
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
