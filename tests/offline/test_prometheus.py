"""Real users' traffic as Prometheus has counted it, from a server that answers as it does."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.servers import free_port, plain, served
from tests.support.runs import CANARY
from trafficsplit.analysis.tally import Tally
from trafficsplit.errors import InputError
from trafficsplit.offline.prometheus import Window, increase, tally_of
from trafficsplit.offline.series import SERIES, selector_of


def series(
    values: Sequence[float | str], labels: Mapping[str, str], *, first: float = 0.0
) -> dict[str, Any]:
    """Return a counter as Prometheus gives it, scraped every 15 seconds from `first` on."""
    samples = [[1000 + first + 15 * n, str(value)] for n, value in enumerate(values)]
    return {"metric": {"job": "istio", "instance": "a", **labels}, "values": samples}


BLUE = {"destination_version": "blue"}
GREEN = {"destination_version": "green"}
VERSION = {"version": "green"}


def matrix(*every: dict[str, Any]) -> bytes:
    data = {"resultType": "matrix", "result": list(every)}
    return json.dumps({"status": "success", "data": data}).encode()


@contextlib.contextmanager
def prometheus(answer: bytes, up: bytes | None = None) -> Iterator[str]:
    """Yield the base URL of a server with this answer to every query, but to one for `up`."""

    def handler(connection: socket.socket, _: int) -> None:
        while request := connection.recv(65536):
            of_up = up is not None and b"?query=up%5B" in request
            connection.sendall(plain(up if up is not None and of_up else answer))

    with served(handler) as port:
        yield f"http://127.0.0.1:{port}"


def counted(
    *every: dict[str, Any], up: bytes | None = None, by: str = "", **mapping: str
) -> tuple[Tally, float]:
    """Return what is counted of these counters, all answers without a status as good ones."""
    without = not any("response_code" in one["metric"] for one in every)
    with prometheus(matrix(*every), up if up is not None else matrix()) as url:
        return tally_of(Window(url, by=by, without_code=without), CANARY, mapping)


def test_what_counters_grew_by_is_counted_by_variant() -> None:
    tally, elapsed = counted(
        series([100, 150, 250], BLUE | {"response_code": "200"}),
        series([40, 40, 90], GREEN | {"response_code": "200"}),
        series([0, 5, 7], GREEN | {"response_code": "503"}),
        series([1, 1, 4], {"destination_version": "", "response_code": "200"}),
    )
    assert tally == Tally({"blue": 150, "green": 50}, 7, 3)
    assert elapsed == 30.0


def test_a_counter_that_begins_in_the_window_began_at_zero() -> None:
    tally, _ = counted(
        series([0, 10, 20, 30], BLUE),
        series([5, 9], GREEN, first=30.0),
    )
    assert tally == Tally({"blue": 30, "green": 9})


def test_a_counter_that_was_there_all_the_time_counts_from_its_first_sample() -> None:
    tally, _ = counted(
        series([0, 10, 20, 30], BLUE),
        series([1000, 1004], GREEN),
    )
    assert tally == Tally({"blue": 30, "green": 4})


def test_a_counter_of_a_target_that_was_scraped_before_is_new() -> None:
    late = series([5, 9], GREEN, first=30.0)
    assert counted(late)[0].counts["green"] == 4
    up = matrix(series([1, 1, 1, 1], {"__name__": "up"}))
    assert counted(late, up=up)[0].counts["green"] == 9
    other = matrix(series([1, 1, 1, 1], {"__name__": "up", "instance": "b"}))
    assert counted(late, up=other)[0].counts["green"] == 4


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_counter_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="is no counter"):
        counted(series([1, value], GREEN))


@pytest.mark.parametrize(
    ("values", "new", "grew"),
    [
        ([5, 7, 7, 20], False, 15),
        ([5, 7, 7, 20], True, 20),
        ([50, 60, 3, 8], False, 18),  # it began again
        ([5], False, 0),
        ([5], True, 5),
        ([0.1, 0.7], False, 1),
    ],
)
def test_a_counter_that_falls_has_begun_again(
    values: Sequence[float], new: bool, grew: int
) -> None:
    assert increase(values, new=new) == grew


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_no_counter_grows_by_less_than_nothing(values: list[int]) -> None:
    assert 0 <= increase(values) <= increase(values, new=True)
    if values == sorted(values):
        assert increase(values, new=True) == values[-1]


@pytest.mark.parametrize(
    ("labels", "by", "variant"),
    [
        ({"destination_version": "green", "version": "x"}, "", "green"),
        ({"envoy_cluster_name": "outbound|80|green-sub|color"}, "", "green"),
        ({"version": "green"}, "", "green"),
        ({"variant": "green"}, "", "green"),
        ({"version": "x", "mine": "green"}, "mine", "green"),
        ({"version": "v2"}, "", "green"),
        ({"version": "v3"}, "", "v3"),
    ],
)
def test_a_label_names_the_variant(labels: dict[str, str], by: str, variant: str) -> None:
    tally, _ = counted(series([0, 8], labels), by=by, v2="green")
    assert tally.counts[variant] == 8


def test_a_label_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match="no label mine is there, but instance, job, version"):
        counted(series([0, 8], VERSION), by="mine")
    with pytest.raises(InputError, match=r"which label names the variant. Give --by, one of"):
        counted(series([0, 8], {"app": "green"}))


def test_nothing_counted_is_refused() -> None:
    with pytest.raises(InputError, match="knows nothing of istio_requests_total"):
        counted()
    with pytest.raises(InputError, match="did not grow in the last 10m"):
        counted(series([8, 8], VERSION))
    with pytest.raises(InputError, match="knows nothing of"):
        counted({"metric": {"version": "green"}, "values": []})


def test_the_selector_is_asked_for_over_the_window() -> None:
    asked: list[str] = []

    def handler(connection: socket.socket, _: int) -> None:
        asked.append(connection.recv(65536).split()[1].decode())
        connection.sendall(plain(matrix(series([0, 8], VERSION))))

    with served(handler) as port:
        window = Window(
            f"http://127.0.0.1:{port}/base/", 'requests{app="x"}', "1h30m", without_code=True
        )
        tally_of(window, CANARY, {})
    sent = urlsplit(asked[0])
    assert sent.path == "/base/api/v1/query"
    assert parse_qs(sent.query) == {"query": ['requests{app="x"}[1h30m]']}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>", "is no Prometheus: HTTP 200, no JSON"),
        (b'{"status":"error","error":"parse error"}', "Prometheus says: parse error"),
        (b"{}", "Prometheus says: nothing"),
        (
            b'{"status":"success","data":{"resultType":"vector","result":[]}}',
            "is no plain selector",
        ),
        (b"[]", "is no Prometheus"),
        (b"5", "is no Prometheus"),
        (b'{"status":"success"}', "is no Prometheus"),
        (b'{"status":"success","data":{"resultType":"matrix","result":5}}', "is no Prometheus"),
        (
            b'{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"x"]]}]}}',
            "is no Prometheus",
        ),
    ],
)
def test_what_is_no_answer_of_prometheus_is_refused(answer: bytes, said: str) -> None:
    with prometheus(answer) as url, pytest.raises(InputError, match=said):
        tally_of(Window(url), CANARY, {})


def test_nobody_there_is_refused() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(InputError, match=r"does not answer .*refused.*is --prometheus its address"):
        tally_of(Window(url), CANARY, {})


@pytest.mark.parametrize("url", ["gateway:9090", "ftp://x", "", "//x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is no address: give http://NAME:9090"):
        Window(url)


@pytest.mark.parametrize("length", ["10", "10 m", "", "m", "-5m", "10m]"])
def test_a_length_that_is_no_time_is_refused(length: str) -> None:
    with pytest.raises(InputError, match="is no time: give 30s, 10m or 1h"):
        Window("http://x", length=length)


# --- statuses, reporters and services ---


def judged(*every: dict[str, Any], mapping: Mapping[str, str], **window: Any) -> Tally:
    with prometheus(matrix(*every), matrix()) as url:
        return tally_of(Window(url, **window), CANARY, mapping)[0]


@pytest.mark.parametrize(
    ("label", "good", "bad"),
    [
        ("response_code", "200", "500"),
        ("code", "204", "503"),
        ("status", "2xx", "5xx"),
        ("status_code", "200", "0"),
        ("http_status", "200", "404"),
        ("http_response_status_code", "200", "500"),
        ("envoy_response_code", "200", "503"),
        ("envoy_response_code_class", "2", "5"),
        ("response_code_class", "2xx", "5xx"),
        ("classification", "success", "failure"),
        ("grpc_status", "0", "14"),
        ("grpc_code", "OK", "Unavailable"),
    ],
)
def test_a_fifth_of_greens_answers_are_errors_whatever_the_label(
    label: str, good: str, bad: str
) -> None:
    tally = judged(
        series([0, 750], BLUE | {label: good}),
        series([0, 200], GREEN | {label: good}),
        series([0, 50], GREEN | {label: bad}),
        mapping={},
    )
    assert tally == Tally({"blue": 750, "green": 200}, 50)


def test_without_a_status_nothing_is_taken_for_an_answer() -> None:
    counters = (series([0, 75], BLUE), series([0, 25], GREEN))
    with pytest.raises(InputError, match="give --code LABEL, or --no-code"):
        judged(*counters, mapping={})
    assert judged(*counters, mapping={}, without_code=True).errors == 0
    with pytest.raises(InputError, match="no label result is there"):
        judged(*counters, mapping={}, code="result")
    own = [series([0, 9], BLUE | {"result": "2"}), series([0, 1], GREEN | {"result": "5"})]
    assert judged(*own, mapping={}, code="result").errors == 1
    half = (series([0, 75], BLUE | {"code": "200"}), series([0, 25], GREEN))
    with pytest.raises(InputError, match="1 of 2 series have no label code"):
        judged(*half, mapping={})


def test_a_request_that_two_proxies_report_is_not_counted_twice() -> None:
    both = [
        series([0, 75], BLUE | {"response_code": "200", "reporter": reporter})
        for reporter in ("source", "destination")
    ]
    with pytest.raises(InputError, match="several reporters"):
        judged(*both, mapping={})


def test_several_services_are_a_question() -> None:
    good = {"response_code": "200"}
    two = [
        series([0, 75], BLUE | good | {"destination_service": "color"}),
        series([0, 25], GREEN | good | {"destination_service": "shop"}),
    ]
    with pytest.raises(InputError, match="requests of several services"):
        judged(*two, mapping={})
    places = {"color": "blue", "shop": "green"}
    tally = judged(*two, mapping=places, by="destination_service")
    assert tally == Tally({"blue": 75, "green": 25})


def test_a_label_that_is_empty_is_a_place() -> None:
    # ingress-nginx's canary="" is dropped by Prometheus.
    tally = judged(
        series([0, 75], {"status": "200", "ingress": "shop"}),
        series([0, 25], {"status": "200", "ingress": "shop", "canary": "shop-canary"}),
        mapping={"": "blue", "shop-canary": "green"},
        by="canary",
    )
    assert tally == Tally({"blue": 75, "green": 25})


@pytest.mark.parametrize("name", SERIES)
def test_a_proxys_own_series_is_a_plain_selector(name: str) -> None:
    assert re.fullmatch(r"\w+(\{.*\})?", selector_of(name).selector)


def test_a_series_that_is_not_known_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="say one of istio, envoy"):
        selector_of("apache")
