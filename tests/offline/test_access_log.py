"""Where a logged request went, whatever its client wrote into the line."""

import bz2
import gzip
import lzma
from collections import Counter
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


def istio(subset: str, status: int = 200, path: str = "/color", agent: str = "curl",
          authority: str = "gateway") -> str:  # fmt: skip
    return ISTIO.format(subset=subset, status=status, path=path, agent=agent, authority=authority)


@given(agent=HOSTILE, authority=HOSTILE)
def test_nothing_a_client_sends_changes_where_its_request_went(agent: str, authority: str) -> None:
    lie = f'{agent}" "x" "y" "6.6.6.6:6" outbound|1|blue-sub|z a b c d e'
    line = parse_line(istio("green-sub", agent=lie, authority=authority))
    assert line
    assert (line.cluster.split("|")[2], line.address) == ("green-sub", "10.0.0.7:8000")
    line = parse_line(ENVOY.format(path="/color", status=200, agent=lie, authority=authority,
                               host="10.0.0.9:1"))  # fmt: skip
    assert line
    assert (line.address, line.status, line.duration) == ("10.0.0.9:1", "200", "7")


@given(st.text(max_size=200))
def test_any_line_is_a_request_or_none(line: str) -> None:
    parse_line(line)


@pytest.mark.parametrize("ending", ["log", "gz", "bz2", "xz", "zst"])
def test_a_log_is_judged_plain_or_compressed(tmp_path: Path, ending: str) -> None:
    lines = [istio("green-sub" if i % 4 == 0 else "blue-sub") for i in range(8000)]
    lines[1000:1000] = ["2026-11-24T10:20:12Z info the proxy's own words", ""]
    lines += [JSON.format(path="/color?a=b", status=200, subset="green-sub")]
    lines += [istio("-", status=503), istio("green-sub", path="/other")]
    data = "\n".join(lines).encode()
    pack = {"log": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    file = tmp_path / f"access.{ending}"
    if ending == "zst":
        with pa.output_stream(file, compression="zstd") as out:
            out.write(data)
    else:
        file.write_bytes(pack[ending](data))
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


def test_a_place_that_nobody_configured_is_a_stranger() -> None:
    destinations = Destinations(SPLIT, {})
    assert destinations.variant("outbound|80|red-sub|color.default", "10.0.0.1:1") != "blue"
    assert destinations.variant("outbound|80|green-sub|color-blue.default", "10.0.0.1:1") == "green"
    assert destinations.variant("-", "-") == ""
