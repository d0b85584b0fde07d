"""Gateways, backends and policies that go wrong, or are unusual, on the real Istio."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateways import certificate
from tests.support.haproxies import proxy
from tests.support.istio import CANARY, Cluster, gateway_pods

ISTIOD = "10.244.0.1"
XDS_PORT = "15010"
RULES = CANARY.read_text("utf-8")
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: color-is-dr}
spec:
  host: color-service
  trafficPolicy: %s
  subsets:
    - {name: blue-sub, labels: {color: blue}}
    - {name: green-sub, labels: {color: green}}
"""
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("as_configured")]


def envoy_of(istio: Cluster, number: int) -> int:
    """Return the process of a gateway, by its number in the order of names."""
    pod = sorted(gateway_pods(istio))[number]
    (pid,) = istio.processes("--config-path", pod)
    return pid


def verify(istio: Cluster, hosts: Sequence[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    options = [part for host in hosts for part in ("--host", host)]
    done = istio.run("verify", "--json", *options, *arguments)
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        raise AssertionError(done.stderr) from None


@contextlib.contextmanager
def cut_off(pid: int) -> Iterator[None]:
    """Keep a gateway from hearing of istiod, by rules of its own network that drop both ways."""
    inside = ["nsenter", "--user", "--net", f"--target={pid}", "--preserve-credentials", "ip"]

    def change(verb: str, *rule: str) -> None:
        subprocess.run([*inside, "rule", verb, *rule], check=True)

    to = ("pref", "1", "to", ISTIOD, "ipproto", "tcp", "dport", XDS_PORT, "blackhole")
    back = ("pref", "2", "from", ISTIOD, "ipproto", "tcp", "sport", XDS_PORT, "blackhole")
    change("add", "pref", "5", "lookup", "local")  # instead of the first of all rules
    change("del", "pref", "0")
    change("add", *to)
    change("add", *back)
    try:
        yield
    finally:
        change("del", *to)
        change("del", *back)
        change("add", "pref", "0", "lookup", "local")
        change("del", "pref", "5")


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def meanwhile(after: float, *act: str, istio: Cluster) -> Iterator[None]:
    """Run kubectl some seconds after the start of what is within."""
    timer = threading.Timer(after, istio.try_kubectl, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def with_weights(blue: int, green: int) -> str:
    text = RULES.replace("weight: 75", f"weight: {blue}")
    return text.replace("weight: 25", f"weight: {green}")


# --- gateways ---


def test_all_gateways_as_configured(istio: Cluster, each: list[str]) -> None:
    for number in (1, 2, 4):
        code, verdict = verify(istio, each[:number], "--weight", "25", "--tolerance", "5")
        assert code == 0, verdict["reason"]
    code, verdict = istio.verify("--weight", "25")  # behind the balancer
    assert code == 0, verdict["reason"]


def test_one_that_does_not_hear_of_new_weights(istio: Cluster, each: list[str]) -> None:
    with cut_off(envoy_of(istio, 2)):
        time.sleep(0.2)
        istio.kubectl("apply", "-f", "-", text=with_weights(40, 60))
        istio.settle()
        code, verdict = verify(istio, each, "--weight", "60", "--previous-weight", "25")
        assert (code, verdict["verdict"]) == (1, "mismatch"), verdict["reason"]
        assert each[2] in verdict["reason"]
        assert "still has the old weights" in verdict["diagnosis"]["summary"]
        code, verdict = istio.verify("--weight", "60")  # one address for all
        assert code in (1, 3), verdict["reason"]
    istio.wait_until(lambda: _all_have(istio, each, "60"), "the new weights at all of them")


def _all_have(istio: Cluster, each: list[str], green: str) -> bool:
    return verify(istio, each, "--weight", green, "--tolerance", "5")[0] == 0


@pytest.mark.parametrize("mode", [(), ("--rate", "400")], ids=["closed", "rate"])
def test_one_that_hangs(istio: Cluster, each: list[str], mode: tuple[str, ...]) -> None:
    with stopped(envoy_of(istio, 1)):
        options = ("--weight", "25", "--timeout", "2s", *mode)
        code, verdict = verify(istio, each, *options)
        assert (code, verdict["verdict"]) == (4, "failing"), verdict["reason"]
        assert each[1] in verdict["reason"]
        code, verdict = istio.verify(*options)
        assert (code, verdict["verdict"]) == (4, "failing"), verdict["reason"]


def test_one_that_is_killed_in_mid_run_is_no_mismatch(istio: Cluster) -> None:
    pid = envoy_of(istio, 3)
    timer = threading.Timer(1.5, os.kill, (pid, signal.SIGKILL))
    timer.start()
    code, verdict = istio.verify("--weight", "25", "--rate", "1000")
    timer.join()
    assert code in (0, 3, 4), verdict["reason"]
    istio.kubectl("rollout", "status", "-n", "istio-system", "deployment/istio-ingressgateway")


@pytest.mark.parametrize("number", [1, 2, 4])
def test_behind_a_balancer_of_connections(
    istio: Cluster, each: list[str], tmp_path: Path, number: int
) -> None:
    with balanced(tmp_path, each[:number]) as address:
        code, verdict = verify(istio, [address], "--weight", "25", "--tolerance", "5")
        assert code == 0, verdict["reason"]
        if number == 1:
            return
        with cut_off(envoy_of(istio, 1)):
            time.sleep(0.2)
            istio.kubectl("apply", "-f", "-", text=with_weights(40, 60))
            istio.settle()
            code, verdict = verify(istio, [address], "--weight", "60")
            assert code in (1, 3), verdict["reason"]


BALANCER = """
listen gateways
  mode tcp
  balance roundrobin
  bind 127.0.0.1:{gateways}
{servers}
"""


@contextlib.contextmanager
def balanced(directory: Path, urls: Sequence[str]) -> Iterator[str]:
    """The address of a HAProxy that deals connections to gateways in turn."""
    servers = [f"  server s{number} {url[7:]}" for number, url in enumerate(urls)]
    lines = "\n".join(servers)
    with proxy(directory, BALANCER, ["gateways"], servers=lines) as running:
        yield running.url("gateways")


def test_gateways_that_come_and_go_in_mid_run(istio: Cluster) -> None:
    gateways = ("scale", "-n", "istio-system", "deployment/istio-ingressgateway")
    for replicas in ("8", "4"):
        with meanwhile(0.7, *gateways, f"--replicas={replicas}", istio=istio):
            code, verdict = istio.verify("--weight", "25", "--rate", "1500")
        assert code in (0, 3, 4), verdict["reason"]
        istio.kubectl("rollout", "status", "-n", "istio-system", "deployment/istio-ingressgateway")
        code, verdict = istio.verify("--weight", "25")  # by eight, then by four
        assert code == 0, verdict["reason"]


HTTPS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: color-is-gw}
spec:
  selector: {istio: ingressgateway}
  servers:
    - port: {number: 80, name: http, protocol: HTTP}
      hosts: ["*"]
      tls: {httpsRedirect: true}
    - port: {number: 443, name: https, protocol: HTTPS}
      hosts: ["*"]
      tls: {mode: SIMPLE, credentialName: certificate}
"""


def test_tls_at_a_gateway_that_chooses_http2_where_it_can(istio: Cluster, tmp_path: Path) -> None:
    file, key = certificate(tmp_path, "shop.example.com")
    secret = ("secret", "tls", "certificate", "-n", "istio-system")
    istio.kubectl("create", *secret, f"--cert={file}", f"--key={key}")
    istio.kubectl("apply", "-f", "-", text=HTTPS)
    istio.settle()
    url = istio.url("istio-system/istio-ingressgateway:https")
    assert chosen_protocol(url) == "h2"
    code, verdict = verify(istio, [url], "--weight", "25", "--insecure")
    assert code == 0, verdict["reason"]
    code, verdict = istio.verify("--weight", "25")  # by plain HTTP
    assert (code, verdict["verdict"]) == (4, "failing")
    assert "redirects to https://" in verdict["reason"]
    istio.kubectl("delete", "secret", "certificate", "-n", "istio-system")


def chosen_protocol(url: str) -> str | None:
    """Return the protocol that a gateway chooses of HTTP/2 and HTTP/1.1."""
    host, _, port = url.rpartition("//")[2].partition(":")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return secure.selected_alpn_protocol()


# --- backends ---


def test_backends_that_are_rolled_in_mid_run(istio: Cluster) -> None:
    restart = ("rollout", "restart", "deployment/dep-color-green")
    with meanwhile(1.0, *restart, istio=istio):
        code, verdict = istio.verify("--weight", "25", "--rate", "1000")
    assert code in (0, 3, 4), verdict["reason"]


def test_a_backend_without_pods_is_failing_with_its_name(istio: Cluster) -> None:
    istio.kubectl("scale", "deployment/dep-color-green", "--replicas=0")
    istio.settle()
    code, verdict = istio.verify("--weight", "25")
    assert (code, verdict["verdict"]) == (4, "failing"), verdict["reason"]
    assert "green" in verdict["diagnosis"]["summary"]


# --- policies ---

POLICIES = {
    "round robin": "{loadBalancer: {simple: ROUND_ROBIN}}",
    "least request": "{loadBalancer: {simple: LEAST_REQUEST}}",
    "random": "{loadBalancer: {simple: RANDOM}}",
    "hash by header": "{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}",
    "hash by cookie": "{loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 1h}}}}",
    "hash by source": "{loadBalancer: {consistentHash: {useSourceIp: true}}}",
    "outliers": "{outlierDetection: {consecutive5xxErrors: 3, interval: 1s}}",
    "pool": "{connectionPool: {tcp: {maxConnections: 100}, http: {http1MaxPendingRequests: 100}}}",
    "warm-up": "{loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s}}}",
}


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_within_a_subset_does_not_move_the_split(istio: Cluster, policy: str) -> None:
    istio.kubectl("scale", "deployment/dep-color-green", "--replicas=2")
    istio.kubectl("apply", "-f", "-", text=RULE % POLICIES[policy])
    istio.kubectl("rollout", "status", "deployment/dep-color-green", "--timeout=60s")
    istio.settle()
    code, verdict = istio.verify("--weight", "25", "--tolerance", "4")
    assert code == 0, verdict["reason"]


HTTP = {
    "retries": "retries: {attempts: 3, retryOn: 5xx}",
    "time-out": "timeout: 10s",
    "mirror": "mirror: {host: color-service, subset: green-sub}",
}


def with_rule(text: str) -> str:
    """Return the canary with more in its rule."""
    rule = "    - match:\n        - uri:\n            prefix: /color # a prefix"
    assert rule in RULES
    return RULES.replace(rule, f"    - {text}\n      {rule.lstrip(' -')}")


@pytest.mark.parametrize("rule", HTTP)
def test_a_rule_beside_the_weights_does_not_move_them(istio: Cluster, rule: str) -> None:
    istio.kubectl("apply", "-f", "-", text=with_rule(HTTP[rule]))
    istio.settle()
    code, verdict = istio.verify("--weight", "25", "--tolerance", "4")
    assert code == 0, verdict["reason"]


def test_a_fault_that_is_injected_is_named(istio: Cluster) -> None:
    fault = "fault: {abort: {httpStatus: 503, percentage: {value: 20}}}"
    istio.kubectl("apply", "-f", "-", text=with_rule(fault))
    istio.settle()
    code, verdict = istio.verify("--weight", "25")
    assert (code, verdict["verdict"]) == (4, "failing"), verdict["reason"]
    assert "fault" in verdict["diagnosis"]["summary"]


def test_a_short_time_out_with_slow_answers_is_named(istio: Cluster) -> None:
    fault = "fault: {delay: {fixedDelay: 3s, percentage: {value: 10}}}"
    istio.kubectl("apply", "-f", "-", text=with_rule(fault))
    istio.settle()
    code, verdict = istio.verify("--weight", "25", "--timeout", "1s")
    assert (code, verdict["verdict"]) == (4, "failing"), verdict["reason"]
