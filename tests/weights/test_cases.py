"""What a manifest gives to a request, beside what a real istiod made of it (tests/cases)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import ROOT
from trafficsplit.errors import InputError
from trafficsplit.weights.manifests import read_documents, route_of
from trafficsplit.weights.probe import probe_of
from trafficsplit.weights.routes import Probe, Route

CASES = ROOT / "tests" / "cases"
FOUND: list[dict[str, Any]] = json.loads((CASES / "istiod.json").read_text("utf-8"))


def name_of(case: dict[str, Any]) -> str:
    request = case["request"]
    return f"{case['file']} {request['scheme']}://{request['host']}{request['path']}"


def probe(case: dict[str, Any]) -> Probe:
    """Return the request of a case, as `verify --host --path --header` means it."""
    request = case["request"]
    host = request["host"]
    if "port" in request and ":" not in host:
        host = f"{host}:{request['port']}"
    url = f"{request['scheme']}://{host}"
    return probe_of([url], request["path"], request.get("headers", {}))


def shares_of(route: Route, expected: dict[str, float]) -> dict[str, float]:
    """Return the shares of destinations, named as a case names them."""
    total = sum(destination.weight for destination in route.destinations)
    shares: dict[str, float] = {}
    for destination in route.destinations:
        plain = destination.host + (f"/{destination.subset}" if destination.subset else "")
        names = (f"{plain}:{destination.port}", plain)
        name = next((one for one in names if one in expected), names[0])
        shares[name] = shares.get(name, 0.0) + destination.weight / total
    return {name: share for name, share in shares.items() if share}


def without_namespaces(shares: dict[str, float]) -> dict[str, float]:
    """Return shares by names without namespaces and ports, as long as they are told apart."""
    plain: dict[str, float] = {}
    for name, share in shares.items():
        host, slash, subset = name.partition(":")[0].partition("/")
        plain[f"{host.split('.')[0]}{slash}{subset}"] = share
    return plain if len(plain) == len(shares) else shares


@pytest.mark.parametrize("case", FOUND, ids=name_of)
def test_it_is_what_istiod_makes_of_it(case: dict[str, Any]) -> None:
    expected = {name: share for name, share in case.get("expected", {}).items() if share}
    found: dict[str, float] = {}
    line = ""
    try:
        documents = read_documents(str(CASES / "manifests" / case["file"]))
        found = shares_of(route_of(documents, probe(case)), expected)
    except InputError as error:
        line = str(error)
    if line:
        # A line that asks is right where a file need not tell.
        assert not expected or case.get("either"), line
        assert len(line.splitlines()) == 1
    elif not case.get("either"):
        assert expected, f"{found}, and istiod says {case['error']}"
    if found and expected:
        plain = without_namespaces(expected)
        assert without_namespaces(found) == pytest.approx(plain, abs=1e-4)
