"""HTTP/1.1 as this client speaks it: one request, again and again, and its answers.

Bytes in, answers out; no sockets here. An answer that came whole, with a Content-Length, below a
head that was seen before, is a comparison. Everything else goes through llhttp, the
parser of Node.js, in C.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import brotli
import httptools

MOST_HEAD = 64 * 1024  # bytes
MOST_BODY = 16 * 1024 * 1024  # bytes, also when decoded
MOST_HEADS = 512  # remembered
END_OF_HEAD = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class BadAnswerError(Exception):
    """What came is no answer of HTTP/1.1, or too large. The text says why."""


@dataclass(frozen=True)
class Answer:
    """One whole answer. `headers` have lower-case names; of several with one name, a line each.

    `keep` says that the connection may be used again.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    keep: bool


class Head:
    """The head of an ordinary answer: 200, of a length or chunked, kept alive, nothing encoded.

    `whole` is the length of head and body in bytes, -1 where that is chunked.
    """

    __slots__ = ("body_at", "headers", "raw", "whole")

    def __init__(self, raw: bytes, length: int | None, headers: Mapping[str, str]) -> None:
        self.raw = raw
        self.body_at = len(raw)
        self.whole = -1 if length is None else len(raw) + length
        self.headers = headers

    def body(self, data: bytes) -> bytes | None:
        """The body of an answer that begins with this head, None unless it is just here."""
        if self.whole >= 0:
            return data[self.body_at :] if len(data) == self.whole else None
        return unchunked(data, self.body_at)


NO_HEAD = Head(b"\0", 1 << 62, {})  # of no answer: nothing begins with it, or is as long


def unchunked(data: bytes, at: int) -> bytes | None:
    """A chunked body from `at` to the end, None unless it is whole and without frills."""
    end = len(data) - len(LAST_CHUNK)
    if not data.endswith(LAST_CHUNK):
        return None
    pieces = []
    while at < end:
        line = data.find(b"\r\n", at, at + 10)
        size = data[at:line]
        if line < 0 or not size.isalnum() or b"x" in size.lower():
            return None
        try:
            stop = line + 2 + int(size, 16)
        except ValueError:
            return None
        if data[stop : stop + 2] != b"\r\n" or stop == line + 2:
            return None
        pieces.append(data[line + 2 : stop])
        at = stop + 2
    return None if at != end else pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Heads:
    """Remembers the heads of ordinary answers, by their bytes up to and with the empty line."""

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}

    def learn(self, raw: bytes) -> Head | None:
        """Take in a head if it is ordinary, for the next time."""
        parser = AnswerParser()
        try:
            parser.feed(raw)
        except BadAnswerError:
            return None
        length = parser.headers.get("content-length", "")
        chunked = parser.headers.get("transfer-encoding", "") == "chunked"
        ordinary = (
            parser.status == 200
            and (chunked or (length.isdecimal() and int(length) <= MOST_BODY))
            and "content-encoding" not in parser.headers
            and parser.keep
            and not (chunked and length)
            and not is_cached(parser.headers)
        )
        if not ordinary:
            return None
        if len(self.known) >= MOST_HEADS:
            self.known.clear()
        head = Head(raw, None if chunked else int(length), parser.headers)
        self.known[raw] = head
        return head


def is_cached(headers: Mapping[str, str]) -> bool:
    """Whether an answer says that it comes out of a cache."""
    return headers.get("age", "0") != "0" or "HIT" in headers.get("x-cache", "").upper()


