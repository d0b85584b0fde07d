"""Counting begins when the gateway answers.

Tests that counted before the route was in force, and retried until one try passed, are the flaky
ones (DESIGN.md 6). So wait until the gateway gives one good answer, discard it, then judge once.
"""

from __future__ import annotations

import time

import requests
import urllib3

from trafficsplit.settings.load import ConnectionSettings, RequestSettings

PATIENCE = 3.0  # seconds
PAUSE = 0.2


def why_not_ready(
    host: str,
    request: RequestSettings,
    connection: ConnectionSettings,
    patience: float = PATIENCE,
) -> str:
    """Wait for a 2xx answer; return what came instead, in one sentence, empty where one came."""
    deadline = time.monotonic() + patience
    with requests.Session() as session:
        session.trust_env = False  # the gateway is asked as the load asks it: no proxy, no netrc
        session.headers.update(request.headers)
        session.verify = connection.ca_file or True
        if connection.insecure:
            session.verify = False
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        while True:
            left = deadline - time.monotonic()
            reason = _why_not(session, host, request.path, min(max(left, 0.5), 2.0))
            if not reason or time.monotonic() + PAUSE > deadline:
                return reason
            time.sleep(PAUSE)


def _why_not(session: requests.Session, host: str, path: str, timeout: float) -> str:
    try:
        with session.get(
            host + path, timeout=timeout, allow_redirects=False, stream=True
        ) as response:
            status = response.status_code
            target = response.headers.get("location", "")
    except requests.exceptions.SSLError as error:
        return (
            f"{host} has no certificate to trust ({_cause(error)}): give --ca-file, or do not "
            "check it, with --insecure."
        )
    except requests.exceptions.Timeout:
        return f"{host} does not answer: nothing came within {timeout:.0f} seconds."
    except (OSError, UnicodeError) as error:  # requests' own among them
        return f"{host} cannot be reached ({_cause(error)}): check the address, and that it is up."
    if 200 <= status < 300:
        return ""
    return f"{host}{path} {_of_status(status, target)}"


def _of_status(status: int, target: str) -> str:
    """Return what a status that is not 2xx means here."""
    if 300 <= status < 400:
        return f"redirects to {target or 'nowhere'}: give that as --host or --path."
    if status == 404:
        return "answers 404: does its route match this path and host?"
    if status >= 500:
        return f"answers {status}: is a variant behind it up?"
    return f"answers {status}: a request without anything special is refused."


def _cause(error: BaseException) -> str:
    """Return the innermost reason, in its own few words."""
    causes = [error]
    while causes[-1].__cause__ or causes[-1].__context__:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)  # type: ignore[arg-type]
    innermost = causes[-1]
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return str(innermost).splitlines()[0] if str(innermost) else type(innermost).__name__
