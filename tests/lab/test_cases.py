"""The lab's translation beside what a real istiod makes of the same files (tests/cases)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.envoy_routes import Request, clusters_of
from tests.support.granted import CASES, Document, Granted, read_documents
from tests.support.istiod_cases import named
from trafficsplit.errors import InputError
from trafficsplit.lab.system import System, read_system
from trafficsplit.lab.translation import routes

FEWEST = 30  # cases that the lab takes: fewer, and this proves little


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
    try:
        documents = read_documents(file)
    except Exception as error:
        raise InputError(str(error)) from None
    beside = directory / "beside.json"
    items = [one for one in Granted(documents).objects() if one["kind"] != "Namespace"]
    for item in items:
        if item["kind"] == "Gateway":
            item["spec"]["servers"] = [{"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["*"]}]
    beside.write_text("\n---\n".join(map(json.dumps, items)))
    return read_system([CASES / "manifests" / file, beside])


def seen(system: System, case: Document) -> dict[str, float] | str:
    """Return the shares of destinations, as the cases name them."""
    asked = case["request"]
    headers = {name.lower(): value for name, value in asked.get("headers", {}).items()}
    request = Request(asked["host"], asked["path"], asked.get("method", "GET"), headers=headers)
    (config,) = routes(system, "1")["resources"]
    found = clusters_of(config, request)
    if isinstance(found, str):
        return found
    return named(found, case.get("expected", {}))


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
