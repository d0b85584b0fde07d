"""What the verdict document says of users, where draws are users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trafficsplit.analysis.run import Run
from trafficsplit.analysis.user_drift import certain_since
from trafficsplit.analysis.user_judge import replay_users
from trafficsplit.analysis.verdict import Verdict


@dataclass(frozen=True)
class Move:
    """How many users began with one variant and ended with another."""

    first: str
    last: str
    users: int


@dataclass(frozen=True)
class UsersSection:
    """The users whose requests have all ended: `number` of them, with `requests` each.

    `changed` are those that several variants answered, `with_losses` those that lost a request.
    Shares are fractions of the users by variant: of all their responses, of their first and of
    their last answers. The shares are steady since the user `steady_since`, counted from 0.
    `change_evidence` is the natural logarithm of the evidence that more users change version than
    may, and `leaving` says that this is certain.
    """

    number: int
    requests: int
    changed: int
    with_losses: int
    shares: Mapping[str, float]
    first_shares: Mapping[str, float]
    last_shares: Mapping[str, float]
    moves: list[Move]
    steady_since: int
    change_evidence: float
    leaving: bool


def users_section(run: Run) -> UsersSection | None:
    """Return what is to be said of users, None where draws are none or none has ended."""
    users = run.counted.users
    if not run.question.user_requests or users is None or not users.number:
        return None
    variants = list(run.tally.counts)
    number = users.number
    since = certain_since(users, run.question)
    test = replay_users(run)
    is_mismatch = Verdict.MISMATCH in (run.ending.decided, test.verdict)
    return UsersSection(
        number=number,
        requests=run.question.user_requests,
        changed=users.changed,
        with_losses=users.with_losses,
        shares={variant: users.sum_of_shares(variant) / number for variant in variants},
        first_shares={variant: users.answered_first(variant) / number for variant in variants},
        last_shares={variant: users.answered_last(variant) / number for variant in variants},
        moves=[Move(*way, count) for way, count in sorted(users.moves().items())],
        steady_since=int(users.rows[:since].sum()),
        change_evidence=test.log_change,
        leaving=test.users_leave or (is_mismatch and test.rests_on_change),
    )


def users_in_words(users: UsersSection) -> str:
    """Return how many users there were, how many stayed, and how many lost a request."""
    moved = f"{users.changed:,} of them changed version"
    if not users.changed:
        moved = "all of them stayed with their version"
    lost = f", and {users.with_losses:,} lost a request" if users.with_losses else ""
    return f"{users.number:,} users asked {users.requests} times each: {moved}{lost}."
