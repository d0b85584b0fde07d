from __future__ import annotations

from trafficsplit.weights.probe import probe_of


def test_the_host_is_the_headers_or_else_the_first_urls() -> None:
    hosts = ["http://gw.example:8080", "http://other"]
    assert probe_of(hosts, "/color", {}).host == "gw.example:8080"
    assert probe_of(hosts, "/color", {"HOST": "shop.example"}).host == "shop.example"
    assert probe_of([], "/color", {}).host == ""


def test_headers_have_lower_case_names() -> None:
    probe = probe_of([], "/color?x=1", {"X-Flag": "On"})
    assert probe.headers == {"x-flag": "On"}
    assert probe.path == "/color?x=1"
