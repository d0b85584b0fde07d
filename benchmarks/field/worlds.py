"""Simulated gateways: which end each request has. They are put together from small ones.

A world is a description; `begin` makes a gateway of it for one run, which remembers what it dealt.
Its answers are codes: the number of a variant, or `ERROR`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.field.requests import Codes, Requests

ERROR = -1  # instead of a variant's number

Answer = Callable[[Requests], Codes]


class World(Protocol):
    """What a gateway does."""

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run: it takes requests in order, and returns their ends."""
        ...


@dataclass(frozen=True)
class Independent:
    """Draws each variant independently, with `shares` that sum to 1."""

    shares: Sequence[float]

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        borders = np.cumsum(self.shares)[:-1]

        def answer(requests: Requests) -> Codes:
            return np.searchsorted(borders, rng.random(len(requests)), side="right")

        return answer


def green(share: float) -> Independent:
    """Return a gateway that draws the second of two variants with this share."""
    return Independent((1 - share, share))


@dataclass(frozen=True)
class Markov:
    """Repeats the last variant with probability `correlation`, else draws one by its share.

    That probability is the lag-1 correlation in order of sending.
    """

    shares: Sequence[float]
    correlation: float

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        draw = Independent(self.shares).begin(rng)
        last = int(rng.choice(len(self.shares), p=self.shares))

        def answer(requests: Requests) -> Codes:
            nonlocal last
            drawn = np.concatenate([[last], draw(requests)])
            anew = rng.random(len(drawn)) >= self.correlation
            anew[0] = True
            origin = np.maximum.accumulate(np.where(anew, np.arange(len(drawn)), 0))
            codes: Codes = drawn[origin][1:]
            last = int(codes[-1])
            return codes

        return answer


@dataclass(frozen=True)
class Dealt:
    """Deals variants in the order of a `pattern`, over and over; it begins anywhere in it."""

    pattern: Sequence[int]

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        pattern = np.array(self.pattern)
        at = int(rng.integers(len(pattern)))

        def answer(requests: Requests) -> Codes:
            nonlocal at
            codes: Codes = pattern[(at + np.arange(len(requests))) % len(pattern)]
            at = (at + len(requests)) % len(pattern)
            return codes

        return answer


def in_blocks(*sizes: int) -> Dealt:
    """Return a gateway that deals so many of the first variant in a row, then of the next."""
    return Dealt(np.repeat(np.arange(len(sizes)), sizes).tolist())


def smooth(*weights: int) -> Dealt:
    """Return nginx's smooth weighted round robin (ngx_http_upstream_round_robin.c).

    HAProxy's differs in the order within a period only.
    """
    current = [0] * len(weights)
    pattern = []
    for _ in range(sum(weights)):
        current = [have + weight for have, weight in zip(current, weights, strict=True)]
        chosen = max(range(len(weights)), key=current.__getitem__)
        current[chosen] -= sum(weights)
        pattern.append(chosen)
    return Dealt(pattern)


def ipvs(*weights: int) -> Dealt:
    """Return Linux IPVS's weighted round robin (ip_vs_wrr.c).

    Each variant in turn is dealt while its weight is not below a level, which sinks from the
    largest weight on, by their greatest common divisor.
    """
    pattern: list[int] = []
    for level in range(max(weights), 0, -math.gcd(*weights)):
        pattern += [variant for variant, weight in enumerate(weights) if weight >= level]
    return Dealt(pattern)


@dataclass(frozen=True)
class Changing:
    """One world after the other: each has its turn from a request's number on.

    `parts` are pairs of that number and a world, in order; the first number is 0. `by_time` says
    that they are seconds instead.
    """

    parts: Sequence[tuple[float, World]]
    by_time: bool = False

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        borders = np.array([border for border, _ in self.parts[1:]])
        answers = [world.begin(rng) for _, world in self.parts]

        def answer(requests: Requests) -> Codes:
            place = requests.times if self.by_time else requests.numbers
            return _ask(answers, np.searchsorted(borders, place, side="right"), requests)

        return answer


