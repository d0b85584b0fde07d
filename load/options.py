"""The options of the locustfile: on the command line, in the web form, in the environment."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from analysis import InputError, Question, question_of_options

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser

# Name, placeholder, default and help of every option that says what is expected and how surely.
EXPECTATIONS = (
    ("weight", "PERCENT", "green's weight in per cent; blue gets the rest"),
    ("weights", "V=W,…", "the weight of every variant: blue=75,green=25"),
    ("tolerance", "POINTS", "largest distance of share from weight that is still fine [2]"),
    ("zero-tolerance", "POINTS", "the same for variants of weight 0 [0.1]"),
    ("alpha", "FRACTION", "bound on each kind of wrong verdict [0.01]"),
    ("power", "FRACTION", "chance to see a deviation of one tolerance [0.99]"),
    ("max-failing", "PERCENT", "errors and unidentified responses above this are failing [1]"),
    ("requests", "N", "how many requests to judge by [planned from the above]"),
)


def add_options(parser: LocustArgumentParser) -> None:
    """Add the options to Locust's own. Not in groups: its web form leaves those out."""
    for name, metavar, text in EXPECTATIONS:
        env_var = f"TRAFFICSPLIT_{name.replace('-', '_').upper()}"
        parser.add_argument(f"--{name}", metavar=metavar, default="", env_var=env_var, help=text)
    # No choice yet, but a name for it: pipelines that say it will go on to mean the same.
    parser.add_argument(
        "--test", choices=["fixed"], default="fixed", env_var="TRAFFICSPLIT_TEST",
        help="which test is the judge: fixed, chi-square at a number of requests set beforehand",
    )  # fmt: skip
    parser.add_argument(
        "--path", default="/color", env_var="TRAFFICSPLIT_PATH", help="path to ask for [/color]"
    )
    parser.add_argument(
        "--variant-from", metavar="SOURCE", default="page", env_var="TRAFFICSPLIT_VARIANT_FROM",
        help="where a response names its variant: page (its background colour, or a colour as "
        "text or JSON), header:NAME, cookie:NAME, json:PATH, regex:PATTERN",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=10.0, env_var="TRAFFICSPLIT_TIMEOUT",
        help="a request that takes longer is an error [10]",
    )  # fmt: skip
    parser.add_argument(
        "--insecure", action="store_true", default=False, env_var="TRAFFICSPLIT_INSECURE",
        help="do not check the gateway's TLS certificate",
    )  # fmt: skip
    # What `trafficsplit verify` says to its Locust; of no use in a form.
    parser.add_argument(
        "--run-dir", metavar="DIR", default="", include_in_web_ui=False,
        help="write the counts here at the end: run.json, tally.csv, latency.csv",
    )  # fmt: skip
    parser.add_argument(
        "--progress", action="store_true", default=False, include_in_web_ui=False,
        help="show one line of progress on standard error",
    )  # fmt: skip


def question_of(options: Namespace) -> Question | None:
    """The question that the options ask, None where they expect no split. Raises InputError."""
    given = {
        name.replace("-", "_"): getattr(options, name.replace("-", "_")) or None
        for name, _, _ in EXPECTATIONS
    }
    if not (given["weight"] or given["weights"]):
        return None
    return question_of_options(**given)


def checked_path(path: str) -> str:
    """A path that can be sent as it is. Raises InputError."""
    if not path.startswith("/") or not path.isascii() or any(c <= " " for c in path):
        raise InputError(f"--path {path!r} is no path: begin with /, and percent-encode the rest")
    return path


def checked_host(host: str | None) -> str:
    """A base URL, without the slash at its end. Raises InputError."""
    if not host:
        raise InputError("no gateway to ask: give --host http://ADDRESS")
    try:
        url = urlsplit(host)
        valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if not valid or any(c <= " " for c in host):
        raise InputError(f"--host {host!r} is no address: give http://NAME or http://NAME:PORT")
    return host.rstrip("/")
