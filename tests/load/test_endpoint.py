"""Where requests go: names and addresses, TLS, and the bytes of a request."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import gevent.socket
import pytest

from tests.support.gateways import certificate
from trafficsplit.errors import InputError
from trafficsplit.load.endpoint import (
    GatewayAddress,
    endpoint_of,
    gateway_addresses,
    resolve,
    tls_context,
)
from trafficsplit.settings.load import ConnectionSettings

PLAIN = ConnectionSettings()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("http://Gateway:8080", "gateway"),
        ("https://10.0.0.7", "10.0.0.7"),
        ("http://[fd00::7]:80/base", "fd00::7"),
    ],
)
def test_a_gateways_name_is_as_dns_knows_it(host: str, name: str) -> None:
    assert GatewayAddress(host).name == name
    assert str(GatewayAddress(host)) == host
    assert str(GatewayAddress(host, "10.0.0.9")) == f"{host} (10.0.0.9)"


def test_a_base_url_is_one_gateway_or_one_for_each_address() -> None:
    given = {"gw": ("10.0.0.1", "10.0.0.2"), "one": ("10.0.0.3",)}
    assert list(gateway_addresses(["http://gw:80", "http://one", "http://other"], given)) == [
        GatewayAddress("http://gw:80", "10.0.0.1"),
        GatewayAddress("http://gw:80", "10.0.0.2"),
        GatewayAddress("http://one"),
        GatewayAddress("http://other"),
    ]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Addresses by name, as the system's resolver tells them."""
    known: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[object]:
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def test_without_addresses_dns_is_asked_for_all_of_a_name(dns: dict[str, list[str]]) -> None:
    dns["gw"] = ["10.0.0.2", "10.0.0.1", "10.0.0.2"]
    dns["one"] = ["10.0.0.3"]
    assert list(gateway_addresses(["http://gw", "http://one"], {"gw": (), "one": ()})) == [
        GatewayAddress("http://gw", "10.0.0.1"),
        GatewayAddress("http://gw", "10.0.0.2"),
        GatewayAddress("http://one"),
    ]


def test_a_name_without_an_address_is_refused(dns: dict[str, list[str]]) -> None:
    assert dns == {}
    with pytest.raises(InputError, match=r"gw has no address .*: check the name, or --resolve"):
        list(gateway_addresses(["http://gw"], {"gw": ()}))
    with pytest.raises(InputError, match="gw has no address"):
        endpoint_of(GatewayAddress("http://gw"), PLAIN)


@pytest.mark.parametrize("host", ["a" * 70, "gw\u0000", "x..y"])
def test_a_name_that_cannot_be_asked_for_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="has no address"):
        endpoint_of(GatewayAddress(f"http://{host}.invalid"), PLAIN)


def test_an_endpoint_of_plain_http(dns: dict[str, list[str]]) -> None:
    dns["gw"] = ["10.0.0.1", "10.0.0.2"]
    endpoint = endpoint_of(GatewayAddress("http://gw:8080/base/"), PLAIN)
    assert endpoint.addresses == [
        (socket.AF_INET, ("10.0.0.1", 8080)),
        (socket.AF_INET, ("10.0.0.2", 8080)),
    ]
    assert (endpoint.name, endpoint.host, endpoint.prefix) == ("gw", "gw:8080", "/base")
    assert endpoint.context is None
    request = endpoint.request("/color", {"X-A": "1"})
    assert request.startswith(b"GET /base/color HTTP/1.1\r\nHost: gw:8080\r\n")
    assert b"\r\nX-A: 1\r\n" in request


def test_an_endpoint_at_an_address_keeps_its_name(dns: dict[str, list[str]]) -> None:
    dns["10.0.0.9"] = ["10.0.0.9"]
    endpoint = endpoint_of(GatewayAddress("https://gw", "10.0.0.9"), PLAIN)
    assert endpoint.addresses == [(socket.AF_INET, ("10.0.0.9", 443))]
    assert (endpoint.name, endpoint.host) == ("gw", "gw")
    assert endpoint.context is not None
    assert endpoint.context.verify_mode == ssl.CERT_REQUIRED


def test_what_is_trusted_is_the_systems_or_a_file_or_anything(tmp_path: Path) -> None:
    file, key = certificate(tmp_path, "gw")
    trusted = tls_context(ConnectionSettings(ca_file=str(file)))
    assert [dict(one["subject"][0])["commonName"] for one in trusted.get_ca_certs()] == ["gw"]  # type: ignore[arg-type]
    anything = tls_context(ConnectionSettings(insecure=True))
    assert (anything.verify_mode, anything.check_hostname) == (ssl.CERT_NONE, False)
    with pytest.raises(InputError, match=r"nothing.pem cannot be used: No such file"):
        tls_context(ConnectionSettings(ca_file=str(tmp_path / "nothing.pem")))
    with pytest.raises(InputError, match=r"key.pem cannot be used: no certificate in PEM"):
        tls_context(ConnectionSettings(ca_file=str(key)))


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever replaces the resolver is taken back after the test."""
    for module in (socket, gevent.socket):
        monkeypatch.setattr(module, "getaddrinfo", module.getaddrinfo)


@pytest.mark.usefixtures("_restored")
def test_names_get_the_addresses_that_are_given() -> None:
    resolve({"gw.invalid": "127.0.0.1"})
    for module in (socket, gevent.socket):
        ((*_, address),) = module.getaddrinfo("gw.invalid", 80, type=socket.SOCK_STREAM)
        assert address == ("127.0.0.1", 80)
        ((*_, other),) = module.getaddrinfo("127.0.0.2", 80, type=socket.SOCK_STREAM)
        assert other == ("127.0.0.2", 80)
    resolve({"gw.invalid": "127.0.0.3"})  # another time: those before are forgotten
    ((*_, address),) = socket.getaddrinfo("gw.invalid", 80, type=socket.SOCK_STREAM)
    assert address == ("127.0.0.3", 80)
