"""The load of the sending process itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from tests.support.engines import turned_until
from trafficsplit.locust import client_load as module
from trafficsplit.locust.client_load import ClientLoad


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClientLoad]:
    monkeypatch.setattr(module, "BEAT", 0.005)
    own = ClientLoad()
    yield own
    own.stop()


def test_a_loop_that_is_held_up_shows_in_its_lag(load: ClientLoad) -> None:
    load.start()
    gevent.sleep(0.02)
    for _ in range(3):
        time.sleep(0.2)  # whatever keeps the hub busy
        gevent.sleep(0.02)
    assert load.lag > 0.1


def test_what_it_costs_is_a_share_of_a_core(load: ClientLoad) -> None:
    load.start()
    began = time.process_time()
    while time.process_time() - began < 0.2:
        pass
    assert turned_until(lambda: load.cpu > 0)
    load.stop()
    assert 0 < load.cpu < 2


def test_before_it_is_started_nothing_is_known(load: ClientLoad) -> None:
    assert (load.cpu, load.lag) == (0.0, 0.0)
    load.stop()
    assert (load.cpu, load.lag) == (0.0, 0.0)


def test_after_it_is_stopped_nothing_changes(load: ClientLoad) -> None:
    load.start()
    assert turned_until(lambda: load.cpu > 0)
    load.stop()
    known = load.cpu
    gevent.sleep(0.03)
    assert load.cpu == known
