"""The series of Prometheus in which proxies count requests: their labels, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trafficsplit.errors import InputError

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Series:
    """A proxy's counter of requests: its selector, and the label that names the variant."""

    selector: str
    by: str


SERIES = {
    "istio": Series('istio_requests_total{reporter="source"}', ""),
    "envoy": Series("envoy_cluster_upstream_rq", "envoy_cluster_name"),
    "gloo": Series("envoy_cluster_upstream_rq", "envoy_cluster_name"),
    "nginx-ingress": Series("nginx_ingress_controller_requests", "canary"),
    "traefik": Series("traefik_service_requests_total", "service"),
    "linkerd": Series('response_total{direction="outbound"}', "dst_deployment"),
    "kong": Series("kong_http_requests_total", "service"),
    "haproxy": Series("haproxy_server_http_responses_total", "server"),
    "knative": Series("revision_app_request_count", "revision_name"),
}
USUAL = "istio"
# Labels of the answer's status, the plainest first: HTTP's, its class, what it amounts to.
CODES = (
    "response_code",
    "code",
    "status",
    "status_code",
    "http_status",
    "http_response_status_code",
    "http_status_code",
    "envoy_response_code",
    "response_code_class",
    "envoy_response_code_class",
    "status_class",
    "code_class",
    "classification",
    "grpc_response_status",
    "grpc_status",
    "grpc_code",
)
GOOD_WORDS = {"success", "ok"}
GRPC = "grpc"  # in the names of labels whose 0 is success
SERVICES = (
    "destination_service",
    "destination_service_name",
    "dst_service",
    "exported_service",
    "service",
    "proxy",
    "configuration_name",
    "ingress",
)


def selector_of(name: str) -> Series:
    """Return the series of a proxy. Raises InputError."""
    if name not in SERIES:
        raise InputError(f"--series {name!r} is not known: say one of {', '.join(SERIES)}")
    return SERIES[name]


def code_label(counters: Sequence[Labels], wanted: str, *, without: bool) -> str:
    """Return the label of the answers' status; empty where it is asked to do `without`.

    Raises InputError where a counter has none: its answers may be errors.
    """
    if without:
        return ""
    names = [wanted] if wanted else list(CODES)
    for name in names:
        having = sum(name in labels for labels in counters)
        if having == len(counters):
            return name
        if having:
            raise InputError(
                f"{len(counters) - having} of {len(counters)} series have no label {name}, so that "
                "their answers may be errors: select those that have, or say --no-code"
            )
    present = ", ".join(sorted({name for labels in counters for name in labels}))
    asked = f"no label {wanted}" if wanted else "no label that is known for the answers' status"
    raise InputError(
        f"{asked} is there, but {present}: give --code LABEL, or --no-code where all are answers"
    )


def is_good(label: str, value: str) -> bool:
    """Return whether a status is that of a good answer: 2xx, success, gRPC's 0."""
    if value.lower() in GOOD_WORDS:
        return True
    if GRPC in label:
        return value == "0"
    return value.startswith("2")


def check_one_service(counters: Sequence[Labels], by: str) -> None:
    """Refuse counters that count a request twice, or the requests of several services.

    Raises InputError.
    """
    reporters = {labels["reporter"] for labels in counters if "reporter" in labels}
    if len(reporters) > 1:
        raise InputError(
            f"each request is counted by several reporters ({', '.join(sorted(reporters))}): give "
            "--query '…{reporter=\"source\"}'"
        )
    for name in SERVICES:
        if name == by:
            return  # the services are the variants
        services = sorted({labels[name] for labels in counters if labels.get(name)})
        if len(services) > 1:
            raise InputError(
                f"these are requests of several services ({name}: {', '.join(services[:5])}): give "
                f"--query '…{{{name}=\"…\"}}', or --by {name}"
            )
