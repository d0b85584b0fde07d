"""`trafficsplit gate`: verifications over HTTP, for delivery controllers."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from analysis.errors import InputError
from analysis.options import EXPECTATIONS, LOAD
from trafficsplit.options import LINES, load_options, option

MISSING = "the gate needs Starlette and Prometheus' client: pip install 'trafficsplit[gate]'"
ITS_OWN = ("host", "path", "previous_weight")  # of verify's options: each request says them
QUESTION = ("tolerance", "zero_tolerance", "alpha", "power", "max_failing", "requests", "test")


def _question_options(command: Any) -> Any:
    for name in reversed(QUESTION):
        metavar, text = EXPECTATIONS[name]
        sentence = f"{text[0].upper()}{text[1:]}."
        command = option(f"--{name.replace('_', '-')}", sentence, metavar=metavar)(command)
    return command


@click.command()
@option("--listen", "Where to listen.", metavar="ADDRESS:PORT", default="127.0.0.1:8080",
        show_default=True)  # fmt: skip
@option("--host", "A gateway that may be asked; repeat it for more. The first is asked where a "
        "request names none.", metavar="URL", **LINES)  # fmt: skip
@option("--variants", "The stable variant and the canary.", metavar="STABLE,CANARY",
        default="blue,green", show_default=True)  # fmt: skip
@option("--token", "Bearer token that requests must have; better from the environment.",
        metavar="TOKEN")  # fmt: skip
@option("--tls-cert", "Serve TLS with this certificate …", metavar="FILE")
@option("--tls-key", "… and its key.", metavar="FILE")
@option("--client-ca", "Ask clients for a certificate of this authority (mTLS).", metavar="FILE")
@option("--open", "Listen on other addresses than this machine's without a token or mTLS.",
        is_flag=True)  # fmt: skip
@option("--results", "Where reports are kept.", metavar="DIR", default="reports/gate",
        show_default=True, type=click.Path(path_type=Path, file_okay=False))  # fmt: skip
@option("--wait", "How long a call of Flagger's waits for a verdict; it gives up after 10 s.",
        metavar="SECONDS", default=8.0, show_default=True,
        type=click.FloatRange(0, 600))  # fmt: skip
@option("--longest", "How long one verification may take.", metavar="SECONDS", default=900.0,
        show_default=True, type=click.FloatRange(1, 86_400))  # fmt: skip
@option("--keep", "How long a verdict stands for the same step of a release.", metavar="SECONDS",
        default=3600.0, show_default=True, type=click.FloatRange(min=0))  # fmt: skip
@option("--context", "The kubeconfig's context, for Canaries and VirtualServices.",
        metavar="NAME")  # fmt: skip
@option("--users", "How many users ask at once.", type=click.IntRange(1, 1000), default=16,
        show_default=True)  # fmt: skip
@_question_options
@load_options
@option("--insecure", "Do not check the gateway's TLS certificate.", is_flag=True)
def gate(**options: Any) -> int:
    """Serve verifications over HTTP, for Flagger and Argo Rollouts.

    It asks only gateways that --host names, one at a time, with at most --requests each and at most
    --rate a second. Stop it with SIGTERM.
    """
    try:
        import uvicorn

        from gate.asked import Reader
        from gate.metrics import Metrics
        from gate.service import Gate, application
        from gate.verifications import Settings, Verifications
    except ImportError:
        raise InputError(MISSING) from None
    from analysis import question_of_options
    from analysis.options import check_load, hosts_of
    from trafficsplit.effect import VERIFY

    hosts = hosts_of(options["host"])
    # A wrong option is to be known now, and not at the first release.
    expected = {"weights": "a=1,b=1", **{name: options[name] for name in QUESTION}}
    question = question_of_options(**expected)
    check_load({name: options[name] or "" for name in LOAD}, question)
    address, port = _listening(options["listen"])
    _check_guarded(address, options)
    metrics = Metrics()
    command = [*VERIFY, *_verify_options(options)]
    settings = Settings(
        options["results"], command, options["keep"], options["longest"], metrics.take
    )
    verifications = Verifications(settings)
    verifications.recall()
    stable, _, canary = (part.strip() for part in options["variants"].partition(","))
    if not stable or not canary or "," in canary or stable == canary:
        raise InputError("--variants is not STABLE,CANARY, e.g. blue,green")
    reader = Reader(hosts, options["path"], (stable, canary), _Cluster(options["context"] or ""))
    app = application(
        Gate(reader, verifications, metrics, options["token"] or "", options["wait"],
             options["longest"])
    )  # fmt: skip
    config = uvicorn.Config(
        app, address, port, log_level="warning", access_log=False, server_header=False,
        timeout_keep_alive=30, limit_concurrency=1000, timeout_graceful_shutdown=60,
        ssl_certfile=options["tls_cert"], ssl_keyfile=options["tls_key"],
        ssl_ca_certs=options["client_ca"],
        ssl_cert_reqs=ssl.CERT_REQUIRED if options["client_ca"] else ssl.CERT_NONE,
    )  # fmt: skip

    class Server(uvicorn.Server):
        """Whoever waits for a verdict is told at once that there will be none."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            verifications.stopping.set()
            super().handle_exit(sig, frame)

    try:
        config.load()
        listener = _bound(address, port)
    except (OSError, ssl.SSLError) as error:
        what = options["tls_cert"] if isinstance(error, ssl.SSLError | FileNotFoundError) else (
            options["listen"])  # fmt: skip
        raise InputError(f"{what} cannot be used: {error.strerror or error}") from None
    scheme = "https" if options["tls_cert"] else "http"
    where = f"{scheme}://{address}:{listener.getsockname()[1]}"
    click.echo(f"The gate listens on {where}, for {', '.join(hosts)}")
    Server(config).run(sockets=[listener])
    return 0


class _Cluster:
    """Asks a live cluster for weights; credentials are looked for at the first time."""

    def __init__(self, context: str) -> None:
        self._context = context

    def __call__(self, kind: str, name: str, asked: Any, names: str) -> Any:
        from trafficsplit.sources import ClusterSource

        return ClusterSource(kind, name, asked, names, self._context).split()


def _verify_options(options: Mapping[str, Any]) -> list[str]:
    """Verify's options, as they are for every verification; flags are long, values apart."""
    found = ["--users", str(options["users"])]
    for name in (*QUESTION, *LOAD):
        if options[name] and name not in ITS_OWN:
            for line in str(options[name]).splitlines():
                found += [f"--{name.replace('_', '-')}", line]
    return [*found, *(["--insecure"] if options["insecure"] else [])]


def _listening(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        address = ""
    if not address or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--listen {text!r} is no ADDRESS:PORT, e.g. 127.0.0.1:8080")
    return address, int(port)


def _check_guarded(address: str, options: Mapping[str, Any]) -> None:
    """An open gate on a network would be a way to attack others. Raises InputError."""
    for one, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert"), ("client_ca", "tls_cert")):
        if options[one] and not options[other]:
            flags = (f"--{name.replace('_', '-')}" for name in (one, other))
            raise InputError("{} needs {}".format(*flags))
    guarded = options["token"] or options["client_ca"] or options["open"]
    if not guarded and not ipaddress.ip_address(address).is_loopback:
        raise InputError(
            f"{address} is not this machine alone: give --token or --client-ca, or say --open"
        )


def _bound(address: str, port: int) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None
    return listener
