"""Istio's Gateway: which requests it takes, and hands on to VirtualServices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trafficsplit.errors import InputError
from trafficsplit.weights.fields import Fields
from trafficsplit.weights.routes import Beside, Probe, covers, meet

if TYPE_CHECKING:
    from trafficsplit.weights.istio import VirtualService

PLAIN = {"HTTP", "HTTP2", "GRPC", "GRPC-WEB"}  # protocols, in plain text
SECURE = {"HTTPS", "TLS"}


def why_not_through(service: VirtualService, probe: Probe, beside: Beside) -> InputError | None:
    """Return why no gateway of a VirtualService takes a request; None if one may.

    A gateway that is not in the manifest may have any servers, unless one of its name stands there
    in another namespace.
    """
    if not service.outer:
        return None
    hidden = _why_hidden(service, beside)
    if hidden is not None:
        return hidden
    if any(name not in beside.gateways for name in service.outer):
        return None
    redirect: InputError | None = None
    for name in service.outer:
        namespace = name.partition("/")[0]
        for server in beside.gateways[name].fields("spec").each("servers"):
            if not _takes(server, probe) or not _lets_in(server, namespace, service, probe):
                continue
            if probe.scheme == "http" and server.fields("tls").take("httpsRedirect", bool, False):
                redirect = server.error(
                    "the gateway answers this request with a redirect 301 to https: give --host "
                    "https://…",
                    "tls",
                )
                continue
            return None
    if redirect is not None:
        return redirect
    names = ", ".join(service.outer)
    where = f" on port {probe.port}" if probe.port else ""
    return service.spec.error(
        f"no server of Gateway {names} takes {probe.host or 'its hosts'}{where} (404): give "
        "another --host, or --header 'Host: …'",
        "gateways",
    )


def _why_hidden(service: VirtualService, beside: Beside) -> InputError | None:
    """Return why no gateway sees a VirtualService that would be for it, None if one may."""
    if service.exported == (".",) and not any(
        name.partition("/")[0] == service.namespace for name in service.outer
    ):
        return service.spec.error(
            f"it is exported to its own namespace {service.namespace} alone, and its gateway is of "
            f"another ({', '.join(service.outer)}), which does not see it (404)",
            "exportTo",
        )
    for name in service.outer:
        if name in beside.gateways:
            return None
        bare = name.partition("/")[2]
        elsewhere = [one for one in beside.gateways if one.partition("/")[2] == bare]
        if not elsewhere:
            return None
    return service.spec.error(
        f"there is no Gateway {name}, but {', '.join(elsewhere)}: a name without a namespace is "
        "one of the VirtualService's own",
        "gateways",
    )


def _takes(server: Fields, probe: Probe) -> bool:
    """Return whether a server listens for a request, by protocol and port."""
    port = server.fields("port")
    protocol = port.text("protocol", "HTTP").upper()
    if probe.scheme == "http" and protocol in SECURE:
        return False
    if probe.scheme == "https" and protocol in PLAIN:
        return False
    number = port.take("number", int, 0)
    return not probe.port or not number or number == probe.port


def _lets_in(server: Fields, namespace: str, service: VirtualService, probe: Probe) -> bool:
    """Return whether a server has a host for the request, and lets the VirtualService serve it."""
    hosts = list(_hosts_for(server, namespace, service.namespace))
    if not probe.host:
        return meet(hosts, service.hosts)
    return any(covers(host, probe.host_name) for host in hosts)


def _hosts_for(server: Fields, own: str, namespace: str) -> Iterator[str]:
    """Yield the hosts of a server that a VirtualService of a namespace may serve."""
    for entry in server.strings("hosts"):
        wanted, _, host = entry.rpartition("/")
        if wanted in ("", "*", namespace) or (wanted == "." and own == namespace):
            yield host
