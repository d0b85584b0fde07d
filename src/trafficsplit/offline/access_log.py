"""Access logs of Envoy and Istio, as JSON or in their default text, plain or compressed.

A line names its variant by where the request went: the subset of Istio's cluster name
(`outbound|80|green-sub|color.default.svc.cluster.local`), the cluster's name, or the upstream's
address. Envoy's own default text has only the address.

Formats: Envoy, "Access logging", default format string; Istio, "Envoy access logs", default format.
"""

from __future__ import annotations

import bz2
import contextlib
import datetime
import gzip
import io
import itertools
import json
import lzma
import re
import sys
import zlib
from collections import Counter as Multiset
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from trafficsplit.analysis.kinds import Codes
from trafficsplit.errors import InputError
from trafficsplit.offline.batches import Batch
from trafficsplit.offline.destinations import Destinations

LINES = 50_000  # of a batch
NO_REQUESTS = "no requests"  # why lines are left out: a proxy's own messages, say


class Line(NamedTuple):
    """One request: where it went, its path, HTTP's status, when it began, its duration in ms."""

    cluster: str
    address: str
    path: str
    status: str
    time: str
    duration: str


class _Layout(NamedTuple):
    """Where the parts of a text line stand, counted behind its head or from its end."""

    fewest: int
    duration: int
    address: int
    cluster: int | None


# [START_TIME] "METHOD PATH PROTOCOL" CODE FLAGS …
_HEAD = re.compile(
    r'\[(?P<time>[^\]\s]+)\] "(?:\S+ (?P<path>\S+) [^\s"]+|-[^"]*)" (?P<status>\d+) (?P<flags>\S+) '
)
# Quoted strings, or words. A quote that a client sends is not escaped, so what stands behind the
# client's own fields is counted from the end.
_PARTS = re.compile(r'"(.*?)"(?=\s|$)|(\S+)')
_ENVOY = _Layout(fewest=9, duration=2, address=-1, cluster=None)
# Istio's has the details and the failure of the response before, and the cluster behind.
_ISTIO = _Layout(fewest=18, duration=5, address=-7, cluster=-6)
# A JSON log has the keys that its configuration gives; these are Istio's, and usual ones.
_KEYS = {
    "cluster": ("upstream_cluster", "upstream_cluster_name", "UPSTREAM_CLUSTER"),
    "address": ("upstream_host", "upstream_address", "UPSTREAM_HOST"),
    "path": ("path", "x_envoy_origin_path", "request_path", "PATH"),
    "status": ("response_code", "status", "code", "RESPONSE_CODE"),
    "time": ("start_time", "timestamp", "time", "START_TIME"),
    "duration": ("duration", "duration_ms", "DURATION"),
}


def parse_line(line: str) -> Line | None:
    """Return the request of a line, None for a line that has none."""
    if line.startswith("{"):
        return _parse_json(line)
    return _parse_text(line)


def _parse_json(line: str) -> Line | None:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    request = Line(**{name: _first_of(fields, keys) for name, keys in _KEYS.items()})
    if not request.status.isdecimal():
        return None
    return request


