"""What an answer counts as, for every client."""

from __future__ import annotations

from trafficsplit.analysis.causes.reasons import said_by
from trafficsplit.analysis.kinds import Kind, Outcome, status_class
from trafficsplit.identify.identifier import Identifier
from trafficsplit.load.counting import Counter
from trafficsplit.load.http import Answer, is_cached

BODIES_COMPARED = 1000  # answers among which a cache shows that repeats them
UNIDENTIFIED = "unidentified"  # a row of Locust's statistics


class Outcomes:
    """Finds the codes that answers are counted by, and notices a cache in front of the gateway.

    `codes` are those of variants that have answered with status 200, a dict for each gateway. While
    it is `comparing`, bodies are compared with earlier ones, which a cache may repeat.
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
        self._compare(answer)
        identified = self.read(answer.body, answer.headers)
        variant = identified.variant or ""
        reason = identified.reason
        if variant and not self._counter.kinds.admits(variant):
            variant = ""
            reason = "too many different names of variants"
        if not 200 <= answer.status < 300:
            outcome = Outcome.ERROR
            reason = _status(answer)
        elif variant:
            outcome = Outcome.IDENTIFIED
            reason = ""
        else:
            outcome = Outcome.UNIDENTIFIED
        status = status_class(answer.status)
        code = self._counter.code_of(Kind(outcome, variant, status, gateway, answer.status))
        if outcome is Outcome.IDENTIFIED and answer.status == 200:
            self.codes[gateway][variant] = code
        return code, reason

    def of_failure(self, gateway: int = 0) -> int:
        """Return the code of a request without an answer."""
        return self._counter.code_of(Kind(Outcome.ERROR, "", "none", gateway, 0))

    def _compare(self, answer: Answer) -> None:
        """Count an answer out of a cache: it says so, or shows an earlier request's id."""
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
    """Return the row of Locust's statistics for a kind of end, empty where no variant is known."""
    return UNIDENTIFIED if kind.outcome is Outcome.UNIDENTIFIED else kind.variant


def _status(answer: Answer) -> str:
    """Return the status of an answer that is no good one, for people."""
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status} to {answer.headers.get('location', 'nowhere')}"
    said = said_by(answer.headers, answer.body)
    if said:
        return f"HTTP {answer.status}: {said}"
    return f"HTTP {answer.status}"
