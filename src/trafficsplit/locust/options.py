"""The options of the locustfile: on the command line, in the web form, in the environment."""

from __future__ import annotations

import sys
from argparse import Action, Namespace
from typing import TYPE_CHECKING, Any

from analysis import Question, question_of_options
from analysis.options import EXPECTATIONS, LOAD, REPEATABLE, SOURCES, weighed
from analysis.recording import RECORDING

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser


def add_options(parser: LocustArgumentParser) -> None:
    """Add the options to Locust's own. Not in groups: its web form leaves those out."""
    for name, (metavar, text) in {**EXPECTATIONS, **SOURCES}.items():
        flag, env_var = f"--{name.replace('_', '-')}", f"TRAFFICSPLIT_{name.upper()}"
        parser.add_argument(flag, metavar=metavar, default="", env_var=env_var, help=text)
    for name, (metavar, default, text) in LOAD.items():
        flag, env_var = f"--{name.replace('_', '-')}", f"TRAFFICSPLIT_{name.upper()}"
        action = _OneMore if name in REPEATABLE else "store"
        parser.add_argument(
            flag, metavar=metavar, default=default, env_var=env_var, help=text, action=action
        )
    parser.add_argument(
        "--insecure", action="store_true", default=False, env_var="TRAFFICSPLIT_INSECURE",
        help="do not check the gateway's TLS certificate",
    )  # fmt: skip
    parser.add_argument(
        "--record", action="store_true", default=False, env_var="TRAFFICSPLIT_RECORD",
        help=f"keep every request, in {RECORDING} in --run-dir or here",
    )  # fmt: skip
    # What `trafficsplit verify` says to its Locust; of no use in a form.
    parser.add_argument(
        "--run-dir", metavar="DIR", default="", include_in_web_ui=False,
        help="write the counts here at the end: run.json, tally.csv, latency.csv",
    )  # fmt: skip
    parser.add_argument(  # said by the master to its workers
        "--shared-by", metavar="N", type=int, default=1, include_in_web_ui=False,
        help="how many processes share the rate",
    )  # fmt: skip
    parser.add_argument(
        "--progress", metavar="FD", type=int, default=-1, include_in_web_ui=False,
        help="show one line of progress on this file descriptor, a terminal's",
    )  # fmt: skip


class _OneMore(Action):
    """An option that may be repeated: a line each."""

    def __call__(self, _: Any, options: Namespace, value: Any, flag: str | None = None) -> None:
        before = getattr(options, self.dest)
        setattr(options, self.dest, f"{before}\n{value}" if before else value)


def load_options(options: Namespace) -> dict[str, str]:
    """What `LOAD` names, as text; an empty field of the web form is the default."""
    return {name: str(getattr(options, name) or default) for name, (_, default, _) in LOAD.items()}


def question_of(options: Namespace) -> Question | None:
    """The question that the options ask, None where they expect no split. Raises InputError.

    A manifest is read once, here, and its weights take its place: workers have no such file.
    """
    vars(options).update(weighed(vars(options), sys.stdin.read))
    if not (options.weight or options.weights):
        return None
    return question_of_options(**{name: getattr(options, name) or None for name in EXPECTATIONS})
