"""The lab's translation beside what a real istiod makes of the same files (tests/cases)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.support.envoy_routes import Request, clusters_of
from trafficsplit.errors import InputError
from trafficsplit.lab.system import System, read_system
from trafficsplit.lab.translation import routes

CASES = ROOT / "tests" / "cases"
FEWEST = 30  # cases that the lab takes: fewer, and this proves little
Document = dict[str, Any]


def cases() -> list[Document]:
    """Return the cases whose request comes through a gateway, on its port for plain HTTP."""
    found = json.loads((CASES / "istiod.json").read_text("utf-8"))
    plain = []
    for case in found:
        request = case["request"]
        if "from" not in request and request["scheme"] == "http" and "port" not in request:
            plain.append(case)
    return plain


def system_of(file: str, directory: Path) -> System:
    """Return what the lab makes of a file, with what the file takes for granted beside it.

    Raises InputError where the lab refuses the file.
    """
    source = CASES / "manifests" / file
    try:
        documents = [one for one in YAML(typ="safe").load_all(source.read_bytes()) if one]
    except Exception as error:
        raise InputError(str(error)) from None
    beside = directory / "beside.json"
    items = list(_taken_for_granted([one for one in documents if isinstance(one, dict)]))
    beside.write_text("\n---\n".join(map(json.dumps, items)))
    return read_system([source, beside])


def _taken_for_granted(documents: list[Document]) -> Iterator[Document]:
    """Yield the Gateways, Services and DestinationRules that the documents speak of."""
    there = {(one.get("kind"), (one.get("metadata") or {}).get("name")) for one in documents}
    subsets: dict[str, set[str]] = {}
    ports: dict[str, set[int]] = {}
    for spec in _specs(documents):
        for name in spec.get("gateways") or ():
            if name != "mesh" and ("Gateway", name) not in there:
                there.add(("Gateway", name))
                server = {"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["*"]}
                yield _object("networking.istio.io/v1", "Gateway", name, {"servers": [server]})
        for destination in _destinations(spec):
            host = destination["host"].split(".")[0]
            subsets.setdefault(host, set()).update(filter(None, [destination.get("subset")]))
            port = (destination.get("port") or {}).get("number")
            ports.setdefault(host, set()).add(port or 80)
    for host, names in subsets.items():
        listed = [{"port": port} for port in sorted(ports[host])]
        if ("Service", host) not in there:
            yield _object("v1", "Service", host, {"selector": {"app": host}, "ports": listed})
        if names and ("DestinationRule", host) not in there:
            every = [{"name": name, "labels": {"v": name}} for name in sorted(names)]
            spec = {"host": host, "subsets": every}
            yield _object("networking.istio.io/v1", "DestinationRule", host, spec)


def _specs(documents: list[Document]) -> Iterator[Document]:
    for document in documents:
        if document.get("kind") == "VirtualService":
            yield document.get("spec") or {}


def _destinations(spec: Document) -> Iterator[Document]:
    for rule in spec.get("http") or ():
        for route in rule.get("route") or ():
            yield route["destination"]


def _object(version: str, kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def seen(system: System, case: Document) -> dict[str, float] | str:
    """Return the shares of destinations, as the cases name them."""
    asked = case["request"]
    headers = {name.lower(): value for name, value in asked.get("headers", {}).items()}
    request = Request(asked["host"], asked["path"], asked.get("method", "GET"), headers=headers)
    (config,) = routes(system, "1")["resources"]
    found = clusters_of(config, request)
    if isinstance(found, str):
        return found
    named: dict[str, float] = {}
    for cluster, share in found.items():
        _, port, subset, host = cluster.split("|")
        name = host.split(".")[0] + (f"/{subset}" if subset else "")
        if name not in case.get("expected", {}):
            name = f"{name}:{port}"
        named[name] = named.get(name, 0.0) + share
    return named


def test_what_the_lab_takes_is_what_istiod_makes_of_it(tmp_path: Path) -> None:
    taken = 0
    wrong = []
    for case in cases():
        try:
            system = system_of(case["file"], tmp_path)
        except InputError:
            continue  # it refuses what it cannot translate
        taken += 1
        found = seen(system, case)
        expected = case.get("expected")
        if expected is None:
            if not (isinstance(found, str) and found in case["error"]):
                wrong.append((case["file"], case["request"], case["error"], found))
            continue
        positive = {name: share for name, share in expected.items() if share}
        if found != pytest.approx(positive, abs=1e-4):
            wrong.append((case["file"], case["request"], expected, found))
    assert not wrong
    assert taken >= FEWEST
