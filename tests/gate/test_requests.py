"""What a controller's request means, however odd it is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.gate.requests import NotAllowedError, Reader
from trafficsplit.gate.service import passes
from trafficsplit.gate.verifications import Result

CALLS: list[tuple[Any, ...]] = []


def split_of(*what: Any) -> Split:
    CALLS.append(what)
    return Split({"blue": 90, "green": 10})


READER = Reader(["http://gateway", "http://other:81"], "/color", ("blue", "green"), split_of)
# As Flagger's documentation has it.
PAYLOAD: dict[str, Any] = {
    "name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "85d557f47b",
    "metadata": {"test": "all", "token": "16688eb5e9f289f1991c"},
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def with_metadata(**metadata: Any) -> dict[str, Any]:
    return {**PAYLOAD, "metadata": metadata}


def test_weights_come_from_metadata_or_the_cluster() -> None:
    found = READER.of_flagger(with_metadata(weight="25"))
    assert (found.host, found.path, found.weights) == (
        "http://gateway", "/color", "blue=0.75,green=0.25",
    )  # fmt: skip
    assert READER.of_flagger(with_metadata(weights="a=1,b=3")).weights == "a=0.25,b=0.75"
    CALLS.clear()
    assert READER.of_flagger(PAYLOAD).weights == "blue=0.9,green=0.1"
    assert READER.of_flagger(with_metadata(virtualService="test/podinfo")).weights
    assert [call[:2] for call in CALLS] == [
        ("canary", "test/podinfo"), ("virtual_service", "test/podinfo"),
    ]  # fmt: skip


def test_one_occasion_is_one_verification_whatever_the_hook() -> None:
    one, again = (READER.of_flagger(with_metadata(weight=25)) for _ in range(2))
    assert one.key == again.key
    others = [
        READER.of_flagger(with_metadata(weight=30)),
        READER.of_flagger({**with_metadata(weight=25), "checksum": "x"}),
        READER.of_flagger(with_metadata(weight=25, host="http://other:81/")),
        READER.of_flagger(with_metadata(weight=25, path="/other")),
        READER.of_flagger(with_metadata(weight=25, tolerance="1")),
    ]
    assert len({one.key, *(other.key for other in others)}) == 6


@pytest.mark.parametrize(
    "host",
    ["http://example.org", "http://gateway:80", "http://gateway.evil", "https://gateway",
     "http://gateway/x", "http://127.0.0.1"],
)  # fmt: skip
def test_no_other_gateway_is_asked(host: str) -> None:
    with pytest.raises(NotAllowedError, match="is not one of the gateways"):
        READER.of_flagger(with_metadata(weight=25, host=host))


@given(JSON | st.fixed_dictionaries({"metadata": JSON, "name": JSON, "namespace": JSON}))
def test_any_json_is_a_verification_or_refused_in_a_line(payload: Any) -> None:
    said = ""
    try:
        assert READER.of_flagger(payload).host in READER.hosts
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) <= 1


def test_what_passes_is_up_to_202_and_the_rest_is_4xx_or_worth_a_retry() -> None:
    verification = READER.of_flagger(with_metadata(weight=25))

    def status(verdict: str, *, rollback: bool = False) -> int:
        result = Result(verification, {"verdict": verdict}, "because\nof it", 0.0)
        code, line = passes(result, rollback=rollback)
        assert line == f"{verdict}: because of it"
        return code

    verdicts = ("match", "mismatch", "failing", "inconclusive")
    assert [status(v) for v in verdicts] == [200, 409, 409, 503]
    assert [status(v, rollback=True) for v in verdicts] == [409, 200, 200, 503]
    assert passes(None)[0] == passes(None, rollback=True)[0] == 503
