"""The one table of options: for click, for Locust's argparse, for the environment and the docs.

An option is a text here, as a person types it. The other modules of this package turn all of them
into types before anything is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from trafficsplit.errors import InputError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Option:
    """One option. `default` is a text, and `shown_default` its description in the help.

    A `repeatable` option is a text with a line for each time; a `flag` has no value.
    """

    name: str
    metavar: str
    help: str
    default: str = ""
    shown_default: str = ""
    repeatable: bool = False
    flag: bool = False

    @property
    def flag_name(self) -> str:
        """The flag: `--max-failing` for `max_failing`."""
        return flag_of(self.name)

    @property
    def variable(self) -> str:
        """The environment variable: `TRAFFICSPLIT_MAX_FAILING` for `max_failing`."""
        return f"TRAFFICSPLIT_{self.name.upper()}"

    @property
    def help_text(self) -> str:
        """The help, followed by the default."""
        if not self.shown_default:
            return self.help
        return f"{self.help}  [{self.shown_default}]"


def flag_of(name: str) -> str:
    """Return the flag of an option's name."""
    return f"--{name.replace('_', '-')}"


VARIANTS = Option(
    "variants",
    "STABLE,CANARY",
    "The stable variant and the canary, of which --weight is.",
    shown_default="blue,green",
)
WEIGHTS = (
    Option("weight", "PERCENT", "The canary's weight in per cent; the stable one has the rest."),
    VARIANTS,
    Option("weights", "V=W,…", "The weight of every variant: blue=75,green=25."),
)

LIMITS = (
    Option(
        "tolerance",
        "POINTS",
        "Largest distance of share from weight that is still fine.",
        shown_default="2, or half of the smallest weight",
    ),
    Option(
        "zero_tolerance",
        "POINTS",
        "The same for variants of weight 0.",
        shown_default="0.1",
    ),
    Option("alpha", "FRACTION", "Bound on each kind of wrong verdict.", shown_default="0.01"),
    Option(
        "power",
        "FRACTION",
        "Chance to see a deviation of one tolerance.",
        shown_default="0.99",
    ),
    Option(
        "max_failing",
        "PERCENT",
        "With more errors and unidentified responses than this the verdict is failing.",
        shown_default="1",
    ),
    Option(
        "requests",
        "N",
        "Most requests to send; with --test fixed, how many.",
        shown_default="planned",
    ),
    Option(
        "test",
        "sequential|fixed",
        "The judge: sequential stops as soon as the answer is known, fixed is chi-square at a "
        "number of requests set beforehand.",
        shown_default="sequential",
    ),
)

MANIFEST = (
    Option(
        "manifest",
        "FILE",
        "Take the weights from a manifest: VirtualService, HTTPRoute, TrafficSplit, Rollout, "
        "Canary and ten more kinds, in a file, a directory, or - for standard input; may be "
        "repeated.",
        repeatable=True,
    ),
    Option(
        "route",
        "NAME",
        "The resource of the manifest, where several have weights for this request.",
    ),
    Option(
        "map",
        "D=V,…",
        "What responses show for a destination: stable=blue,canary=green.",
        shown_default="by labels, subsets or hosts",
    ),
)

CLUSTER = (
    Option(
        "virtual_service",
        "NAMESPACE/NAME",
        "Take the weights from this VirtualService of the cluster.",
    ),
    Option("http_route", "NAMESPACE/NAME", "Take the weights from this HTTPRoute of the cluster."),
    Option("context", "NAME", "The kubeconfig's context.", shown_default="its current one"),
    Option(
        "gateway_service",
        "NAMESPACE/NAME",
        "The Service in front of the gateway, for its address.",
        shown_default="by the resource's Gateway",
    ),
)

HOST = Option(
    "host",
    "URL",
    "The gateway's base URL; give one for each of several gateways.",
    shown_default="the lab, started if none is up",
    repeatable=True,
)
PATH = Option(
    "path",
    "PATH",
    "The path that requests ask for.",
    default="/color",
    shown_default="/color",
)
HEADER = Option(
    "header",
    "NAME: VALUE",
    "Send this header too, or another Host; may be repeated.",
    repeatable=True,
)

UNIT = Option(
    "unit",
    "request|session|user",
    "What a draw is: a request, a session (a new connection without cookies), or a user, who "
    "asks several times, keeps its cookies, and is to stay with one variant.",
    default="request",
    shown_default="request",
)
USER_REQUESTS = Option(
    "user_requests",
    "N",
    "How often each user asks, with --unit user.",
    shown_default="3",
)

