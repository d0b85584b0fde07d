"""Runs in which latency matters: users that wait for answers, late ones, and some that never come.

Virtual time goes from event to event. As in the load engine, each user has one request under way at
most, a lost answer costs its connection, overdue requests are searched for a few times a second,
and a run that is interrupted waits a little for its last answers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from benchmarks.field.requests import Load, Requests, requests_of
from benchmarks.field.simulation import Result, Setting, Simulated, result_of
from benchmarks.field.worlds import ERROR, Answer, World
from trafficsplit.load.hangs import LEAST_LATE, UnderWay

# As in the load engine, whose modules bring gevent with them.
SWEEP = 0.25  # seconds between two searches for requests that take too long
FIRST_BACKOFF = 0.05  # seconds to wait after a lost request, twice as many after each further one
LONGEST_BACKOFF = 2.0  # seconds
TIMEOUT = 10.0  # seconds, as --timeout
LAST_ANSWERS = 2.0  # seconds for which a run that was interrupted waits
AT_ONCE = 1024  # ends and latencies that are drawn at once

NEVER = math.inf

_Any = TypeVar("_Any")


@dataclass(frozen=True)
class Latency:
    """How long answers take: `means` in seconds, by variant.

    They are distributed exponentially, or where `sigma` is given log-normally, with that standard
    deviation of the logarithm.
    """

    means: Sequence[float]
    sigma: float = 0.0

    def begin(self, rng: Generator) -> Iterator[float]:
        """Yield latencies with a mean of 1."""
        while True:
            if self.sigma:
                drawn = rng.lognormal(-(self.sigma**2) / 2, self.sigma, AT_ONCE)
            else:
                drawn = rng.exponential(1.0, AT_ONCE)
            yield from drawn.tolist()


@dataclass(frozen=True)
class Hang:
    """Which requests are never answered: those that fit in everything that is said here.

    That is the `replica`, the `variant` and the `number` of the request (−1: any of them), sent
    `since` some seconds after the start or later; a `ratio` of them hangs.
    """

    replica: int = -1
    variant: int = -1
    number: int = -1
    since: float = 0.0
    ratio: float = 1.0

    def fits(self, replica: int, variant: int, number: int, now: float) -> bool:
        """Return whether it is about a request, but for the ratio."""
        return (
            self.replica in (-1, replica)
            and self.variant in (-1, variant)
            and self.number in (-1, number)
            and now >= self.since
        )


@dataclass(frozen=True)
class Timed:
    """Replicas that take their time; each is a world that goes by the order of its own requests.

    A connection stays at the replica that it was given at random; where the client knows several
    gateways, each of them is a replica.
    """

    replicas: Sequence[World]
    latency: Latency
    hangs: Sequence[Hang] = ()

    def begin(self, rng: Generator) -> Answer:
        """Refuse to answer without a clock."""
        raise TypeError("a timed world answers one request at a time")


@dataclass(frozen=True)
class Clock:
    """How a run goes in time.

    `rate` is that of a schedule, in requests a second (0: each user sends when it has its answer).
    The run is interrupted at a random time between the two of `interrupted`, in seconds.
    """

    rate: float = 0.0
    interrupted: tuple[float, float] | None = None
    timeout: float = TIMEOUT


class _Connection:
    """A connection to a gateway: where it leads to, and the requests until it is renewed."""

    __slots__ = ("left", "number", "replica")

    def __init__(self) -> None:
        self.number = 0
        self.replica = 0
        self.left = 0  # 0: it is closed


class _User:
    """One user, who has one request under way at most."""

    __slots__ = (
        "code",
        "connection",
        "failures",
        "gateway",
        "reason",
        "silent",
        "since",
        "ticket",
    )

    def __init__(self, gateway: int) -> None:
        self.gateway = gateway
        self.connection: _Connection | None = None  # over which a request is under way
        self.ticket = -1
        self.since = 0.0
        self.code = 0
        self.reason = ""
        self.failures = 0  # in a row
        self.silent = False  # its request is never answered

    @property
    def under_way(self) -> UnderWay:
        """The request that waits for its answer."""
        left = self.connection.left if self.connection else 0
        return UnderWay(self.ticket, self.gateway, self.since, left)


@dataclass
class _Draws:
    """Everything random of a run."""

    rng: Generator
    timed: Timed
    ends: list[Callable[[], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ends = [_one_by_one(world.begin(self.rng)) for world in self.timed.replicas]
        self.latency = self.timed.latency.begin(self.rng)

    def hangs(self, replica: int, variant: int, number: int, now: float) -> bool:
        """Return whether a request is never answered."""
        for hang in self.timed.hangs:
            if hang.fits(replica, variant, number, now):
                return hang.ratio == 1 or float(self.rng.random()) < hang.ratio
        return False


def _one_by_one(answer: Answer) -> Callable[[], int]:
    """Return a function that returns the end of the next request at a world."""
    nothing = np.zeros(AT_ONCE, np.int64)

    def ends() -> Iterator[int]:
        first = 0
        while True:
            numbers = first + np.arange(AT_ONCE)
            yield from answer(Requests(numbers, numbers / 1000, nothing, nothing)).tolist()
            first += AT_ONCE

    return ends().__next__


class _Run:
    """One run in virtual time."""

    def __init__(self, setting: Setting, clock: Clock, timed: Timed, rng: Generator) -> None:
        self.simulated = Simulated(setting)
        self.counter = self.simulated.counter
        self.codes: list[list[int]] = self.simulated.codes.tolist()
        self.load: Load = setting.load
        self.clock = clock
        self.draws = _Draws(rng, timed)
        self.users = [_User(number % self.load.gateways) for number in range(self.load.users)]
        self.random = random.Random(int(rng.integers(2**62))).random
        self.number = 0  # of the next request
        self.opened = 0  # connections
        self.connections = self._connections()
        self.free: list[int] = []  # users that wait for the schedule
        self.due = 0  # requests of the schedule so far
        self.next_sweep = SWEEP
        self.ends_at = NEVER
        if clock.interrupted:
            self.ends_at = float(rng.uniform(*clock.interrupted))
        # What happens next: a time, and a user's number, or −1 for the schedule.
        self.events: list[tuple[float, int]] = []

    def go(self) -> Simulated:
        """Let time pass until the run has ended."""
        self._begin()
        counter = self.counter
        while not counter.complete:
            now = min(self.events[0][0] if self.events else NEVER, self.next_sweep)
            if now >= self.ends_at:
                self._interrupt()
                break
            if now == self.next_sweep:
                self._sweep()
                continue
            _, number = heappop(self.events)
            if number < 0:
                self._send_scheduled(now)
            else:
                self._wake(number, now)
        return self.simulated

    def _connections(self) -> list[list[_Connection]]:
        """Return the free connections of each gateway."""
        free = [[_Connection() for _ in range(self.load.spare)] for _ in range(self.load.gateways)]
        for user in self.users:
            free[user.gateway].append(_Connection())
        return free

    def _begin(self) -> None:
        for user in self.users:
            self.counter.hangs.add_users(user.gateway, 1)
        if self.clock.rate:
            self.free = list(range(len(self.users)))
            self.events = [(0.0, -1)]
        else:
            self.events = [(1e-5 * number, number) for number in range(len(self.users))]
            heapify(self.events)

    # --- users ---

    def _wake(self, number: int, now: float) -> None:
        """Count the answer of a user's request, if it has come, and let it send the next."""
        user = self.users[number]
        if user.ticket >= 0:
            self._end(user, now)
        if not self.clock.rate:
            self._send(number, now, now)
            return
        self.free.append(number)
        if len(self.free) == 1:  # it may be late already
            heappush(self.events, (max(now, self.due / self.clock.rate), -1))

    def _end(self, user: _User, now: float) -> None:
        ticket = user.ticket
        self._free(user)
        if user.failures:
            user.failures = 0
            self.counter.hangs.stick(user.gateway, -1)
        self.counter.count(ticket, user.code, user.since, now - user.since, 0, user.reason)

    def _free(self, user: _User) -> None:
        """Let others use a user's connection."""
        assert user.connection
        self.connections[user.gateway].append(user.connection)
        user.connection = None
        user.ticket = -1

    def _send(self, number: int, now: float, since: float) -> None:
        """Send a user's next request, over a connection that is picked at random."""
        user = self.users[number]
        connection = _take_any(self.connections[user.gateway], self.random())
        user.connection = connection
        if not connection.left:
            self._open(connection, user.gateway)
        user.ticket = self.counter.take(0 if self.load.sessions else connection.number)
        if user.ticket < 0:
            self._free(user)
            return
        connection.left -= 1
        user.since = since
        draws = self.draws
        variant = draws.ends[connection.replica]()
        user.code = self.codes[user.gateway][variant]
        user.reason = self.simulated.setting.reason if variant == ERROR else ""
        user.silent = draws.hangs(connection.replica, variant, self.number, now)
        self.number += 1
        if not user.silent:
            mean = draws.timed.latency.means[variant]
            heappush(self.events, (now + mean * next(draws.latency), number))

    def _open(self, connection: _Connection, gateway: int) -> None:
        self.opened += 1
        connection.number = self.opened
        connection.left = 1
        if not self.load.sessions:
            connection.left = requests_of(self.opened, self.load.lasts)
            self.counter.hangs.open_connection(gateway)
        connection.replica = gateway
        if self.load.gateways == 1:
            connection.replica = int(self.random() * len(self.draws.ends))

    def _send_scheduled(self, now: float) -> None:
        """Send the requests that are due, each by a free user that is picked at random."""
        rate = self.clock.rate
        while self.free and self.due / rate <= now:
            self._send(_take_any(self.free, self.random()), now, self.due / rate)
            self.due += 1
        if self.free:
            heappush(self.events, (self.due / rate, -1))

    # --- time ---

    def _sweep(self) -> None:
        """Give up the requests that are overdue, and pass over those that have become late."""
        now = self.next_sweep
        self.next_sweep += SWEEP
        old = []
        for number, user in enumerate(self.users):
            if user.ticket < 0 or user.since >= now - LEAST_LATE:
                continue
            if user.since < now - self.clock.timeout:
                self._fail(number, user, now)
            else:
                old.append(user.under_way)
        self.counter.watch(old, len(self.users), now)

    def _fail(self, number: int, user: _User, now: float) -> None:
        """Count a request as lost, and close its connection."""
        connection = user.connection
        assert connection
        ticket = user.ticket
        waited = now - user.since
        if not self.load.sessions:
            self.counter.hangs.hang(user.gateway, connection.left, waited)
        connection.left = 0
        self._free(user)
        code = self.simulated.unanswered[user.gateway]
        reason = f"no answer within {self.clock.timeout:g} seconds"
        self.counter.count(ticket, code, user.since, waited, 0, reason)
        if not user.failures:
            self.counter.hangs.stick(user.gateway, 1)
        pause = min(FIRST_BACKOFF * 2.0**user.failures, LONGEST_BACKOFF)
        heappush(self.events, (now + pause, number))
        user.failures += 1

    def _interrupt(self) -> None:
        """Send no more, wait a little for the last answers, and leave out the others."""
        self.simulated.interrupted = "the run was interrupted"
        self.counter.close()
        last = self.ends_at + LAST_ANSWERS
        while self.events and self.events[0][0] <= last:
            now, number = heappop(self.events)
            if number >= 0 and self.users[number].ticket >= 0:
                self._end(self.users[number], now)
        for user in self.users:
            if user.ticket >= 0:
                self.counter.give_up(user.ticket, user.gateway)


def _take_any(free: list[_Any], number: float) -> _Any:
    """Return one of several, by a random number in [0, 1), and take it out."""
    index = int(number * len(free))
    taken = free[index]
    free[index] = free[-1]
    free.pop()
    return taken


def simulate_clocked(setting: Setting, clock: Clock, seed: int) -> Result:
    """Return how a run in virtual time ends; the same seed gives the same run."""
    timed = setting.world
    assert isinstance(timed, Timed)
    run = _Run(setting, clock, timed, np.random.default_rng(seed))
    return result_of(run.go())
