"""Every row of tests/cases/EXPECTED.md, by `plan --json`."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from tests.conftest import ROOT
from trafficsplit.cli import trafficsplit
from trafficsplit.errors import InputError

CASES = ROOT / "tests" / "cases"
FEWEST = 140  # rows: fewer, and the table is not read as it is written


@dataclass(frozen=True)
class Row:
    """A file, the options of a request, and the shares in per cent that must be said, if any.

    `may_refuse` says that a line that asks is right, `must_refuse` that nothing else is.
    """

    file: str
    options: tuple[str, ...]
    shares: tuple[float, ...]
    may_refuse: bool
    must_refuse: bool

    def __str__(self) -> str:
        return " ".join((self.file, *self.options))


def rows() -> list[Row]:
    found = []
    for line in (CASES / "EXPECTED.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 3 or not cells[0].endswith(".yaml"):
            continue
        file, request, say = cells
        asked = re.findall(r"`([^`]*)`", request)
        shares = [float(share) for share in re.findall(r"` ([\d.]+) %", say)]
        refused = say.startswith("exit 2")
        or_else = "or with a note" in say or "; or the first" in say
        found.append(
            Row(
                file,
                tuple(shlex.split(asked[0])) if asked else (),
                tuple(sorted(filter(None, shares))),
                may_refuse=refused or "exit 2 is right" in say,
                must_refuse=refused and not or_else,
            )
        )
    return found


def test_the_table_is_read() -> None:
    assert len(rows()) >= FEWEST


def planned(row: Row) -> dict[str, float]:
    """Return the split that is planned for. Raises InputError."""
    manifest = str(CASES / "manifests" / row.file)
    done = CliRunner().invoke(
        trafficsplit, ["plan", "--manifest", manifest, "--json", *row.options]
    )
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == 0, done.output
    expected: dict[str, float] = json.loads(done.stdout)["expected"]
    return expected


@pytest.mark.parametrize("row", rows(), ids=str)
def test_it_says_what_it_must(row: Row) -> None:
    line = ""
    found: dict[str, float] = {}
    try:
        found = planned(row)
    except InputError as error:
        line = str(error)
    if line:
        assert row.may_refuse, line
        assert len(line.splitlines()) == 1
        return
    assert not row.must_refuse, found
    per_cent = sorted(round(100 * share, 2) for share in found.values() if share)
    assert per_cent == pytest.approx(row.shares, abs=0.005)


NAMES = {
    "argo-live.yaml": {"stable", "canary"},
    "flagger-live.yaml": {"primary", "canary"},
    "m-14350.yaml": {"blue", "green"},
    "m-1668.yaml": {"primary", "canary"},
    "m-name2.yaml": {"blue", "green"},
    "m-promoted.yaml": {"green"},
    "base.yaml": {"blue", "green"},
    "istio-cookie-beta.yaml": {"stable", "beta"},
    "m-1889.yaml": {"blue", "green"},
}


@pytest.mark.parametrize("file", NAMES)
def test_a_destination_has_one_name_whatever_is_asked_for(file: str) -> None:
    names: set[str] = set()
    for row in rows():
        if row.file == file and not row.may_refuse:
            names |= set(planned(row))
    assert names == NAMES[file]
