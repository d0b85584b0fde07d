"""What is wrong with the input, or with us, is never taken for the gateway's doing.

Python ends with 1 after an exception that nothing has caught, and 1 is a mismatch.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli, refused
from tests.fakes.servers import served, split
from tests.support.locusts import SOURCE, headless, locust
from tests.support.processes import TRAFFICSPLIT, ended, locusts_of, started_command, with_few_files
from tests.support.waiting import begun, until

NOWHERE = ("verify", "--host", "http://127.0.0.1:9")
CANARY = (ROOT / "istio" / "color-istio-gw-canary-pct.yaml").read_text()


@pytest.fixture
def gateway() -> Iterator[str]:
    with served(split(0.25)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--weight", "25", "--tolerance", "0.0000001"), "--tolerance is 0.0000001"),
        (("--weight", "25", "--tolerance", "0.0000001%"), "a tolerance of 1e-07 points"),
        (("--weights", "a=1,b=1e-300"), "the weight of b is"),
        (("--weight", "25", "--alpha", "1e-320"), "alpha is"),
    ],
)
def test_numbers_that_no_test_can_be_made_of_are_refused(
    cli: Cli, options: tuple[str, ...], said: str
) -> None:
    assert said in refused(cli, *NOWHERE, *options)
    assert said in refused(cli, "plan", *options)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("spec:", "? {a: b}\n: c\nspec:", "is no string"),
        ("spec:", "? [a, b]\n: c\nspec:", "is no string"),
        ("hosts:", "hosts: &a [*a]\n  was:", "something that contains it"),
        ("hosts:", "<<: &a {<<: *a}\n  hosts:", "no YAML"),
        ("hosts:", "<<: 5\n  hosts:", "no YAML"),
        ("hosts:", "<<: null\n  hosts:", "no YAML"),
        ("hosts:", "<<: !!set {a}\n  hosts:", "no YAML"),
        ("weight: 25", "weight: .inf", "inf is no number"),
        ("weight: 25", "weight: 1e400", "inf is no number"),
    ],
)
def test_odd_yaml_is_refused(cli: Cli, tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CANARY
    (tmp_path / "odd.yaml").write_text(CANARY.replace(old, new))
    line = refused(cli, *NOWHERE, "--manifest", "odd.yaml")
    assert "odd.yaml:" in line
    assert said in line


def test_a_closed_standard_input_has_no_manifest(tmp_path: Path) -> None:
    result = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" <&-', TRAFFICSPLIT, *NOWHERE, "--manifest", "-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "no resource with weights in it" in result.stderr


def check_broken(code: int, said: str, why: str) -> None:
    """Assert that a process broke, said why in its last line, and showed no traceback."""
    assert code == 5, said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("trafficsplit: ")]
    assert lines[-1].startswith("trafficsplit: broken"), said
    assert why in lines[-1]


LONG = ("--test", "fixed", "--requests", "4000000", "--weight", "25", "--report", "out")
MANY_USERS = ("--users", "200")
FEW = 64  # files and sockets: enough to begin with
NO_SOCKETS = "this machine gives no more sockets"


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_a_locust_that_is_killed_breaks_the_run(
    gateway: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    with started_command(tmp_path, "verify", "--host", gateway, *LONG, *more) as process:
        assert until(begun(tmp_path / "out"))
        locusts_of(process)[0].kill()
        code, out, err = ended(process)
    assert out == ""
    check_broken(code, err, "Locust ended with signal 9")


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_without_sockets_there_is_no_verdict(
    gateway: str, tmp_path: Path, more: tuple[str, ...]
) -> None:
    options = ("--host", gateway, *LONG, *MANY_USERS, *more)
    with started_command(tmp_path, "verify", *options, before=with_few_files(FEW)) as process:
        code, out, err = ended(process)
    assert out == ""
    check_broken(code, err, NO_SOCKETS)
    # What was counted is kept, and nothing that could be taken for a verdict.
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "tally.csv" in written
    assert not written & {"verdict.json", "junit.xml", "summary.md", "report.html"}


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_locust_by_hand_breaks_alike(gateway: str, tmp_path: Path, more: tuple[str, ...]) -> None:
    users = ("-u", "200", "-r", "200", "--test", "fixed", "--requests", "4000000")
    options = headless(gateway, tmp_path, *users, *more)
    run = locust(tmp_path, *options, before=with_few_files(FEW))
    check_broken(run.returncode, run.stderr, NO_SOCKETS)


RAISING = """
    def wait_time(self):
        raise ValueError("of the user's own")
"""
NO_REQUEST = """
    def request(self):
        raise ValueError("of the user's own")
"""


@pytest.mark.parametrize("more", [(), ("--processes", "2")])
@pytest.mark.parametrize("method", [RAISING, NO_REQUEST], ids=["wait_time", "request"])
def test_an_exception_of_a_locustfile_is_no_mismatch(
    gateway: str, tmp_path: Path, method: str, more: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text(SOURCE + method)
    run = locust(tmp_path, *headless(gateway, tmp_path, *more), file="mine.py")
    check_broken(run.returncode, run.stderr, "ValueError: of the user's own")
