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
import json
import lzma
import re
import sys
from collections import Counter as Multiset
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from trafficsplit.analysis.split import Split
from trafficsplit.errors import InputError
from trafficsplit.offline.batches import Batch

LINES = 50_000  # at a time
NOWHERE = ("", "-", "None", "null")


class Line(NamedTuple):
    """One request: where it went, its path, HTTP's status, when it began, its duration in ms."""

    cluster: str
    host: str
    path: str
    status: str
    time: str
    duration: str


# [START_TIME] "METHOD PATH PROTOCOL" CODE FLAGS …
_HEAD = re.compile(
    r'\[(?P<time>[^\]\s]+)\] "(?:\S+ (?P<path>\S+) [^\s"]+|-[^"]*)" (?P<status>\d+) (?P<flags>\S+) '
)
# Quoted strings, or words. Nobody escapes a quote that a client sends, so what stands behind the
# client's own fields is counted from the end.
_PARTS = re.compile(r'"(.*?)"(?=\s|$)|(\S+)')
# A JSON log has the keys that its configuration gives; these are Istio's, and usual ones.
_KEYS = {
    "cluster": ("upstream_cluster", "upstream_cluster_name", "UPSTREAM_CLUSTER"),
    "host": ("upstream_host", "upstream_address", "UPSTREAM_HOST"),
    "path": ("path", "x_envoy_origin_path", "request_path", "PATH"),
    "status": ("response_code", "status", "code", "RESPONSE_CODE"),
    "time": ("start_time", "timestamp", "time", "START_TIME"),
    "duration": ("duration", "duration_ms", "DURATION"),
}


def parsed(line: str) -> Line | None:
    """A line's request; None where it is none (a proxy's own messages stand in between)."""
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            return None
        found = {
            name: next((str(fields[k]) for k in keys if fields.get(k) is not None), "")
            for name, keys in _KEYS.items()
        }
        return Line(**found) if found["status"].isdecimal() else None
    head = _HEAD.match(line)
    if head is None:
        return None
    rest = [quoted or word for quoted, word in _PARTS.findall(line, head.end())]
    # Istio's has the details and failure of the response before, and the cluster behind.
    envoy = line.rstrip().endswith('"')
    if len(rest) < (9 if envoy else 18):
        return None
    host, cluster = (rest[-1], "") if envoy else (rest[-7], rest[-6])
    duration = rest[2 if envoy else 5]
    return Line(cluster, host, head["path"] or "", head["status"], head["time"], duration)


class Names:
    """From where requests went to variants: by `--map`, or by the variants' names within."""

    def __init__(self, split: Split, mapping: Mapping[str, str]) -> None:
        self._split, self._mapping = split, mapping
        self._known: dict[tuple[str, str], str] = {}
        self.seen: Multiset[str] = Multiset()  # places that no variant was found for

    def variant(self, cluster: str, host: str) -> str:
        """The variant of a place: the place's own name where it is nobody's, empty for nowhere."""
        found = self._known.get((cluster, host))
        if found is None:
            found = self._known[cluster, host] = self._variant(cluster, host)
        return found

    def _variant(self, cluster: str, host: str) -> str:
        if cluster in NOWHERE and host in NOWHERE:
            return ""
        keys = [*_names_in(cluster), host]
        for key in keys:
            if key in self._mapping:
                return self._mapping[key]
        for key in keys:
            words = re.split(r"[^A-Za-z0-9#]+", key)
            named = [v for v in self._split if v == key or v in words]
            if len(named) == 1:
                return named[0]
        name = next((key for key in keys if key not in NOWHERE), "")
        self.seen[name] += 1
        return name


def _names_in(cluster: str) -> list[str]:
    """What a cluster is called by: all of it, its subset, its host, its host's first label."""
    if cluster in NOWHERE:
        return []
    _, _, rest = cluster.partition("|")
    parts = rest.split("|")
    if len(parts) != 3:
        return [cluster]
    _, subset, host = parts
    return [name for name in (cluster, subset, host, host.split(".")[0]) if name]


def batches_of_log(
    source: str, names: Names, path: str = "", skipped: Multiset[str] | None = None
) -> Iterator[Batch]:
    """The requests of a log file, or of standard input (`-`); only those for `path`, where given.

    `skipped` counts the lines that were left out, by reason. Raises InputError.
    """
    kept: list[Line] = []
    left_out: Multiset[str] = Multiset() if skipped is None else skipped
    count = 0
    try:
        with _opened(source) as file:
            for text in file:
                line = parsed(text)
                if line is None:
                    if text.strip():
                        left_out["no requests"] += 1
                elif path and line.path.split("?")[0] != path:
                    left_out[f"not {path}"] += 1
                else:
                    kept.append(line)
                    if len(kept) >= LINES:
                        count += len(kept)
                        yield _batch(kept, names)
                        kept = []
    except (OSError, EOFError, lzma.LZMAError, UnicodeError) as error:
        if not (count or kept):
            raise InputError(f"{source} cannot be read: {_reason(error)}") from None
        left_out[f"cut off ({_reason(error)})"] += 1
    if kept:
        yield _batch(kept, names)
    elif not count and left_out["no requests"]:
        raise InputError(
            f"{source} is no access log: not one of its {left_out['no requests']:,} lines is as "
            "Envoy or Istio write them"
        )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _batch(lines: Sequence[Line], names: Names) -> Batch:
    variants = [names.variant(line.cluster, line.host) for line in lines]
    known = [name for name in dict.fromkeys(variants) if name]
    index = {name: code for code, name in enumerate(known)} | {"": -1}
    return Batch(
        known,
        np.array([index[variant] for variant in variants], np.int32),
        np.array([_number(line.status) for line in lines], np.int32),
        _times([line.time for line in lines]),
        1000 * np.array([_number(line.duration) for line in lines], np.int64),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _times(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Microseconds since the epoch; 0 where there is no time."""
    if all(text.endswith("Z") for text in texts):  # UTC, as Envoy writes it
        with contextlib.suppress(ValueError):
            stamps = np.array([text[:-1] for text in texts], "datetime64[us]")
            return stamps.astype(np.int64)
    return np.array([_time(text) for text in texts], np.int64)


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
    """A file's lines, whatever it is compressed with."""
    if source == "-":
        raw: IO[bytes] = sys.stdin.buffer
        magic = raw.peek(6)[:6]  # type: ignore[attr-defined]
        yield io.TextIOWrapper(_unpacked(raw, magic), "utf-8", "replace")
        return
    with Path(source).open("rb") as raw:
        magic = raw.read(6)
        raw.seek(0)
        yield io.TextIOWrapper(_unpacked(raw, magic), "utf-8", "replace")


def _unpacked(raw: IO[bytes], magic: bytes) -> Any:
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if magic.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(raw)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            import pyarrow as pa
        except ImportError:
            raise InputError(
                "Zstandard needs pyarrow: pip install 'trafficsplit[record]', or zstd -dc … | "
                "trafficsplit analyze -"
            ) from None
        return pa.input_stream(raw, compression="zstd")  # type: ignore[arg-type]
    return raw
