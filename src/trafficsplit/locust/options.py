"""The options of the locustfile: on the command line, in the web form, in the environment."""

from __future__ import annotations

from argparse import Action, Namespace
from typing import TYPE_CHECKING

from trafficsplit.load.parquet import RECORDING
from trafficsplit.settings.options import LOCUSTFILE, Option

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser


def add_options(parser: LocustArgumentParser) -> None:
    """Add the options to Locust's own. Not in groups: its web form leaves those out."""
    for option in LOCUSTFILE:
        _add(parser, option)
    # Of no use in a form.
    parser.add_argument(
        "--run-dir",
        metavar="DIR",
        default="",
        include_in_web_ui=False,
        help=f"Write the counts here at the end: run.json, tally.csv, latency.csv; {RECORDING}.",
    )
    parser.add_argument(  # the master tells its workers
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
    """An option that may be repeated: a line each."""

    def __call__(
        self, _: object, options: Namespace, value: object, flag: str | None = None
    ) -> None:
        before = getattr(options, self.dest)
        setattr(options, self.dest, f"{before}\n{value}" if before else value)
