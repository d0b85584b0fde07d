"""The Color application: what it shows, what it escapes, what it refuses to start with."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import ROOT
from trafficsplit.identify.identifier import variant_of

APP = ROOT / "color" / "app.py"


def load_app() -> Any:
    # A program, not a package: it is loaded by its path, and under another name than `color`.
    spec = importlib.util.spec_from_file_location("color_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


app = load_app()


@contextmanager
def running(tmp_path: Path, **environment: str) -> Iterator[tuple[int, Path]]:
    """The application on a free port that we hold and hand over, and its log."""
    log = tmp_path / "color.log"
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("w") as output:
        os.set_inheritable(listener.fileno(), True)
        process = subprocess.Popen(
            [sys.executable, str(APP)],
            env={**os.environ, "LISTEN_FD": str(listener.fileno()), **environment},
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield listener.getsockname()[1], log
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            finally:
                process.kill()
    assert "Traceback" not in log.read_text()


def ask(port: int, path: str = "/color", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response, response.read()
        except OSError:
            assert time.monotonic() < deadline
        finally:
            connection.close()


def test_it_shows_its_color_and_the_request_and_sets_the_cookie(tmp_path: Path) -> None:
    with running(tmp_path, COLOR="green") as (port, log):
        response, body = ask(port, "/any/path?q=1", X_Test="hello")
        text = body.decode()
        assert response.status == 200
        assert variant_of(body, response.headers["content-type"]) == "green"
        assert "GET /any/path?q=1 HTTP/1.1" in text
        assert "x_test: hello" in text.lower()
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("color=green;")
        assert "Max-Age=3600" in cookie
    assert "GET /any/path?q=1" in log.read_text()


def test_what_a_client_sends_is_escaped(tmp_path: Path) -> None:
    attack = "</textarea><body style='background-color:red'>"
    with running(tmp_path, COLOR="blue") as (port, _):
        response, body = ask(port, "/color", Cookie=attack)
        assert attack not in body.decode()
        assert variant_of(body, response.headers["content-type"]) == "blue"


@pytest.mark.parametrize("value", [None, "", "  ", "nocolour", "rgb(", "url(x)", "green;x:y"])
def test_without_a_color_it_does_not_start_and_says_so_in_one_line(value: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "COLOR"}
    if value is not None:
        environment["COLOR"] = value
    result = subprocess.run(
        [sys.executable, str(APP)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "COLOR" in result.stderr


@pytest.mark.parametrize(("name", "value"), [("PORT", "x"), ("PORT", "70000"), ("LOG_LEVEL", "x")])
def test_other_settings_are_refused_in_one_line_too(name: str, value: str) -> None:
    environment = {**os.environ, "COLOR": "green", "PORT": "0", name: value}
    result = subprocess.run(
        [sys.executable, str(APP)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert name in result.stderr


def answer(color: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The body that the application gives, asked without a server."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/color",
        "query_string": b"",
        "http_version": "1.1",
        "headers": headers,
    }
    asyncio.run(app.Color(color, "host")(scope, receive, send))
    return bytes(sent[1]["body"])


@given(st.binary(max_size=100), st.sampled_from(["green", "#123456", "rgb(1, 2, 3)"]))
def test_no_header_changes_the_color_of_the_page(value: bytes, color: str) -> None:
    clean = answer(color, [])
    assert variant_of(answer(color, [(b"x", value)]), "text/html") == variant_of(clean, "text/html")
