"""What is said of a cause: its name, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """One way in which the counts may have come about.

    `advice` is a sentence for a person. `log_likelihood` says how much worse it explains the counts
    than the best conceivable shares, in nats: 0 or less. `certain` says that the counts support
    it against everything else; otherwise they only do not rule it out.
    """

    name: str
    advice: str
    log_likelihood: float = 0.0
    certain: bool = True


@dataclass(frozen=True)
class Diagnosis:
    """What to make of a run without a match.

    `cause` is the name of the cause that is certain, empty where none is. `summary` says it, with
    what to do, or else what the counts leave open. `explanations` are those that the counts do not
    rule out, the likeliest first.
    """

    summary: str
    explanations: tuple[Explanation, ...] = ()
    cause: str = ""