class AnswerParser:
    """Takes one answer in pieces; interim answers (1xx) before it are passed over."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._size = 0  # of the head so far, at most
        self._pieces: list[bytes] = []
        self._length = 0
        self._headed = self._done = self._more = False
        self.status = 0
        self.keep = True
        self.headers: dict[str, str] = {}

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once it is whole. Raises BadAnswerError."""
        if not self._headed:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BadAnswerError("the gateway switches protocols") from None
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            raise (
                cause if isinstance(cause, BadAnswerError) else BadAnswerError(str(error))
            ) from None
        except httptools.HttpParserError as error:
            if not self._done:
                raise BadAnswerError(f"no answer of HTTP/1.1 ({error})") from None
            self._more = True
        if not self._headed and self._size > MOST_HEAD:
            raise BadAnswerError(f"the head of the answer exceeds {MOST_HEAD:,} bytes")
        return self._answer() if self._done else None

    def end(self) -> Answer | None:
        """The answer if the end of the connection is its end; None where it is cut off."""
        framed = "content-length" in self.headers or "chunked" in self.headers.get(
            "transfer-encoding", ""
        )
        return self._answer(keep=False) if self._headed and not framed else None

    def _answer(self, *, keep: bool = True) -> Answer:
        body = b"".join(self._pieces)
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity"} and body:
            body = decoded(body, encoding)
        return Answer(self.status, self.headers, body, keep and self.keep and not self._more)

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        """A status line is coming."""
        if self._done:
            self._more = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line, or one of the trailer."""
        if self._done or self._headed:
            return
        add_header(self.headers, name.decode("latin-1"), value.decode("latin-1").strip())

    def on_headers_complete(self) -> None:
        """The empty line."""
        if self._done:
            return
        self.status = self._parser.get_status_code()
        self.keep = self._parser.should_keep_alive()
        if self.status >= 200:
            self._headed = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._done:
            return
        self._length += len(data)
        if self._length > MOST_BODY:
            raise BadAnswerError(f"the body of the answer exceeds {MOST_BODY:,} bytes")
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The end, of an interim answer too."""
        if self._headed:
            self._done = True
        else:
            self.headers = {}


def add_header(headers: dict[str, str], name: str, value: str) -> None:
    """Put a header under its lower-case name; of several with one name, a line each."""
    key = name.lower()
    headers[key] = f"{headers[key]}\n{value}" if key in headers else value


def decoded(body: bytes, encoding: str) -> bytes:
    """A body without its content encodings, the last applied first. Raises BadAnswerError."""
    for name in reversed([part.strip() for part in encoding.split(",")]):
        try:
            if name in {"gzip", "x-gzip"}:
                body = _inflated(body, zlib.MAX_WBITS | 16)
            elif name == "deflate":
                # RFC 9110 means zlib's format; some send the bare stream.
                raw = body[:1] and (body[0] & 0x0F) != 8
                body = _inflated(body, -zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
            elif name == "br":
                body = _unbrotli(body)
            elif name != "identity":
                raise BadAnswerError(f"the content encoding {name!r} is not known")
        except (zlib.error, brotli.error) as error:
            raise BadAnswerError(f"the body is not {name}: {error}") from None
    return body


def _inflated(body: bytes, window: int) -> bytes:
    inflater = zlib.decompressobj(window)
    result = inflater.decompress(body, MOST_BODY + 1)
    if len(result) > MOST_BODY:
        raise BadAnswerError(f"the body of the answer exceeds {MOST_BODY:,} bytes")
    if not inflater.eof:
        raise BadAnswerError("the body is cut off")
    return result


def _unbrotli(body: bytes) -> bytes:
    decompressor = brotli.Decompressor()
    result = decompressor.process(body, output_buffer_limit=MOST_BODY + 1)
    while not decompressor.is_finished() and len(result) <= MOST_BODY:
        more = decompressor.process(b"", output_buffer_limit=MOST_BODY + 1)
        if not more:
            raise BadAnswerError("the body is cut off")
        result += more
    if len(result) > MOST_BODY:
        raise BadAnswerError(f"the body of the answer exceeds {MOST_BODY:,} bytes")
    return bytes(result)


def request_bytes(path: str, host: str, headers: Mapping[str, str]) -> bytes:
    """A GET request. `headers` may replace Host and User-Agent."""
    lines = {"host": ("Host", host), "user-agent": ("User-Agent", "trafficsplit"),
             "accept": ("Accept", "*/*")}  # fmt: skip
    for name, value in headers.items():
        lines[name.lower()] = (name, value)
    text = f"GET {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.values())
    return (text + "\r\n").encode("latin-1")