REQUEST = (
    PATH,
    HEADER,
    Option(
        "variant_from",
        "SOURCE",
        "Where a response names its variant: page (its background color, or a color as text or "
        "JSON), header:NAME, cookie:NAME, json:PATH, regex:PATTERN.",
        default="page",
        shown_default="page",
    ),
    UNIT,
    USER_REQUESTS,
    Option(
        "user_header",
        "NAME",
        "With --unit user, send this header, with a value of its own for each user.",
    ),
    Option(
        "user_address",
        "NETWORK",
        "With --unit user, ask from an address of its own for each user: 127.64.0.0/10, on this "
        "machine.",
    ),
    Option(
        "timeout",
        "TIME",
        "A request that takes longer is an error.",
        default="10",
        shown_default="10s",
    ),
    Option(
        "resolve",
        "NAME:ADDRESS,…",
        "Use ADDRESS for NAME instead of DNS. Each of several addresses is a gateway of its own; "
        "NAME alone stands for all addresses that DNS has. May be repeated.",
        repeatable=True,
    ),
    Option("ca_file", "FILE", "Trust this certificate authority (PEM), and no other."),
    Option("insecure", "", "Do not check the gateway's TLS certificate.", flag=True),
)

LOAD = (
    Option(
        "settle",
        "TIME",
        "Leave out what is sent in this time at the start.",
        default="0",
        shown_default="0s",
    ),
    Option(
        "ready_within",
        "TIME",
        "How long to wait for the gateway's first good answer.",
        default="3s",
        shown_default="3s",
    ),
    Option(
        "previous_weight",
        "PERCENT",
        "The canary's weight before the change, to tell that old weights are still in force.",
    ),
    Option(
        "rate",
        "PER_SECOND",
        "Send this many requests a second, however slow the answers are, and measure latency from "
        "the time at which each was due.",
        shown_default="as fast as the answers come",
    ),
    Option(
        "client",
        "engine|stock|requests",
        "What sends: engine (this project's), stock (Locust's FastHttpUser) or requests (its "
        "HttpUser).",
        shown_default="engine",
    ),
    Option(
        "max_p99_ratio",
        "RATIO",
        "Fail where a canary's 99th percentile of latency is surely more than RATIO times the "
        "baseline's; no match before it is surely less than twice that. The run goes on until the "
        "canary has enough answers.",
    ),
    Option(
        "max_error_ratio",
        "RATIO",
        "Fail where a canary's share of errors is surely more than RATIO times the baseline's; no "
        "match before it is surely less than twice that, or no more than --max-failing bears.",
    ),
    Option(
        "no_diagnosis",
        "",
        "Send no more requests after a mismatch: without this, up to 4,000 more in at most 5 s are "
        "sent to find its cause.",
        flag=True,
    ),
)

RECORD = Option(
    "record",
    "",
    "Keep every request, as Parquet (needs the extra `record`).",
    flag=True,
)
USERS = Option("users", "N", "How many users ask at once.", default="16", shown_default="16")
SENDING = (
    USERS,
    Option("ramp", "TIME", "Add the users over this time.", default="0", shown_default="0s"),
    Option("processes", "N", "Send from this many processes.", default="1", shown_default="1"),
)

REPORT = Option("report", "DIR", "Where the report goes.", shown_default="reports/TIME-VERDICT")
JSON = Option("json", "", "Print verdict.json on standard output, and nothing else.", flag=True)
PLOTS = Option("plots", "", "Draw the plots as PNG too (needs the extra `plots`).", flag=True)
OUTPUT = (REPORT, JSON, PLOTS)

EXPECTED = (*WEIGHTS, *LIMITS, *MANIFEST)

VERIFY = (HOST, *EXPECTED, *CLUSTER, *SENDING, *REQUEST, *LOAD, RECORD, *OUTPUT)

# The locustfile's options; Locust has --host and --users of its own.
LOCUSTFILE = (*EXPECTED, *REQUEST, *LOAD, RECORD)

PLAN = (
    HOST,
    PATH,
    HEADER,
    *EXPECTED,
    *CLUSTER,
    UNIT,
    USER_REQUESTS,
    Option(
        "previous_weight",
        "PERCENT",
        "The canary's weight before the change.",
        shown_default="0; where that is expected, 50",
    ),
    Option(
        "rate",
        "PER_SECOND",
        "Requests a second, to tell the time.",
        default="1000",
        shown_default="1000",
    ),
    Option("plot", "FILE", "Draw the requests by deviation into this PNG (needs `plots`)."),
    Option("json", "", "Print the figures as JSON.", flag=True),
)

ANALYZE = (
    Option("counts", "V=N,…", "Bare counts; errors=N and unidentified=N are understood."),
    Option(
        "prometheus",
        "URL",
        "Take the counts of real users' traffic from this Prometheus.",
    ),
    Option(
        "query",
        "SELECTOR",
        "The counter: a plain selector.",
        shown_default='istio_requests_total{reporter="source"}',
    ),
    Option(
        "window",
        "TIME",
        "How far back counts go.",
        default="10m",
        shown_default="10m",
    ),
    Option(
        "by",
        "LABEL",
        "The label that names the variant.",
        shown_default="destination_version, …",
    ),
    Option(
        "series",
        "NAME",
        "A proxy's own counter, for --query and --by: istio, envoy, gloo, nginx-ingress, traefik, "
        "linkerd, kong, haproxy or knative.",
    ),
    Option("code", "LABEL", "The label of the answers' status.", shown_default="response_code, …"),
    Option("no_code", "", "Count all answers as good: the series has no status.", flag=True),
    Option("path", "PATH", "Take only the requests for this path from an access log."),
    *EXPECTED,
    *OUTPUT,
)

