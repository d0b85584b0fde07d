"""The gate, listening: its sockets, its TLS, and its end."""

from __future__ import annotations

import os
import socket
import ssl
from types import FrameType

import uvicorn

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.frame import say
from trafficsplit.gate.metrics import Metrics
from trafficsplit.gate.requests import Reader
from trafficsplit.gate.service import Gate, application
from trafficsplit.gate.verifications import Keeping, Verifications
from trafficsplit.locust.plan import check_settings
from trafficsplit.settings.commands import GateSettings, Listening, SourceSettings
from trafficsplit.settings.load import SendingSettings
from trafficsplit.settings.verify import VerifySettings
from trafficsplit.weights.manifests import Choice
from trafficsplit.weights.routes import Probe
from trafficsplit.weights.sources import ClusterSource


def serve(settings: GateSettings) -> None:
    """Serve verifications until SIGTERM. Raises InputError where that cannot be begun."""
    # What no request could be verified with is refused now, and not at the first release.
    check_settings(
        VerifySettings(
            hosts=(),
            split=Split(dict.fromkeys(settings.variants, 1.0)),
            limits=settings.limits,
            load=settings.load,
            sending=SendingSettings(users=settings.users),
        )
    )
    metrics = Metrics()
    keeping = Keeping(settings.results, settings.keep, settings.longest)
    verifications = Verifications(keeping, metrics.take)
    verifications.recall()
    gate = Gate(
        Reader(settings, split_of),
        verifications,
        metrics,
        settings.listening.token,
        settings.wait,
        settings.longest,
    )
    listening = settings.listening
    config = _config(gate, listening)
    try:
        config.load()
        listener = _bound(listening)
    except (OSError, ssl.SSLError) as error:
        what = f"{listening.address}:{listening.port}"
        if isinstance(error, ssl.SSLError | FileNotFoundError):
            what = listening.tls_cert
        raise InputError(f"{what} cannot be used: {error.strerror or error}") from None
    scheme = "https" if listening.tls_cert else "http"
    where = f"{scheme}://{listening.address}:{listener.getsockname()[1]}"
    say(f"The gate listens on {where}, for {', '.join(settings.hosts)}")
    _Server(config, verifications).run(sockets=[listener])


def split_of(source: SourceSettings, probe: Probe) -> Split:
    """Return the weights of a live cluster's resource. Raises InputError."""
    return ClusterSource(source, Choice(probe, mapping=source.mapping)).split()


def _config(gate: Gate, listening: Listening) -> uvicorn.Config:
    return uvicorn.Config(
        application(gate),
        listening.address,
        listening.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        limit_concurrency=1000,
        timeout_graceful_shutdown=60,
        ssl_certfile=listening.tls_cert or None,
        ssl_keyfile=listening.tls_key or None,
        ssl_ca_certs=listening.client_ca or None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if listening.client_ca else ssl.CERT_NONE,
    )


class _Server(uvicorn.Server):
    """A server that tells those who wait for a verdict at once that there will be none."""

    def __init__(self, config: uvicorn.Config, verifications: Verifications) -> None:
        super().__init__(config)
        self._verifications = verifications

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._verifications.stopping.set()
        super().handle_exit(sig, frame)


def _bound(listening: Listening) -> socket.socket:
    family = socket.AF_INET6 if ":" in listening.address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((listening.address, listening.port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None
    return listener
