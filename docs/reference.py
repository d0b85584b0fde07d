"""Writes docs/options.md from the commands: python docs/reference.py > docs/options.md"""

from __future__ import annotations

import re

import click

from trafficsplit.cli import trafficsplit

HEAD = """# Options

Every option is an environment variable too, so that a container needs no arguments; what is typed
wins. An option that may be repeated has a line each there. `trafficsplit COMMAND --help` says the
same. The locustfile has those of `verify` that say what is expected and what is sent.
"""


def main() -> None:
    """Print the page."""
    print(HEAD)
    for name, command in sorted(_commands(trafficsplit, "")):
        print(f"## trafficsplit {name}\n")
        print(f"{_text(command.help or '')}\n")
        options = [p for p in command.params if isinstance(p, click.Option) and p.name != "help"]
        if options:
            print("| option | variable | |\n|---|---|---|")
        for option in options:
            record = option.get_help_record(click.Context(command))
            assert record
            flags, text = record
            variable = f"`{option.envvar}`" if option.envvar else ""
            print(f"| `{_cell(flags)}` | {variable} | {_cell(text)} |")
        print(end="\n" if options else "")


def _commands(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
    found = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += _commands(command, f"{prefix}{name} ")
        else:
            found.append((f"{prefix}{name}", command))
    return found


def _text(text: str) -> str:
    return re.sub(r"[ \t]+", " ", text.replace("\b", "")).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
