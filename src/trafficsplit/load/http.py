"""HTTP/1.1 as this client speaks it: one request, again and again, and its answers.

This module turns bytes into answers; it has no sockets. A head that was seen before is recognised
by comparing bytes, and the rest of an answer that came whole is its body. Every other answer goes
through llhttp, the parser of Node.js, in C.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import brotli
import httptools

MOST_HEAD = 64 * 1024  # bytes
MOST_BODY = 16 * 1024 * 1024  # bytes, also when decoded
MOST_HEADS = 512  # that are remembered
END_OF_HEAD = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
# What caches say of an answer: a hit, if one of its words is one of `HITS`.
CACHE_HEADERS = (
    "x-cache",
    "x-cache-status",
    "cf-cache-status",
    "x-proxy-cache",
    "x-varnish-cache",
    "x-drupal-cache",
    "x-vercel-cache",
)
HITS = {"HIT", "TCP_HIT", "TCP_MEM_HIT", "STALE", "UPDATING", "REVALIDATED"}
CUT_OFF = "the connection was closed before the end of the answer"


class BadAnswerError(Exception):
    """An answer is not whole, not of HTTP/1.1, or too large. The text says why."""


@dataclass(frozen=True)
class Answer:
    """One whole answer. `keep` says that the connection may be used again.

    `headers` have lower-case names; the values of several with one name are a line each.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    keep: bool


class Head:
    """The head of an ordinary answer: status 200, kept alive, not encoded.

    `raw` are its bytes, `body_at` is their number, and `whole` that of head and body, -1 where the
    body is chunked.
    """

    __slots__ = ("body_at", "headers", "raw", "whole")

    def __init__(self, raw: bytes, length: int | None, headers: Mapping[str, str]) -> None:
        self.raw = raw
        self.body_at = len(raw)
        self.whole = -1 if length is None else len(raw) + length
        self.headers = headers

    def body(self, data: bytes) -> bytes | None:
        """Return the body of an answer with this head, None unless `data` is the whole answer."""
        if self.whole >= 0:
            return data[self.body_at :] if len(data) == self.whole else None
        return unchunked(data, self.body_at)


NO_HEAD = Head(b"\0", 1 << 62, {})  # no answer begins with its bytes, or has its length


def unchunked(data: bytes, at: int) -> bytes | None:
    """Return the chunked body from `at` to the end; None unless it is whole and plain.

    A body with extensions or a trailer is not plain.
    """
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
    if at != end:
        return None
    return b"".join(pieces)


class Heads:
    """Remembers the heads of ordinary answers, by their bytes including the empty line."""

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}

    def parser_of(self, data: bytes) -> AnswerParser:
        """Return a parser for the answer that begins with `data`, and learn its head."""
        end = data.find(END_OF_HEAD)
        if end >= 0:
            self.learn(data[: end + len(END_OF_HEAD)])
        return AnswerParser()

    def learn(self, raw: bytes) -> Head | None:
        """Remember a head if it is ordinary, and return it then."""
        parser = AnswerParser()
        try:
            parser.feed(raw)
        except BadAnswerError:
            return None
        headers = parser.headers
        if parser.status != 200 or not parser.keep or not _is_plain(headers):
            return None
        if len(self.known) >= MOST_HEADS:
            self.known.clear()
        length = None if _is_chunked(headers) else int(headers["content-length"])
        head = Head(raw, length, headers)
        self.known[raw] = head
        return head


def _is_plain(headers: Mapping[str, str]) -> bool:
    """Return whether a body is not encoded, not out of a cache, and has one kind of length."""
    if "content-encoding" in headers or is_cached(headers):
        return False
    length = headers.get("content-length", "")
    if _is_chunked(headers):
        return not length
    return length.isdecimal() and int(length) <= MOST_BODY


def _is_chunked(headers: Mapping[str, str]) -> bool:
    return headers.get("transfer-encoding", "") == "chunked"


def is_cached(headers: Mapping[str, str]) -> bool:
    """Return whether an answer says that it comes out of a cache.

    One of `CACHE_HEADERS` has a word of `HITS` (Varnish, Squid, nginx, CloudFront's "Hit from
    cloudfront", Cloudflare); `Cache-Status` has a parameter `hit` (RFC 9211; a stale one that was
    asked for anew is `fwd=stale`); an `Age` above 0 is of a stored answer (RFC 9111, section 5.1).
    """
    if headers.get("age", "0").strip() not in {"", "0"}:
        return True
    if "HIT" in _words(headers.get("cache-status", "")):
        return True
    return any(HITS & _words(headers[name]) for name in CACHE_HEADERS if name in headers)


def _words(value: str) -> set[str]:
    return set(re.split(r"[^A-Z_]+", value.upper()))


