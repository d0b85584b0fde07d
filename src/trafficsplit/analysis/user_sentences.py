"""The verdict's sentences where draws are users: one line each that a person can act on."""

from __future__ import annotations

from trafficsplit.analysis import sentences
from trafficsplit.analysis.planning import BUDGET_QUANTILE, users_to_match
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.user_drift import shares_by_block
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.visits import Users

ONE_WAY = 0.95  # of the users that change version: they drift to one
FEWEST_MOVES = 8  # below which all of them may go one way by chance


def match(run: Run, users: Users) -> str:
    """Return that the share of users is as configured, and that they stay."""
    question = run.question
    positive = question.split.positive
    if len(positive) == 1:
        variant = next(iter(positive))
        shares = (
            f"All {users.number:,} users got {variant}: any other variant's share is below "
            f"{question.zero_tolerance * 100:g} %"
        )
    else:
        parts = []
        for variant, weight in positive.items():
            share = 100 * users.sum_of_shares(variant) / max(users.number, 1)
            parts.append(f"{variant} {share:.1f} % (weight {weight * 100:g} %)")
        shares = (
            f"The share of users is as configured, of {users.number:,} users: {', '.join(parts)}, "
            f"each within {sentences.points(question.tolerance)}"
        )
    return f"{shares}; and users stay with their version ({_stay(run, users)})."


def _stay(run: Run, users: Users) -> str:
    changed = "none" if not users.changed else f"{users.changed:,}"
    return (
        f"{changed} of them changed it within {run.question.user_requests} requests: fewer than "
        f"{run.question.zero_tolerance * 100:g} %"
    )


def leaving(run: Run, users: Users) -> str:
    """Return that users do not stay with their version, and where they end."""
    moves = users.moves()
    ways = []
    for (first, last), number in sorted(moves.items(), key=lambda item: -item[1]):
        ways.append(f"{first} to {last} {number:,}")
    back = users.changed - sum(moves.values())
    if back > 0:
        ways.append(f"there and back {back:,}")
    there = f" ({', '.join(ways)})" if ways else ""
    return (
        f"Users do not stay with their version: {users.changed:,} of {users.number:,} got another "
        f"one within {run.question.user_requests} requests{there}, more than "
        f"{run.question.zero_tolerance * 100:g} %.{_drift(users)}"
    )


def _drift(users: Users) -> str:
    """Return that users go one way, so that a share grows with each request; empty if not."""
    moves = users.moves()
    total = sum(moves.values())
    if total < FEWEST_MOVES:
        return ""
    (_, last), most = max(moves.items(), key=lambda item: item[1])
    if most < ONE_WAY * total:
        return ""
    first_share = 100 * users.answered_first(last) / users.number
    last_share = 100 * users.answered_last(last) / users.number
    return (
        f" They go one way: {last} had {first_share:.1f} % of the users at their first request and "
        f"{last_share:.1f} % at their last, so its share grows with time."
    )


def deviation(run: Run, users: Users, since: int) -> str:
    """Return by how much a variant's share of users is off its weight, or has changed.

    `since` is the block since which the shares are steady.
    """
    split = run.question.split
    variants = list(split)
    table = shares_by_block(users, variants)
    sizes = users.rows.sum(axis=1)
    now = table[since:].sum(axis=0) / max(int(sizes[since:].sum()), 1)
    off = [abs(share - split[variant]) for share, variant in zip(now, variants, strict=True)]
    index = max(reversed(range(len(off))), key=lambda place: round(off[place], 9))
    variant = variants[index]
    weight = split[variant]
    if since:
        before = table[:since].sum(axis=0) / max(int(sizes[:since].sum()), 1)
        return (
            f"The share of users has changed: {variant} got {100 * before[index]:.1f} % of the "
            f"first {int(sizes[:since].sum()):,} users and {100 * now[index]:.1f} % of the "
            f"{int(sizes[since:].sum()):,} after them; its weight is {weight * 100:g} %."
        )
    more = "more" if now[index] > weight else "less"
    return (
        f"{variant} gets {100 * now[index]:.1f} % of {users.number:,} users, "
        f"{sentences.points(off[index])} {more} than its {weight * 100:g} %."
    )


def undecided(run: Run, test: UserTest, since: int) -> str:
    """Return why a run ended without an answer about its users."""
    question = run.question
    users = test.users
    if run.tally.requests < question.requests:
        return sentences.ended_early(run)
    if not users.number:
        return f"No user could send all of its {question.user_requests} requests."
    if since:
        reason = deviation(run, users, since).removesuffix(".")
        return f"{reason}: it is not known what it is now, verify again."
    if users.with_losses and not test.would_match_without_losses:
        return _not_enough(run, test)
    if users.with_losses:
        return (
            f"{users.with_losses:,} of {users.number:,} users lost a request, and may have got "
            "another version there: fix the errors, then verify again."
        )
    return _not_enough(run, test)


def _not_enough(run: Run, test: UserTest) -> str:
    question = run.question
    users = test.users
    likely = users_to_match(question, BUDGET_QUANTILE)
    if users.number < likely:
        return (
            f"{users.number:,} users were not enough: a match within "
            f"{sentences.points(question.tolerance)} hardly ever takes more than {likely:,}, which "
            f"are {likely * question.user_requests:,} requests."
        )
    if users.changed:
        return (
            f"{users.changed:,} of {users.number:,} users got another version within "
            f"{question.user_requests} requests, which is near "
            f"{question.zero_tolerance * 100:g} %: give more --requests, or another "
            "--zero-tolerance."
        )
    variant = min(question.split.positive, key=lambda name: question.split[name])
    share = 100 * users.sum_of_shares(variant) / users.number
    return (
        f"{users.number:,} users were not enough: {variant} got {share:.2f} % of them, and its "
        f"weight is {question.split[variant] * 100:g} ± {question.tolerance * 100:g} %. Such a "
        "share is near the edge of the tolerance: give more --requests, or another --tolerance."
    )