SET_WEIGHTS = (
    *MANIFEST,
    *CLUSTER,
    Option(
        "force_conflicts",
        "",
        "Take the weights over from a controller that sets them (Flagger, Argo Rollouts, GitOps).",
        flag=True,
    ),
    Option("dry_run", "", "Change nothing, and show what would be changed.", flag=True),
    HOST,
    PATH,
    HEADER,
)

ROLLOUT = (
    Option("steps", "5,25,50,100", "The canary's weights in per cent, one after the other."),
    Option("pause", "TIME", "Wait between steps, after a match.", default="0", shown_default="0s"),
    Option(
        "in_force_within",
        "TIME",
        "Weights that come into force later are a mismatch.",
    ),
    Option("variant", "NAME", "The canary.", default="green", shown_default="green"),
    Option("hold", "", "Leave the weights as they are where a step does not match.", flag=True),
    Option("yes", "", "Ask nothing: on inconclusive go back.", flag=True),
    Option("continue", "", "Go on with an interrupted rollout, with its step.", flag=True),
    Option("undo", "", "Go back to where an interrupted rollout began.", flag=True),
    Option(
        "report",
        "DIR",
        "Where its state and the reports go.",
        default="reports/rollout",
        shown_default="reports/rollout",
    ),
    *MANIFEST,
    *CLUSTER,
    Option(
        "force_conflicts",
        "",
        "Take the weights over from a controller that sets them (Flagger, Argo Rollouts, GitOps).",
        flag=True,
    ),
    HOST,
    *LIMITS,
    *SENDING,
    *REQUEST,
    *LOAD,
    PLOTS,
)

GATE = (
    Option(
        "listen",
        "ADDRESS:PORT",
        "The address and port to listen on.",
        default="127.0.0.1:8080",
        shown_default="127.0.0.1:8080",
    ),
    Option(
        "host",
        "URL",
        "A gateway that may be asked; repeat it for more. The first is asked where a request names "
        "none.",
        repeatable=True,
    ),
    VARIANTS,
    Option("token", "TOKEN", "Bearer token that requests must have; better in the environment."),
    Option("tls_cert", "FILE", "Serve TLS with this certificate …"),
    Option("tls_key", "FILE", "… and its key."),
    Option("client_ca", "FILE", "Ask clients for a certificate of this authority (mTLS)."),
    Option(
        "open",
        "",
        "Listen on other addresses than this machine's without a token or mTLS.",
        flag=True,
    ),
    Option(
        "results",
        "DIR",
        "Where reports are kept.",
        default="reports/gate",
        shown_default="reports/gate",
    ),
    Option(
        "wait",
        "TIME",
        "How long a call of Flagger's waits for a verdict; it gives up after 10 s.",
        default="8",
        shown_default="8s",
    ),
    Option(
        "longest",
        "TIME",
        "How long one verification may take.",
        default="15m",
        shown_default="15m",
    ),
    Option(
        "keep",
        "TIME",
        "How long a verdict stands for the same step of a release.",
        default="1h",
        shown_default="1h",
    ),
    Option(
        "in_force_within",
        "TIME",
        "How long new weights may take to be in force: until then, old ones are no mismatch.",
        default="30s",
        shown_default="30s",
    ),
    Option("context", "NAME", "The kubeconfig's context, for Canaries and VirtualServices."),
    USERS,
    *LIMITS,
    *REQUEST,
    *LOAD,
)


class Texts(dict[str, str]):
    """The texts that were given for options, by name.

    A repeatable option has a line for each time, and a flag that is given is `yes`. An option that
    is not given, or is empty, has its default.
    """

    def __init__(self, options: Iterable[Option], given: Mapping[str, str | None]) -> None:
        super().__init__()
        for option in options:
            self[option.name] = given.get(option.name) or option.default

    def has(self, *names: str) -> bool:
        """Return whether any of these options is given."""
        return any(self.get(name) for name in names)

    def text(self, name: str) -> str:
        """Return the text of an option, empty where this command has no such option."""
        return self.get(name, "")

    def value(self, name: str, parse: Callable[[str, str], Value]) -> Value | None:
        """Return the value of an option, None where it is not given. Raises InputError.

        `parse` takes the text, and the flag for its messages.
        """
        text = self.text(name)
        if not text:
            return None
        return parse(text, flag_of(name))

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return the text of an option that is one of `choices`, or empty. Raises InputError."""
        text = self.text(name)
        if text and text not in choices:
            known = ", ".join(choices)
            raise InputError(f"there is no {flag_of(name)} {text!r}: say one of {known}")
        return text

    def at_most_one(self, *names: str) -> str:
        """Return the name of the one option that is given, empty where none is.

        Raises InputError where several are.
        """
        given = [name for name in names if self.get(name)]
        if len(given) > 1:
            flags = " and ".join(flag_of(name) for name in given)
            raise InputError(f"{flags} say the same thing twice: give one of them")
        return "".join(given)
