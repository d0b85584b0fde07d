"""The formats in which the lab's gateway logs: those that `analyze` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trafficsplit.lab.access_log import FORMATS, ISTIO, JSON, access_log
from trafficsplit.offline.access_log import parse_line

VALUES = {
    "%START_TIME%": "2026-11-24T10:20:12.415Z",
    "%REQ(:METHOD)%": "GET",
    "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%": "/color",
    "%PROTOCOL%": "HTTP/1.1",
    "%RESPONSE_CODE%": "200",
    "%DURATION%": "7",
    "%UPSTREAM_HOST%": "10.0.0.7:8080",
    "%UPSTREAM_CLUSTER%": "outbound|8000|green-sub|color-service.default.svc.cluster.local",
}


def filled(text: str) -> str:
    """Return a line as Envoy writes it: `-` for what is not known."""
    parts = text.split("%")
    for index in range(1, len(parts), 2):
        parts[index] = VALUES.get(f"%{parts[index]}%", "-")
    return "".join(parts)


def test_without_a_format_nothing_is_logged() -> None:
    assert access_log("", Path("access.log")) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_log_goes_into_its_file(kind: str) -> None:
    (log,) = access_log(kind, Path("access.log"))
    assert log["name"] == "envoy.access_loggers.file"
    assert log["typed_config"]["path"] == "access.log"
    assert ("log_format" in log["typed_config"]) == (kind != "envoy")


@pytest.mark.parametrize("line", [filled(ISTIO), filled(json.dumps(JSON))])
def test_what_it_writes_is_what_analyze_reads(line: str) -> None:
    request = parse_line(line.rstrip("\n"))
    assert request is not None
    assert request.cluster == VALUES["%UPSTREAM_CLUSTER%"]
    assert (request.path, request.status, request.duration) == ("/color", "200", "7")
    assert request.time == VALUES["%START_TIME%"]
