"""HTTP/1.1: answers of every framing, and what is none."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.servers import page, plain
from trafficsplit.load.http import (
    LAST_CHUNK,
    MOST_BODY,
    MOST_HEAD,
    Answer,
    AnswerParser,
    BadAnswerError,
    Heads,
    decode_body,
    is_cached,
    request_bytes,
)

GREEN = page("green")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


def parsed(*pieces: bytes, end: bool = False) -> Answer | None:
    parser = AnswerParser()
    for piece in pieces:
        if answer := parser.feed(piece):
            return answer
    return parser.end() if end else None


@pytest.mark.parametrize(
    ("data", "body", "keep"),
    [
        (plain(GREEN), GREEN, True),
        (plain(GREEN, "200 OK", "Connection: close"), GREEN, False),
        (CHUNKED, b"abcde", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"x"), b"x", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + CHUNKED, b"abcde", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        # what comes behind an answer makes the connection useless, not the answer
        (plain(b"x") + plain(b"y"), b"x", False),
        (plain(b"x") + b"rubbish", b"x", False),
    ],
)
def test_answers_of_every_framing(data: bytes, body: bytes, keep: bool) -> None:
    answer = parsed(data)
    assert answer
    assert (answer.body, answer.keep) == (body, keep)
    assert "link" not in answer.headers


def test_an_answer_that_ends_with_its_connection_is_one_only_at_the_end() -> None:
    data = b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nabc"
    assert parsed(data) is None
    answer = parsed(data, b"def", end=True)
    assert answer
    assert (answer.body, answer.keep) == (b"abcdef", False)
    # but one that said how long it is, or an end in the middle of the head, is cut off
    assert parsed(plain(GREEN)[:-1], end=True) is None
    assert parsed(CHUNKED[:-3], end=True) is None
    assert parsed(b"HTTP/1.1 200 OK\r\nX: 1", end=True) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"rubbish", "no answer of HTTP/1.1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer of HTTP/1.1"),
        (b"HTTP/1.1 2OO OK\r\n\r\n", "no answer of HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no answer of HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * MOST_HEAD, "the head of the answer exceeds"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            "the gateway switches protocols",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nXYZ\r\n",
            "no answer of HTTP/1.1",
        ),
        (
            b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MOST_BODY + 1),
            "the body of the answer exceeds",
        ),
        (plain(b"abc", "200 OK", "Content-Encoding: gzip"), "the body is not gzip"),
        (plain(b"\xff\xff\xff", "200 OK", "Content-Encoding: br"), "the body is not br"),
        (plain(b"abc", "200 OK", "Content-Encoding: zstd"), "'zstd' is not known"),
    ],
)
def test_what_is_no_answer_says_why(data: bytes, why: str) -> None:
    with pytest.raises(BadAnswerError, match=why):
        parsed(data)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(GREEN, mtime=0)),
        ("x-gzip", gzip.compress(GREEN, mtime=0)),
        ("deflate", zlib.compress(GREEN)),
        ("deflate", zlib.compress(GREEN, wbits=-15)),
        ("br", brotli.compress(GREEN)),
        ("gzip, br", brotli.compress(gzip.compress(GREEN, mtime=0))),
        ("identity", GREEN),
    ],
)
def test_encoded_bodies_are_decoded(encoding: str, body: bytes) -> None:
    answer = parsed(plain(body, "200 OK", f"Content-Encoding: {encoding}"))
    assert answer
    assert answer.body == GREEN


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_small_body_does_not_become_a_huge_one(name: str) -> None:
    compress = COMPRESSIONS[name]
    bomb = compress(b"\0" * (MOST_BODY + 1000))
    with pytest.raises(BadAnswerError, match="exceeds"):
        decode_body(bomb, name)
    with pytest.raises(BadAnswerError, match="cut off"):
        decode_body(compress(GREEN)[:-5], name)


SEEDS = [
    plain(GREEN),
    CHUNKED,
    b"HTTP/1.1 100 C\r\n\r\n" + plain(b"x"),
    plain(gzip.compress(GREEN, mtime=0), "200 OK", "Content-Encoding: gzip"),
]
UNUSUAL = (
    "Connection: close",
    "Content-Encoding: gzip",
    "Age: 7",
    "X-Cache: HIT",
    "Transfer-Encoding: chunked",
)


@given(st.sampled_from(SEEDS), st.data())
def test_how_an_answer_is_cut_into_pieces_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges) if b > a]
    assert parsed(*pieces) == parsed(data)


@given(st.sampled_from(SEEDS), st.data())
def test_damaged_answers_are_answers_or_say_why(seed: bytes, draw: st.DataObject) -> None:
    data = bytearray(seed)
    for _ in range(draw.draw(st.integers(0, 6))):
        at = draw.draw(st.integers(0, len(data)))
        data[at : at + draw.draw(st.integers(0, 4))] = draw.draw(st.binary(max_size=6))
    head = Heads().learn(bytes(data))
    assert head is None or head.headers
    with contextlib.suppress(BadAnswerError):
        answer = parsed(bytes(data), end=True)
        assert answer is None or 200 <= answer.status <= 999


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_rubbish_never_raises_anything_else(pieces: list[bytes]) -> None:
    with contextlib.suppress(BadAnswerError):
        parsed(*pieces, end=True)


def test_only_ordinary_heads_are_learned() -> None:
    heads = Heads()
    assert heads.learn(plain(b"")) is not None
    for line in UNUSUAL:
        assert heads.learn(plain(b"", "200 OK", line)) is None
    assert heads.learn(plain(b"", "503 Service Unavailable")) is None
    assert heads.learn(b"HTTP/1.1 200 OK\r\n\r\n") is None
    for number in range(2000):
        heads.learn(plain(b"", "200 OK", f"X: {number}"))
    assert len(heads.known) <= 512


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=4), st.data())
def test_chunked_bodies_are_read_at_once_as_the_parser_reads_them(
    chunks: list[bytes], draw: st.DataObject
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = bytearray(head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + LAST_CHUNK)
    known = Heads().learn(head)
    assert known
    assert known.body(bytes(data)) == b"".join(chunks)
    for _ in range(draw.draw(st.integers(1, 3))):  # damaged: nothing that the parser refuses
        at = draw.draw(st.integers(len(head), len(data)))
        data[at : at + draw.draw(st.integers(0, 3))] = draw.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"0x5", b"+5", b";a=b", b"\r\n"]))
        )
    at_once = known.body(bytes(data))
    if at_once is not None:
        answer = parsed(bytes(data))
        assert answer
        assert answer.body == at_once


def test_a_request_may_name_another_host() -> None:
    data = request_bytes("/color", "gateway:8080", {"Host": "color.example", "X-A": "1"})
    assert data.startswith(b"GET /color HTTP/1.1\r\nHost: color.example\r\n")
    assert data.endswith(b"X-A: 1\r\n\r\n")
    assert b"gateway" not in data


def test_a_header_of_several_lines_keeps_them_apart() -> None:
    answer = parsed(plain(b"x", "200 OK", "Set-Cookie: a=1", "set-cookie: b=2"))
    assert answer
    assert answer.headers["set-cookie"] == "a=1\nb=2"


@pytest.mark.parametrize(
    ("headers", "cached"),
    [
        ({}, False),
        ({"age": "0"}, False),
        ({"age": "7"}, True),
        ({"x-cache": "MISS from edge"}, False),
        ({"x-cache": "Hit from edge"}, True),
        ({"x-cache": "MISS, HIT"}, True),
        ({"x-cache": "WHITE"}, False),
        ({"x-cache-status": "BYPASS"}, False),
        ({"x-cache-status": "STALE"}, True),
        ({"cache-status": "Example; hit; ttl=30"}, True),
        ({"cache-status": "Example; fwd=stale; stored"}, False),
        ({"cf-cache-status": "DYNAMIC"}, False),
        ({"cf-cache-status": "HIT"}, True),
    ],
)
def test_an_answer_may_say_that_it_comes_out_of_a_cache(
    headers: dict[str, str], cached: bool
) -> None:
    assert is_cached(headers) is cached
