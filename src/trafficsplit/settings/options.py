"""Options as people type them, in percentages and points; the same for every door to the tool."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from analysis.errors import InputError
from analysis.planning import planned
from analysis.question import TESTS, Question
from analysis.reading import reader_of
from analysis.split import Split, number, split_of_weight, split_of_weights

if TYPE_CHECKING:
    from analysis.manifests import Asked

UNITS = ("request", "session")
CLIENTS = ("engine", "stock", "requests")
# Options that may be given more than once; as text, a line each.
REPEATABLE = ("header", "resolve")

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


# Where the weights may come from instead of the command line.
SOURCES: Mapping[str, tuple[str, str]] = {
    "manifest": (
        "FILE",
        "take the weights from a manifest: VirtualService, HTTPRoute, TrafficSplit, Rollout or "
        "Canary, in a file, a directory, or - for standard input",
    ),
    "route": ("NAME", "the resource of the manifest, where several have weights for this request"),
    "map": (
        "D=V,…",
        "what responses show for a destination of the manifest: stable=blue,canary=green [by "
        "labels, subsets or hosts]",
    ),
}


# Sources that are asked over the network, by the commands that may.
ELSEWHERE = ("virtual_service", "http_route")


def weighed(
    options: Mapping[str, Any], standard_input: Callable[[], str] = lambda: ""
) -> dict[str, Any]:
    """The options, with weights in place of the manifest that gives them. Raises InputError."""
    found = dict(options)
    source = found.get("manifest")
    if not source:
        if any(found.get(name) for name in ELSEWHERE):
            return found
        for name in ("route", "map"):
            if found.get(name):
                raise InputError(f"--{name} is for a --manifest, and there is none")
        return found
    for name in ("weight", "weights"):
        if found.get(name):
            raise InputError(f"--manifest and --{name} both say what is expected: give one of them")
    from analysis.manifests import read_documents, split_of_manifest  # 60 ms

    asked = asked_of(found)
    text = standard_input() if source == "-" else ""
    split = split_of_manifest(
        read_documents(source, text),
        asked,
        route=found.get("route") or "",
        names=found.get("map") or "",
    )
    return {**found, "weights": text_of_split(split), "manifest": "", "route": "", "map": ""}


def asked_of(options: Mapping[str, Any]) -> Asked:
    """The request of the run, as manifests match it. Raises InputError."""
    from analysis.manifests import Asked

    headers = {k.lower(): v for k, v in headers_of(options.get("header") or "").items()}
    host = urlsplit((options.get("host") or "").split(",")[0]).netloc
    return Asked(options.get("path") or "/color", headers.get("host", host), headers)


def text_of_split(split: Split) -> str:
    """A split as --weights takes it. Raises InputError for names that cannot be written so."""
    for variant in split:
        if "," in variant or "=" in variant:
            raise InputError(f"{variant!r} is no variant's name: give --map {variant}=…")
    return ",".join(f"{v}={w!r}" for v, w in split.weights.items())


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
            "no split to expect: give --weight 25 (green), --weights blue=75,green=25, or "
            "--manifest FILE"
        )
    limits: dict[str, Any] = {}
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
    "rate": (
        "PER_SECOND",
        "",
        "send so many requests a second, whatever the answers do, and measure latency from the "
        "time each was due [as fast as the answers come]",
    ),
    "client": (
        "|".join(CLIENTS),
        "",
        "what sends: engine (this project's), stock (Locust's FastHttpUser) or requests (its "
        "HttpUser) [engine]",
    ),
    "header": ("NAME: VALUE", "", "send this header too, or another Host; may be repeated"),
    "resolve": (
        "NAME:ADDRESS,…",
        "",
        "take ADDRESS for NAME, whatever DNS says; each of several, or without any all that DNS "
        "knows, is a gateway of its own; may be repeated",
    ),
    "ca_file": ("FILE", "", "trust this certificate authority (PEM), and no other"),
    "max_p99_ratio": (
        "RATIO",
        "",
        "fail where a canary's 99th percentile of latency is surely more than RATIO times the "
        "baseline's",
    ),
    "max_error_ratio": (
        "RATIO",
        "",
        "fail where a canary's share of errors is surely more than RATIO times the baseline's",
    ),
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
    if options["rate"]:
        rate_of(options["rate"])
    if options["client"] and options["client"] not in CLIENTS:
        known = ", ".join(CLIENTS)
        raise InputError(f"there is no --client {options['client']!r}: say one of {known}")
    headers_of(options["header"])
    addresses_of(options["resolve"])
    for name in ("max_p99_ratio", "max_error_ratio"):
        ratio_of(options[name], f"--{name.replace('_', '-')}")
    reader_of(options["variant_from"], question.split if question else ())


def rate_of(text: str) -> float:
    """A rate above 0 from text, in requests a second. Raises InputError."""
    rate = number(text, "--rate")
    if rate <= 0:
        raise InputError(f"--rate is {text}: give requests a second, above 0")
    return rate


def ratio_of(text: str, what: str) -> float | None:
    """A ratio of at least 1 from text, None where there is none. Raises InputError."""
    if not text:
        return None
    ratio = number(text, what)
    if ratio < 1:
        raise InputError(f"{what} is {text}: give how many times the baseline's is fine, from 1")
    return ratio


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
# What frames a message is the client's business.
_FRAMING = {"connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer"}


def headers_of(text: str) -> dict[str, str]:
    """Header names and values from lines of `NAME: VALUE`. Raises InputError."""
    headers = {}
    for line in text.splitlines():
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _TOKEN.fullmatch(name):
            raise InputError(f"--header {line!r} is no header: give 'NAME: VALUE'")
        if name.lower() in _FRAMING:
            raise InputError(f"--header {name} cannot be set: the client needs it itself")
        if not value.isprintable() or any(ord(c) > 255 for c in value):
            raise InputError(f"--header {name} has characters that cannot be sent: {value!r}")
        headers[name] = value
    return headers


def addresses_of(text: str) -> dict[str, list[str]]:
    """Addresses by name, from lines of `NAME:ADDRESS,ADDRESS`; none of `NAME` alone.

    Raises InputError.
    """
    addresses: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, colon, rest = line.strip().partition(":")
        try:
            parts = [part.strip().strip("[]") for part in rest.split(",")] if colon else []
            found = list(dict.fromkeys(str(ip_address(part)) for part in parts))
        except ValueError:
            name = ""
        if not name or any(c <= " " for c in name):
            raise InputError(f"--resolve {line!r} is not NAME:ADDRESS, e.g. gateway:10.0.0.7")
        addresses[name.lower()] = found
    return addresses


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


def hosts_of(text: str | None) -> list[str]:
    """Base URLs from text that has them with commas or spaces in between. Raises InputError."""
    hosts = [checked_host(part) for part in re.split(r"[,\s]+", text or "") if part]
    if not hosts:
        raise InputError("no gateway to ask: give --host http://ADDRESS")
    return list(dict.fromkeys(hosts))


def checked_host(host: str) -> str:
    """A base URL, without the slash at its end. Raises InputError."""
    try:
        url = urlsplit(host)
        valid = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if valid and "@" in url.netloc:
        raise InputError("--host has a user's name in it: give --header 'Authorization: …' instead")
    if not valid or any(c <= " " for c in host):
        raise InputError(f"--host {host!r} is no address: give http://NAME or http://NAME:PORT")
    return host.rstrip("/")
