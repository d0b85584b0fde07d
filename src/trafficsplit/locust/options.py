"""The options of the locustfile: on the command line, in the web form, in the environment."""

from __future__ import annotations

from argparse import Action, Namespace
from typing import TYPE_CHECKING

from trafficsplit.load.parquet import RECORDING
from trafficsplit.settings.options import LOCUSTFILE, Option

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser


def add_options(parser: LocustArgumentParser) -> None:
    """Add our options to Locust's own, outside of groups, which its web form leaves out."""
    for option in LOCUSTFILE:
        _add(parser, option)
    # The options that are of no use in a form.
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        default="",
        include_in_web_ui=False,
        help=f"Write the counts here at the end: run.json, tally.csv, latency.csv; {RECORDING}.",
    )
    parser.add_argument(  # the master sets it for its workers
        "--shared-by",
        metavar="N",
        type=int,
        default=1,
        include_in_web_ui=False,
        help="How many processes share the rate.",
    )
    parser.add_argument(
        "--progress",
        metavar="FD",
        type=int,
        default=-1,
        include_in_web_ui=False,
        help="Show one line of progress on this file descriptor, a terminal's.",
    )


def _add(parser: LocustArgumentParser, option: Option) -> None:
    text = option.help_text.replace("%", "%%")
    if option.flag:
        parser.add_argument(
            option.flag_name,
            action="store_true",
            default=False,
            env_var=option.variable,
            help=text,
        )
        return
    parser.add_argument(
        option.flag_name,
        metavar=option.metavar,
        default=option.default,
        env_var=option.variable,
        action=_OneMore if option.repeatable else "store",
        help=text,
    )


class _OneMore(Action):
    """An option that may be repeated; its text has a line each time."""

    def __call__(
        self, _: object, options: Namespace, value: object, flag: str | None = None
    ) -> None:
        before = getattr(options, self.dest)
        if before:
            value = f"{before}\n{value}"
        setattr(options, self.dest, value)