@dataclass(frozen=True)
class EachGateway:
    """Several gateways that the client knows, each a world of its own."""

    worlds: Sequence[World]

    def begin(self, rng: Generator) -> Answer:
        """Return gateways for one run."""
        answers = [world.begin(rng) for world in self.worlds]
        return lambda requests: _ask(answers, requests.gateways, requests)


@dataclass(frozen=True)
class Balancer:
    """A balancer of connections, which stay at the replica that they were given.

    It gives new connections to replicas at random, or in turn.
    """

    replicas: Sequence[World]
    in_turn: bool = False

    def begin(self, rng: Generator) -> Answer:
        """Return replicas for one run."""
        answers = [world.begin(rng) for world in self.replicas]
        assign = _Assignment(len(answers), rng, in_turn=self.in_turn)
        return lambda requests: _ask(answers, assign(requests.connections), requests)


@dataclass(frozen=True)
class Sticky:
    """Draws a variant for each connection, which keeps it."""

    shares: Sequence[float]

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        draw = _Assignment(len(self.shares), rng, shares=self.shares)
        return lambda requests: draw(requests.connections)


@dataclass(frozen=True)
class Cache:
    """A cache that gives an answer again for some `seconds`, then asks the world behind it."""

    world: World
    seconds: float

    def begin(self, rng: Generator) -> Answer:
        """Return a cache, and what is behind it, for one run."""
        ask = self.world.begin(rng)
        kept = 0
        until = -1.0

        def answer(requests: Requests) -> Codes:
            nonlocal kept, until
            codes = np.empty(len(requests), np.int64)
            at = 0
            while at < len(codes):
                if requests.times[at] >= until:
                    kept = int(ask(requests[at : at + 1])[0])
                    until = float(requests.times[at]) + self.seconds
                end = int(np.searchsorted(requests.times, until))
                codes[at:end] = kept
                at = end
            return codes

        return answer


@dataclass(frozen=True)
class Failing:
    """Loses a `ratio` of a variant's answers."""

    world: World
    variant: int
    ratio: float

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        ask = self.world.begin(rng)

        def answer(requests: Requests) -> Codes:
            codes = ask(requests)
            lost = (codes == self.variant) & (rng.random(len(codes)) < self.ratio)
            return np.where(lost, ERROR, codes)

        return answer


@dataclass(frozen=True)
class Losing:
    """Loses the requests of some `numbers`, whatever their variant."""

    world: World
    numbers: Sequence[int]

    def begin(self, rng: Generator) -> Answer:
        """Return a gateway for one run."""
        ask = self.world.begin(rng)

        def answer(requests: Requests) -> Codes:
            return np.where(np.isin(requests.numbers, self.numbers), ERROR, ask(requests))

        return answer


def _ask(answers: Sequence[Answer], which: Codes, requests: Requests) -> Codes:
    """Return the answers to requests, of which each goes to one of several gateways."""
    codes = np.empty(len(requests), np.int64)
    for number, answer in enumerate(answers):
        own: NDArray[np.bool_] = which == number
        if own.any():
            codes[own] = answer(requests[own])
    return codes


class _Assignment:
    """Gives each connection one of several numbers, at random or in turn, and remembers it."""

    def __init__(
        self,
        number: int,
        rng: Generator,
        *,
        in_turn: bool = False,
        shares: Sequence[float] | None = None,
    ) -> None:
        self._number = number
        self._rng = rng
        self._in_turn = in_turn
        self._shares = shares
        self._given = np.full(64, -1)  # by connection, −1: none yet
        self._next = int(rng.integers(number))

    def __call__(self, connections: Codes) -> Codes:
        """Return the numbers of connections; a new one is drawn for each connection 0."""
        if not connections.any():
            return self._give(len(connections))
        largest = int(connections.max())
        if largest >= len(self._given):
            self._given = np.pad(self._given, (0, 2 * largest), constant_values=-1)
        known, first = np.unique(connections, return_index=True)
        new = self._given[known] < 0
        in_order = known[new][np.argsort(first[new])]
        self._given[in_order] = self._give(len(in_order))
        return self._given[connections]

    def _give(self, count: int) -> Codes:
        if self._in_turn:
            given: Codes = (self._next + np.arange(count)) % self._number
            self._next += count
            return given
        return self._rng.choice(self._number, size=count, p=self._shares)
