"""The Color application: a page in the colour that the environment variable COLOR names.

Deployed twice, with COLOR=blue and COLOR=green, it shows to people and machines which release
answered. Every path has the same page: title, description, colour, host name and the request as it
arrived, all escaped. The cookie `color`, which lives for one hour, comes with it.

    COLOR=green python app.py            # http://localhost:8080/
    COLOR=green PORT=9000 python app.py
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import jinja2
import uvicorn
from coloraide import Color as CssColor

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TITLE = "Color"
DESCRIPTION = (
    "This container reads COLOR from its environment and paints the page with it. "
    "It sets the cookie color, which lives for one hour."
)
HOUR = 3600  # seconds

log = logging.getLogger("color")


def checked_color(value: str | None) -> str:
    """Return the colour of this release.

    Raises ValueError, with one line for a person, where `value` is missing or is no CSS colour.
    A colour that depends on the page around it (currentcolor) is refused too.
    """
    color = (value or "").strip()
    if not color:
        raise ValueError("COLOR is not set: say which colour to show, e.g. COLOR=green")
    try:
        CssColor(color)
    except ValueError:
        message = f"COLOR={color!r} is not a CSS colour: try a name (green) or #008000"
        raise ValueError(message) from None
    return color


class Color:
    """The ASGI application. `color` must have passed `checked_color`."""

    def __init__(self, color: str, hostname: str) -> None:
        template = Path(__file__).with_name("response.html").read_text("utf-8")
        self._template = jinja2.Environment(autoescape=True).from_string(template)
        self._page = {
            "title": TITLE,
            "description": DESCRIPTION,
            "color": color,
            "hostname": hostname,
        }
        # A cookie's value may have commas and blanks, as in rgb(0, 128, 0), only in quotes.
        value = color if color.isalnum() else f'"{color}"'
        self._cookie = f"color={value}; Max-Age={HOUR}; Path=/".encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with the page."""
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass  # only after the end of a body can the connection be used again
        dump = request_dump(scope)
        log.info("%s", dump.splitlines()[0])
        log.debug("%s", dump)
        page = self._template.render(self._page, request=dump).encode()
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", b"%d" % len(page)),
            (b"cache-control", b"no-store"),
            (b"set-cookie", self._cookie),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else page
        await send({"type": "http.response.body", "body": body})


def request_dump(scope: Scope) -> str:
    """Return method, path and headers of a request, as they came over the wire."""
    path = scope["raw_path"]
    if scope["query_string"]:
        path += b"?" + scope["query_string"]
    lines = [b"%s %s HTTP/%s" % (scope["method"].encode(), path, scope["http_version"].encode())]
    for header in scope["headers"]:
        lines.append(b"%s: %s" % header)
    return b"\n".join(lines).decode("latin-1")


class Server(uvicorn.Server):
    """Uvicorn that stops on SIGTERM at once and without a traceback, as a container should."""

    def __init__(self, app: Color) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,  # the application logs the request itself
            log_level="warning",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
            # The gateway is to end idle connections. If the application did, a request would now
            # and then be sent into the end of one, and be answered with a 503.
            timeout_keep_alive=3600,
        )
        super().__init__(config)


def listening_socket() -> socket.socket:
    """Return the socket to listen on: port 8080 of every address, or $HOST and $PORT.

    $LISTEN_FD is a socket that is inherited: the lab binds a port itself, so that no other process
    can take it in between. Raises ValueError, with one line for a person.
    """
    if fd := os.environ.get("LISTEN_FD"):
        return socket.socket(fileno=int(fd))
    port = os.environ.get("PORT", "8080")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"PORT={port!r} is not a port: give a number from 0 to 65535")
    host = os.environ.get("HOST", "")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=2048)
    except OSError as error:
        raise ValueError(
            f"cannot listen on {host or '*'}:{port}: {error.strerror or error}"
        ) from error


def main() -> int:
    """Serve until SIGTERM; return 0, or 2 with one line on standard error."""
    try:
        app = Color(checked_color(os.environ.get("COLOR")), socket.gethostname())
        listener = listening_socket()
    except ValueError as error:
        print(f"color: {error}", file=sys.stderr)
        return 2
    level = os.environ.get("LOG_LEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        print(f"color: LOG_LEVEL={level!r} is none: try INFO or WARNING", file=sys.stderr)
        return 2
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    server = Server(app)
    config = server.config
    config.load()
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
