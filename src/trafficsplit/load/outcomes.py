"""From an answer to what it counts as: the same for every client."""

from __future__ import annotations

from collections.abc import Mapping

from trafficsplit.analysis.kinds import Kind, Outcome, status_class
from trafficsplit.identify.identifier import Identifier
from trafficsplit.load.counting import Counter
from trafficsplit.load.http import Answer, is_cached

# A cache that repeats answers shows among the first of them.
BODIES_COMPARED = 1000
UNIDENTIFIED = "unidentified"  # a row of Locust's statistics


class Outcomes:
    """Reads answers, and keeps what it learns.

    `codes` are of variants with a good answer, a dict for each gateway. While it is `comparing`,
    bodies are looked at for those that a cache repeats.
    """

    def __init__(self, identifier: Identifier, counter: Counter) -> None:
        self.read = identifier.read
        self.codes: list[dict[str | None, int]] = [{} for _ in counter.gateways]
        self.comparing = True
        self._counter = counter
        self._bodies: dict[int, None] = {}
        self._seen = 0

    def of_answer(self, answer: Answer, gateway: int = 0) -> tuple[int, str]:
        """Return the code to count an answer by, and why it is lost, empty where it is not."""
        self._look_for_a_cache(answer)
        found = self.read(answer.body, answer.headers)
        variant = found.variant or ""
        admitted = bool(variant) and self._counter.kinds.admits(variant)
        status = status_class(answer.status)
        if not 200 <= answer.status < 300:
            known = variant if admitted else ""
            code = self._code(Kind(Outcome.ERROR, known, status, gateway, answer.status))
            return code, _status(answer)
        if not admitted:
            reason = "too many different names of variants" if variant else found.reason
            kind = Kind(Outcome.UNIDENTIFIED, "", status, gateway, answer.status)
            return self._code(kind), reason
        code = self._code(Kind(Outcome.IDENTIFIED, variant, status, gateway, answer.status))
        if answer.status == 200:
            self.codes[gateway][variant] = code
        return code, ""

    def of_failure(self, gateway: int = 0) -> int:
        """Return the code of a request without an answer."""
        return self._code(Kind(Outcome.ERROR, "", "none", gateway, 0))

    def _code(self, kind: Kind) -> int:
        return self._counter.code_of(kind)

    def _look_for_a_cache(self, answer: Answer) -> None:
        """Count an answer out of a cache: it says so, or shows an older request's id."""
        self._seen += 1
        if is_cached(answer.headers):
            self._counter.sums.cached += 1
        elif self.comparing:
            digest = hash(answer.body)
            if digest in self._bodies and b"x-request-id" in answer.body.lower():
                self._counter.sums.cached += 1
            self._bodies[digest] = None
            if self._seen > BODIES_COMPARED:
                self.comparing = self._counter.sums.cached > 0
                del self._bodies[next(iter(self._bodies))]


def row_of(kind: Kind) -> str:
    """Return the row of Locust's statistics for a kind of end, empty for no variant's."""
    return UNIDENTIFIED if kind.outcome is Outcome.UNIDENTIFIED else kind.variant


def _status(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status} to {_location(answer.headers)}"
    return f"HTTP {answer.status}"


def _location(headers: Mapping[str, str]) -> str:
    return headers.get("location", "nowhere")
