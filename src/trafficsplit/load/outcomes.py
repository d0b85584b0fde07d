"""From an answer to what it counts as: the same for every client."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.reading import ResponseReader
from load.counting import ERRORS, UNIDENTIFIED, Counter, Kind
from load.http import is_cached

# A cache that repeats answers shows among the first of them.
BODIES_COMPARED = 1000


class Outcomes:
    """Reads answers, and keeps what it learns.

    `codes` are of variants with a good answer, a dict for each gateway.
    """

    def __init__(self, reader: ResponseReader, counter: Counter) -> None:
        self.read = reader.read
        self.counter = counter
        self.codes: list[dict[str | None, int]] = [{} for _ in counter.gateways]
        self.comparing = True
        self._bodies: dict[int, None] = {}
        self._looks = 0

    def of_answer(
        self, status: int, headers: Mapping[str, str], body: bytes, gateway: int = 0
    ) -> tuple[int, str]:
        """The code to count an answer by, and the reason why it is lost, empty where it is not."""
        reading = self.read(body, headers)
        variant, counter = reading.variant, self.counter
        self._look_for_a_cache(headers, body)
        kind = f"{status // 100}xx" if 100 <= status < 600 else "none"
        outcome = counter.variant_or_stranger(variant) if variant else UNIDENTIFIED
        if not 200 <= status < 300:
            known = variant if variant and outcome == variant else ""
            code = counter.code_of(Kind(ERRORS, known, kind, gateway, status))
            return code, _status(status, headers)
        if not variant or outcome == UNIDENTIFIED:
            reason = "too many different names of variants" if variant else reading.reason
            return counter.code_of(Kind(UNIDENTIFIED, "", kind, gateway, status)), reason
        code = counter.code_of(Kind(variant, variant, kind, gateway, status))
        if status == 200:
            self.codes[gateway][variant] = code
        return code, ""

    def of_failure(self, gateway: int = 0) -> int:
        """The code of a request without an answer."""
        return self.counter.code_of(Kind(ERRORS, "", "none", gateway, 0))

    def _look_for_a_cache(self, headers: Mapping[str, str], body: bytes) -> None:
        """Count an answer out of a cache: it says so, or shows an older request's id."""
        self._looks += 1
        if is_cached(headers):
            self.counter.cached += 1
        elif self.comparing:
            digest = hash(body)
            if digest in self._bodies and b"x-request-id" in body.lower():
                self.counter.cached += 1
            self._bodies[digest] = None
            if self._looks > BODIES_COMPARED:
                self.comparing = self.counter.cached > 0
                del self._bodies[next(iter(self._bodies))]


def row_of(kind: Kind) -> str:
    """The row of Locust's statistics that a kind of end belongs to: a variant's, or nobody's."""
    return "unidentified" if kind.outcome == UNIDENTIFIED else kind.variant


def _status(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return f"HTTP {status} to {headers.get('location', 'nowhere')}"
    return f"HTTP {status}"