class AnswerParser:
    """Takes the pieces of one answer; interim answers (1xx) before it are passed over."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._size = 0  # bytes of the head so far, at most
        self._pieces: list[bytes] = []
        self._length = 0  # bytes of the body so far
        self._headed = False  # whether the head is whole
        self._done = False
        self._more = False  # whether bytes came after the end
        self.status = 0
        self.keep = True
        self.headers: dict[str, str] = {}

    def take(self, data: bytes) -> Answer | None:
        """Take what a socket gives, no bytes at its end; return the answer once it is whole.

        Raises BadAnswerError.
        """
        if data:
            return self.feed(data)
        answer = self.end()
        if answer is None:
            raise BadAnswerError(CUT_OFF)
        return answer

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes; return the answer once it is whole. Raises BadAnswerError."""
        if not self._headed:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BadAnswerError("the gateway switches protocols") from None
        except httptools.HttpParserCallbackError as error:
            raise _cause_of(error) from None
        except httptools.HttpParserError as error:
            if not self._done:
                raise BadAnswerError(f"no answer of HTTP/1.1 ({error})") from None
            self._more = True
        if not self._headed and self._size > MOST_HEAD:
            raise BadAnswerError(f"the head of the answer exceeds {MOST_HEAD:,} bytes")
        if self._done:
            return self._answer()
        return None

    def end(self) -> Answer | None:
        """Return the answer if the connection's end may be its end; None where it is cut off."""
        chunked = "chunked" in self.headers.get("transfer-encoding", "")
        if not self._headed or chunked or "content-length" in self.headers:
            return None
        return self._answer(keep=False)

    def _answer(self, *, keep: bool = True) -> Answer:
        body = b"".join(self._pieces)
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity"} and body:
            body = decode_body(body, encoding)
        return Answer(self.status, self.headers, body, keep and self.keep and not self._more)

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        """Note that a status line is coming."""
        if self._done:
            self._more = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line; those of the trailer are passed over."""
        if self._done or self._headed:
            return
        add_header(self.headers, name.decode("latin-1"), value.decode("latin-1").strip())

    def on_headers_complete(self) -> None:
        """Take the end of a head, that of an interim answer too."""
        if self._done:
            return
        self.status = self._parser.get_status_code()
        self.keep = self._parser.should_keep_alive()
        if self.status >= 200:
            self._headed = True

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body. Raises BadAnswerError where it is too large."""
        if self._done:
            return
        self._length += len(data)
        if self._length > MOST_BODY:
            raise BadAnswerError(f"the body of the answer exceeds {MOST_BODY:,} bytes")
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take the end of an answer, or of an interim answer."""
        if self._headed:
            self._done = True
        else:
            self.headers = {}


def _cause_of(error: httptools.HttpParserCallbackError) -> BadAnswerError:
    """Return the exception that a callback of the parser has raised."""
    if isinstance(error.__context__, BadAnswerError):
        return error.__context__
    return BadAnswerError(str(error))


def add_header(headers: dict[str, str], name: str, value: str) -> None:
    """Add a header under its lower-case name; several with one name have a line each."""
    key = name.lower()
    if key in headers:
        value = f"{headers[key]}\n{value}"
    headers[key] = value


def decode_body(body: bytes, encodings: str) -> bytes:
    """Return a body without its content encodings, of which the last was applied last.

    Raises BadAnswerError.
    """
    for encoding in reversed(encodings.split(",")):
        name = encoding.strip()
        try:
            body = _decode(body, name)
        except (zlib.error, brotli.error) as error:
            raise BadAnswerError(f"the body is not {name}: {error}") from None
    return body


def _decode(body: bytes, encoding: str) -> bytes:
    """Return a body without one encoding. Raises BadAnswerError, zlib.error or brotli.error."""
    if encoding in {"gzip", "x-gzip"}:
        return _inflate(body, zlib.MAX_WBITS | 16)
    if encoding == "deflate":
        # RFC 9110 means zlib's format, but some servers send the bare stream.
        is_bare = body[:1] and (body[0] & 0x0F) != 8
        return _inflate(body, -zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS)
    if encoding == "br":
        return _unbrotli(body)
    if encoding == "identity":
        return body
    raise BadAnswerError(f"the content encoding {encoding!r} is not known")


def _inflate(body: bytes, window: int) -> bytes:
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
    """Return the bytes of a GET request. `headers` may replace Host, User-Agent and Accept."""
    lines = {
        "host": f"Host: {host}",
        "user-agent": "User-Agent: trafficsplit",
        "accept": "Accept: */*",
    }
    for name, value in headers.items():
        lines[name.lower()] = f"{name}: {value}"
    text = "\r\n".join([f"GET {path} HTTP/1.1", *lines.values(), "", ""])
    return text.encode("latin-1")