def _first_of(fields: Mapping[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        if fields.get(key) is not None:
            return str(fields[key])
    return ""


def _parse_text(line: str) -> Line | None:
    head = _HEAD.match(line)
    if head is None:
        return None
    parts = [quoted or word for quoted, word in _PARTS.findall(line, head.end())]
    layout = _ENVOY if line.rstrip().endswith('"') else _ISTIO
    if len(parts) < layout.fewest:
        return None
    return Line(
        cluster="" if layout.cluster is None else parts[layout.cluster],
        address=parts[layout.address],
        path=head["path"] or "",
        status=head["status"],
        time=head["time"],
        duration=parts[layout.duration],
    )


def batches_of_log(
    source: str, destinations: Destinations, path: str = "", skipped: Multiset[str] | None = None
) -> Iterator[Batch]:
    """Yield the requests of a log file, or of standard input (`-`), in batches.

    With `path` only the requests for it are taken. `skipped` gets the number of lines that were
    left out, by reason. Raises InputError.
    """
    log = _Log(source, path)
    requests = log.requests()
    while lines := list(itertools.islice(requests, LINES)):
        yield _batch(lines, destinations)
    if skipped is not None:
        skipped.update(log.skipped)


class _Log:
    """One log, read once: its requests, and how many lines were left out, by reason."""

    def __init__(self, source: str, path: str) -> None:
        self._source = source
        self._path = path
        self.skipped: Multiset[str] = Multiset()

    def requests(self) -> Iterator[Line]:
        """Yield the requests. Raises InputError for a log that cannot be read, or is none."""
        number = 0
        try:
            with _opened(self._source) as file:
                for request in filter(None, map(self._wanted, file)):
                    number += 1
                    yield request
        except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if not number:
                raise InputError(f"{self._source} cannot be read: {reason}") from None
            self.skipped[f"cut off ({reason})"] += 1
        if not number and set(self.skipped) == {NO_REQUESTS}:
            raise InputError(
                f"{self._source} is no access log: not one of its {self.skipped[NO_REQUESTS]:,} "
                "lines is as Envoy or Istio write them"
            )

    def _wanted(self, text: str) -> Line | None:
        """Return a line's request if it is wanted, and count the line if it is not."""
        request = parse_line(text)
        if request is None:
            if text.strip():
                self.skipped[NO_REQUESTS] += 1
            return None
        if self._path and request.path.split("?")[0] != self._path:
            self.skipped[f"not {self._path}"] += 1
            return None
        return request


def _batch(lines: Sequence[Line], destinations: Destinations) -> Batch:
    code_of = {"": -1}
    codes = []
    statuses = []
    milliseconds = []
    for line in lines:
        variant = destinations.variant(line.cluster, line.address)
        codes.append(code_of.setdefault(variant, len(code_of) - 1))
        statuses.append(_number(line.status))
        milliseconds.append(_number(line.duration))
    _, *names = code_of
    return Batch(
        names=names,
        codes=np.array(codes, np.int32),
        statuses=np.array(statuses, np.int32),
        sent=_times([line.time for line in lines]),
        latencies=1000 * np.array(milliseconds, np.int64),
    )


def _number(text: str) -> int:
    """Return a whole number, 0 for any other text."""
    if text.isdecimal() and len(text) < 7:
        return int(text)
    return 0


def _times(texts: Sequence[str]) -> Codes:
    """Return microseconds since the epoch; 0 for a text that is no time."""
    if all(text.endswith("Z") for text in texts):  # UTC, as Envoy writes it
        with contextlib.suppress(ValueError):
            stamps = np.array([text[:-1] for text in texts], "datetime64[us]")
            return stamps.astype(np.int64)
    return np.array(list(map(_time, texts)), np.int64)


def _time(text: str) -> int:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1e6)


@contextlib.contextmanager
def _opened(source: str) -> Iterator[IO[str]]:
    """Yield a file's lines, whatever it is compressed with."""
    if source == "-":
        raw: IO[bytes] = sys.stdin.buffer
        magic = raw.peek(6)[:6]  # type: ignore[attr-defined]
        yield io.TextIOWrapper(_decompressed(raw, magic), "utf-8", "replace")
        return
    with Path(source).open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        yield io.TextIOWrapper(_decompressed(raw, magic), "utf-8", "replace")


def _decompressed(raw: IO[bytes], magic: bytes) -> IO[bytes]:
    """Return a file's bytes, decompressed as its first bytes say. Raises InputError."""
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if magic.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(raw))
    if magic.startswith(b"\xfd7zXZ"):
        return cast("IO[bytes]", lzma.LZMAFile(raw))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return _from_zstandard(raw)
    return raw


def _from_zstandard(raw: IO[bytes]) -> IO[bytes]:
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError(
            "Zstandard needs pyarrow: pip install 'trafficsplit[record]', or zstd -dc … | "
            "trafficsplit analyze -"
        ) from None
    return cast("IO[bytes]", pa.input_stream(raw, compression="zstd"))  # type: ignore[arg-type]
