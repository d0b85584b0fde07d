"""Options as people type them, in percentages and points; the same for every door to the tool."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from analysis.errors import InputError
from analysis.planning import planned
from analysis.question import TESTS, Question
from analysis.reading import reader_of
from analysis.split import number, split_of_weight, split_of_weights

UNITS = ("request", "session")

# Name, placeholder and help of every option that says what is expected, and how surely.
EXPECTATIONS: Mapping[str, tuple[str, str]] = {
    "weight": ("PERCENT", "green's weight in per cent; blue gets the rest"),
    "weights": ("V=W,…", "the weight of every variant: blue=75,green=25"),
    "tolerance": (
        "POINTS",
        "largest distance of share from weight that is still fine [2, or half of the smallest "
        "weight]",
    ),
    "zero_tolerance": ("POINTS", "the same for variants of weight 0 [0.1]"),
    "alpha": ("FRACTION", "bound on each kind of wrong verdict [0.01]"),
    "power": ("FRACTION", "chance to see a deviation of one tolerance [0.99]"),
    "max_failing": ("PERCENT", "more errors and unidentified responses than this are failing [1]"),
    "requests": ("N", "most requests to send; with --test fixed, how many [planned]"),
    "test": (
        "|".join(TESTS),
        "the judge: sequential stops as soon as the answer is known, fixed is chi-square at a "
        "number of requests set beforehand [sequential]",
    ),
}


def question_of_options(
    *,
    weight: str | None = None,
    weights: str | None = None,
    tolerance: str | None = None,
    zero_tolerance: str | None = None,
    alpha: str | None = None,
    power: str | None = None,
    max_failing: str | None = None,
    requests: str | None = None,
    test: str | None = None,
) -> Question:
    """The question that command-line options ask; percentages and points, as people type them.

    Raises InputError, in one line that names the option.
    """
    if weight and weights:
        raise InputError("--weight and --weights both say what is expected: give one of them")
    if weight:
        split = split_of_weight(weight)
    elif weights:
        split = split_of_weights(weights)
    else:
        raise InputError(
            "no split to expect: give --weight 25 (green) or --weights blue=75,green=25"
        )
    limits: dict[str, float] = {}
    if alpha:
        limits["alpha"] = number(alpha, "--alpha")
    if power:
        limits["power"] = number(power, "--power")
    if zero_tolerance:
        limits["zero_tolerance"] = number(zero_tolerance, "--zero-tolerance") / 100
    if max_failing:
        limits["max_failing"] = number(max_failing, "--max-failing") / 100
    points = number(tolerance, "--tolerance") / 100 if tolerance else split.default_tolerance
    asked = whole(requests, "--requests")
    return planned(Question(split, points, requests=asked, test=test or "sequential", **limits))


def whole(text: str | None, what: str) -> int:
    """A whole number above 0 from text, 0 where there is none. Raises InputError."""
    if not text:
        return 0
    if not text.strip().isdecimal() or int(text) == 0:
        raise InputError(f"{what} is not a whole number above 0: {text!r}")
    return int(text)


# What the load needs to know beside: name, placeholder, default and help.
LOAD: Mapping[str, tuple[str, str, str]] = {
    "unit": (
        "|".join(UNITS),
        "request",
        "what a draw is: a request, or a session, a new connection without cookies [request]",
    ),
    "settle": ("SECONDS", "0", "leave out what is sent in the first SECONDS [0]"),
    "previous_weight": (
        "PERCENT",
        "",
        "green's weight before the change, to tell old weights still in force",
    ),
    "path": ("PATH", "/color", "what to ask for [/color]"),
    "variant_from": (
        "SOURCE",
        "page",
        "where a response names its variant: page (its background colour, or a colour as text or "
        "JSON), header:NAME, cookie:NAME, json:PATH, regex:PATTERN [page]",
    ),
    "timeout": ("SECONDS", "10", "a request that takes longer is an error [10]"),
}


def check_load(options: Mapping[str, str], question: Question | None) -> None:
    """Refuse what `LOAD` cannot be. Raises InputError, in one line that names the option."""
    if options["unit"] not in UNITS:
        raise InputError(f"there is no --unit {options['unit']!r}: say {' or '.join(UNITS)}")
    if number(options["settle"], "--settle") < 0:
        raise InputError(f"--settle is {options['settle']}: give seconds, from 0")
    if options["previous_weight"]:
        split_of_weight(options["previous_weight"])
    checked_path(options["path"])
    seconds(options["timeout"], "--timeout")
    reader_of(options["variant_from"], question.split if question else ())


def seconds(text: str, what: str) -> float:
    """A time above 0 from text, in seconds. Raises InputError."""
    value = number(text, what)
    if value <= 0:
        raise InputError(f"{what} is {value:g}: give a number of seconds above 0")
    return value


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
