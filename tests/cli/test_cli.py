import re

import pytest

from tests.conftest import ROOT, Cli
from trafficsplit.cli import trafficsplit


@pytest.mark.parametrize("command", [(), ("lab",)])
def test_without_a_command_it_says_which_there_are(cli: Cli, command: tuple[str, ...]) -> None:
    result = cli(*command)
    assert result.returncode == 2
    assert "\nCommands:\n" in result.stderr


def test_an_unknown_command_is_one_line(cli: Cli) -> None:
    result = cli("verfy")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)


def test_help_answers_for_every_command(cli: Cli) -> None:
    for command in trafficsplit.commands:
        result = cli(command, "--help")
        assert result.returncode == 0
        assert result.stdout.startswith(f"Usage: trafficsplit {command}")


def test_the_version_is_the_projects(cli: Cli) -> None:
    (version,) = re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert cli("--version").stdout.strip() == version
