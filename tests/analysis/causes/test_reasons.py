import pytest

from trafficsplit.analysis.causes.reasons import Kind, kind_of, main_kind, said_by

RESET = "upstream connect error or disconnect/reset before headers. retried and the latest "


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({}, b"", ""),
        ({}, b"<html>Service Unavailable</html>", ""),
        ({}, b"no healthy upstream", "no healthy upstream"),
        ({}, b"fault filter abort", "fault filter abort"),
        ({"x-envoy-overloaded": "true"}, b"whatever", "x-envoy-overloaded"),
        (
            {},
            RESET.encode()
            + b"reset reason: remote connection failure, transport failure reason: 10.0.0.1:80",
            "upstream connect error (remote connection failure)",
        ),
        ({}, b"no healthy upstream\xff" + b"x" * 500, "no healthy upstream\ufffd" + "x" * 100),
    ],
)
def test_what_a_gateway_says_itself(headers: dict[str, str], body: bytes, said: str) -> None:
    assert said_by(headers, body) == said


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("HTTP 503", Kind.FAILING),
        ("HTTP 503: x-envoy-overloaded", Kind.OVERLOADED),
        ("HTTP 503: upstream connect error (overflow)", Kind.OVERLOADED),
        ("HTTP 503: upstream connect error (connection timeout)", Kind.NOT_CONNECTED),
        ("HTTP 503: no healthy upstream", Kind.NO_PODS),
        ("HTTP 503: fault filter abort", Kind.FAULT),
        ("HTTP 504: upstream request timeout", Kind.SLOW),
        ("HTTP 504", Kind.SLOW),
        ("no answer within 10 seconds", Kind.SLOW),
        ("HTTP 502", Kind.NOT_CONNECTED),
        ("HTTP 429: local_rate_limited", Kind.LIMITED),
        ("HTTP 403: RBAC: access denied", Kind.DENIED),
        ("the page names no background color", Kind.FAILING),
    ],
)
def test_what_a_reason_means(reason: str, kind: Kind) -> None:
    assert kind_of(reason) is kind


def test_the_main_kind_is_that_of_most() -> None:
    assert main_kind({}) is Kind.FAILING
    assert main_kind({"HTTP 504": 80, "HTTP 503": 20}) is Kind.SLOW
    assert main_kind({"HTTP 504": 40, "no answer within 1 seconds": 40, "x": 20}) is Kind.SLOW
    assert main_kind({"HTTP 504": 79, "HTTP 503": 21}) is Kind.FAILING
