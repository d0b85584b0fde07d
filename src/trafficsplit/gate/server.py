"""The gate as a server: its socket, its TLS, and its end."""

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
from trafficsplit.weights.cluster import Release, connect, read_release
from trafficsplit.weights.manifests import Choice
from trafficsplit.weights.routes import Probe
from trafficsplit.weights.sources import ClusterSource


def serve(settings: GateSettings) -> None:
    """Serve verifications until SIGTERM. Raises InputError for settings that cannot be used."""
    # Settings that no verification could have are refused now, and not at the first release.
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
    keeping = Keeping(settings.results, settings.keep, settings.longest, settings.in_force_within)
    verifications = Verifications(keeping, metrics.take)
    verifications.recall()
    listening = settings.listening
    gate = Gate(
        reader=Reader(settings, split_of, release_of),
        verifications=verifications,
        metrics=metrics,
        token=listening.token,
        wait=settings.wait,
        patience=settings.longest,
    )
    config = _config(gate, listening)
    try:
        config.load()
        listener = _bind(listening)
    except (OSError, ssl.SSLError) as error:
        culprit = f"{listening.address}:{listening.port}"
        if isinstance(error, ssl.SSLError | FileNotFoundError):
            culprit = listening.tls_cert
        raise InputError(f"{culprit} cannot be used: {error.strerror or error}") from None
    scheme = "https" if listening.tls_cert else "http"
    url = f"{scheme}://{listening.address}:{listener.getsockname()[1]}"
    say(f"The gate listens on {url}, for {', '.join(settings.hosts)}")
    _Server(config, verifications).run(sockets=[listener])


def split_of(source: SourceSettings, probe: Probe) -> Split:
    """Return the weights of a live cluster's resource. Raises InputError."""
    return ClusterSource(source, Choice(probe, mapping=source.mapping)).split()


def release_of(kind: str, reference: str, context: str) -> Release:
    """Return the release that a live cluster's Canary or Rollout is in. Raises InputError."""
    return read_release(connect(context), kind, reference)


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
    """A server that answers all requests that wait for a verdict as soon as it stops."""

    def __init__(self, config: uvicorn.Config, verifications: Verifications) -> None:
        super().__init__(config)
        self._verifications = verifications

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._verifications.stopping.set()
        super().handle_exit(sig, frame)


def _bind(listening: Listening) -> socket.socket:
    """Return a socket that is bound to an address. Raises OSError, with a reason of few words."""
    family = socket.AF_INET6 if ":" in listening.address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((listening.address, listening.port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, os.strerror(error.errno or 0)) from None
    return listener
