"""From a run whose draws are users to a verdict, with one sentence that a person can act on."""

from __future__ import annotations

from dataclasses import replace

from trafficsplit.analysis import sentences, user_sentences
from trafficsplit.analysis.independence import Draws, Independence
from trafficsplit.analysis.look import Look
from trafficsplit.analysis.run import Run
from trafficsplit.analysis.running import unexpected
from trafficsplit.analysis.user_drift import certain_since
from trafficsplit.analysis.users import UserTest
from trafficsplit.analysis.verdict import Judgement, Verdict
from trafficsplit.analysis.visits import Users


def replay_users(run: Run) -> UserTest:
    """Return the test of users after all that a run has counted, looked at after each block."""
    test = UserTest(run.question)
    users = run.counted.users or Users()
    test.look(Look([gateway.tally for gateway in run.gateways]))
    for blocks in range(1, len(users.rows) + 1):
        test.look(Look((), users=replace(users, rows=users.rows[:blocks])))
    return test


def judge_users(run: Run, order: Independence) -> Judgement:
    """Return the verdict on the share of users, and on whether they stay (DESIGN.md 4).

    `order` is that of the users. Clusters of them are no match, and no mismatch of shares either,
    unless the shares have changed, which explains them.
    """
    surprise = unexpected(run.question.split, run.tally)
    if surprise:
        reason = sentences.surprise(run.question.split, surprise, run.tally)
        return Judgement(Verdict.MISMATCH, reason)
    test = replay_users(run)
    users = test.users
    since = certain_since(users, run.question)
    verdict = run.ending.decided or test.verdict
    clustered = order.draws is Draws.CLUSTERED
    if verdict is Verdict.MISMATCH:
        return _mismatch(run, test, since, order)
    if verdict is Verdict.FAILING or _too_many_lost(run):
        return Judgement(Verdict.FAILING, sentences.failing(run))
    if clustered and not since and users.number:
        return Judgement(Verdict.INCONCLUSIVE, sentences.clustered(run, order))
    if verdict is Verdict.INCONCLUSIVE:
        return Judgement(verdict, user_sentences.undecided(run, test, since))
    note = f" Note: {order.reason}." if order.draws is Draws.EVEN else ""
    return Judgement(verdict, user_sentences.match(run, users) + note)


def _mismatch(run: Run, test: UserTest, since: int, order: Independence) -> Judgement:
    """Return a mismatch: users that do not stay, or shares that are not as configured."""
    if test.users_leave or test.rests_on_change:
        return Judgement(Verdict.MISMATCH, user_sentences.leaving(run, test.users))
    if order.draws is Draws.CLUSTERED and not since:
        return Judgement(Verdict.INCONCLUSIVE, sentences.clustered(run, order))
    return Judgement(Verdict.MISMATCH, user_sentences.deviation(run, test.users, since))


def _too_many_lost(run: Run) -> bool:
    return run.tally.lost > run.question.max_failing * run.tally.requests
