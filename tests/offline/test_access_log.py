"""Where a logged request went, whatever its client wrote into the line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.judge import judge
from trafficsplit.analysis.question import Question
from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.offline.access_log import batches_of_log, parse_line
from trafficsplit.offline.destinations import Destinations
from trafficsplit.offline.runs import run_of_logs

SPLIT = Split({"blue": 75, "green": 25})
QUESTION = Question(SPLIT, 0.02)
ISTIO = (
    '[2026-11-24T10:20:12.415Z] "GET {path} HTTP/1.1" {status} - via_upstream - "-" 0 1281 7 6 '
    '"-" "{agent}" "1afb735a" "{authority}" "10.0.0.7:8000" '
    "outbound|8000|{subset}|color-service.default.svc.cluster.local 10.0.0.1:1 10.0.0.2:2 "
    "10.0.0.3:3 - -"
)
ENVOY = (
    '[2026-11-24T10:20:12.415Z] "GET {path} HTTP/1.1" {status} - 0 1281 7 6 "-" "{agent}" '
    '"1afb735a" "{authority}" "{host}"'
)
JSON = (
    '{{"path":"{path}","response_code":{status},"start_time":"2026-11-24T10:20:12.415Z",'
    '"duration":7,"upstream_cluster":"outbound|8000|{subset}|color-service",'
    '"upstream_host":"10.0.0.7:8000"}}'
)
# What a client may send: a header's bytes, a quote among them.
HOSTILE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def istio(
    subset: str,
    status: int = 200,
    path: str = "/color",
    agent: str = "curl",
    authority: str = "gateway",
) -> str:
    return ISTIO.format(subset=subset, status=status, path=path, agent=agent, authority=authority)


@given(agent=HOSTILE, authority=HOSTILE)
def test_nothing_a_client_sends_changes_where_its_request_went(agent: str, authority: str) -> None:
    lie = f'{agent}" "x" "y" "6.6.6.6:6" outbound|1|blue-sub|z a b c d e'
    line = parse_line(istio("green-sub", agent=lie, authority=authority))
    assert line
    assert (line.cluster.split("|")[2], line.address) == ("green-sub", "10.0.0.7:8000")
    text = ENVOY.format(
        path="/color", status=200, agent=lie, authority=authority, host="10.0.0.9:1"
    )
    line = parse_line(text)
    assert line
    assert (line.address, line.status, line.duration) == ("10.0.0.9:1", "200", "7")


@given(st.text(max_size=200))
def test_any_line_is_a_request_or_none(line: str) -> None:
    parse_line(line)


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "log": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", [*PACKED, "zst"])
def test_a_log_is_judged_plain_or_compressed(tmp_path: Path, ending: str) -> None:
    lines = [istio("green-sub" if i % 4 == 0 else "blue-sub") for i in range(8000)]
    lines[1000:1000] = ["2026-11-24T10:20:12Z info the proxy's own words", ""]
    lines += [JSON.format(path="/color?a=b", status=200, subset="green-sub")]
    lines += [istio("-", status=503), istio("green-sub", path="/other")]
    data = "\n".join(lines).encode()
    file = tmp_path / f"access.{ending}"
    if ending == "zst":
        with pa.output_stream(file, compression="zstd") as out:
            out.write(data)
    else:
        file.write_bytes(PACKED[ending](data))
    run, notes = run_of_logs([str(file)], QUESTION, {}, "/color")
    assert run.tally.counts == {"blue": 6000, "green": 2001}
    assert (run.tally.errors, run.counted.losses) == (1, {"HTTP 503": 1})
    assert notes == ["1 lines are left out: no requests", "1 lines are left out: not /color"]
    assert judge(run).verdict == "match"


def test_a_log_that_is_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    data = "\n".join(istio("green-sub", agent=str(i)) for i in range(5000)).encode()
    (tmp_path / "cut.gz").write_bytes(gzip.compress(data)[:-900])
    skipped: Counter[str] = Counter()
    batches = batches_of_log(str(tmp_path / "cut.gz"), Destinations(SPLIT, {}), skipped=skipped)
    assert 0 < sum(len(batch.codes) for batch in batches) < 5000
    assert any(reason.startswith("cut off") for reason in skipped)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("at", [0.02, 0.3, 0.6, 0.9])
def test_a_log_that_is_damaged_is_read_up_to_the_damage(
    tmp_path: Path, ending: str, at: float
) -> None:
    lines = [istio("green-sub", agent=str(number**3)) for number in range(5000)]
    packed = bytearray(PACKED[ending]("\n".join(lines).encode()))
    start = int(at * len(packed))
    packed[start : start + 20] = b"\xff" * 20
    file = tmp_path / "damaged"
    file.write_bytes(packed)
    skipped: Counter[str] = Counter()
    try:
        batches = list(batches_of_log(str(file), Destinations(SPLIT, {}), skipped=skipped))
    except InputError as refusal:
        assert "damaged cannot be read: " in str(refusal)  # noqa: PT017
    else:
        assert sum(len(batch.codes) for batch in batches) <= 5000
        assert skipped


def test_addresses_need_a_map(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    hosts = ["10.0.0.1:80"] * 3 + ["10.0.0.2:80"]
    lines = [ENVOY.format(path="/", status=200, agent="a", authority="b", host=h) for h in hosts]
    file.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"which of blue,green is 10\.0\.0\.1:80, 10\.0\.0\.2:80"):
        run_of_logs([str(file)], QUESTION, {})
    run, _ = run_of_logs([str(file)], QUESTION, {"10.0.0.1:80": "blue", "10.0.0.2:80": "green"})
    assert run.tally.counts == {"blue": 3, "green": 1}
    file.write_text("nothing\nof this kind\n")
    with pytest.raises(InputError, match="is no access log: not one of its 2 lines"):
        run_of_logs([str(file)], QUESTION, {})


def test_a_log_without_requests_for_a_path_is_an_access_log_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text("the proxy's own words\n" + istio("green-sub", path="/other"))
    with pytest.raises(InputError, match="has no requests for /color"):
        run_of_logs([str(file)], QUESTION, {}, "/color")
    (tmp_path / "empty.log").write_text("")
    run, _ = run_of_logs([str(file), str(tmp_path / "empty.log")], QUESTION, {})
    assert run.tally.requests == 1


@pytest.mark.parametrize(
    ("line", "cluster", "address", "path", "status"),
    [
        (istio("green-sub"), "outbound|8000|green-sub|", "10.0.0.7:8000", "/color", "200"),
        (istio("green-sub", 503), "outbound|8000|green-sub|", "10.0.0.7:8000", "/color", "503"),
        (
            ENVOY.format(path="/a?b=c", status=0, agent="x", authority="y", host="-"),
            "",
            "-",
            "/a?b=c",
            "0",
        ),
        (
            JSON.format(path="/color", status=404, subset="blue-sub"),
            "outbound|8000|blue-sub|",
            "10.0.0.7:8000",
            "/color",
            "404",
        ),
        (
            '{"status": "200", "upstream_cluster_name": "green", "timestamp": "x"}',
            "green",
            "",
            "",
            "200",
        ),
    ],
)
def test_a_lines_request_is_known_by_its_parts(
    line: str, cluster: str, address: str, path: str, status: str
) -> None:
    request = parse_line(line)
    assert request
    assert request.cluster.startswith(cluster)
    assert (request.address, request.path, request.status) == (address, path, status)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2026-11-24T10:20:12Z info ready",
        '{"message": "ready"}',
        '{"status": "ok"}',
        '{"status": true}',
        '{"status": 1e999}',
        "{",
        "{" * 5000,
        '[2026-11-24T10:20:12.415Z] "GET /color HTTP/1.1" 200 - short',
        '[2026-11-24T10:20:12.415Z] "GET /color HTTP/1.1" OK - 0 1 2 3 "a" "b" "c" "d" "e"',
    ],
)
def test_a_line_without_a_request_has_none(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("2026-11-24T10:20:12.415Z", 1_795_515_612.415),
        ("2026-11-24T10:20:12Z", 1_795_515_612.0),
        ("2026-11-24T11:20:12.5+01:00", 1_795_515_612.5),
        ("2026-11-24T10:20:12", 1_795_515_612.0),
        ("yesterday", 0.0),
        ("2026-99-99T10:20:12Z", 0.0),
        ("", 0.0),
    ],
)
def test_times_are_read_or_not_known(tmp_path: Path, time: str, seconds: float) -> None:
    file = tmp_path / "access.log"
    file.write_text(f'{{"status":200,"upstream_cluster":"green","start_time":"{time}"}}')
    (batch,) = batches_of_log(str(file), Destinations(SPLIT, {}))
    assert batch.sent.tolist() == [round(seconds * 1e6)]
    file.write_text(file.read_text() + '\n{"status":200,"time":"2026-11-24T10:20:12+00:00"}')
    (batch,) = batches_of_log(str(file), Destinations(SPLIT, {}))
    assert batch.sent.tolist() == [round(seconds * 1e6), 1_795_515_612_000_000]


def test_a_log_may_come_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = "\n".join(istio("green-sub") for _ in range(3)).encode()
    for packed in (data, gzip.compress(data)):
        buffered = io.BufferedReader(io.BytesIO(packed))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffered))
        (batch,) = batches_of_log("-", Destinations(SPLIT, {}))
        assert batch.names == ["green"]
        assert len(batch.codes) == 3


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        list(batches_of_log(str(tmp_path / "nothing"), Destinations(SPLIT, {})))
    for name, magic in (("a.gz", b"\x1f\x8b"), ("a.bz2", b"BZh9"), ("a.xz", b"\xfd7zXZ\0")):
        file = tmp_path / name
        file.write_bytes(magic + b"rubbish")
        with pytest.raises(InputError, match="cannot be read"):
            list(batches_of_log(str(file), Destinations(SPLIT, {})))


@given(st.lists(st.one_of(st.binary(max_size=80), st.just(istio("green-sub").encode()))))
def test_any_file_is_a_log_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    file = tmp_path_factory.mktemp("log") / "access.log"
    file.write_bytes(b"\n".join(lines))
    try:
        for batch in batches_of_log(str(file), Destinations(SPLIT, {})):
            assert len(batch.codes) == len(batch.statuses) == len(batch.sent)
    except InputError as refusal:
        assert len(str(refusal).splitlines()) == 1  # noqa: PT017
