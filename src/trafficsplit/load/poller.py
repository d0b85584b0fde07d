"""All sockets of a process on one epoll, beside gevent.

gevent's hub watches the epoll's own descriptor, so that greenlets run beside it. A socket is
registered for reading from its beginning to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent import monkey

# The epoll of the system, and not that of gevent's patches.
try:
    _epoll: Any = monkey.get_original("select", "epoll")
except AttributeError:  # macOS, Windows
    _epoll = None
AVAILABLE = _epoll is not None
READ = 0x001  # the bits of an epoll's events
WRITE = 0x004
MOST_EVENTS = 256  # of one turn, before other greenlets have theirs


class Poller:
    """Calls functions with the events of descriptors. None of them may block.

    `on_broken` is called with an exception of such a function.
    """

    def __init__(self, on_broken: Callable[[BaseException], None]) -> None:
        self._on_broken = on_broken
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._epoll = _epoll()
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._watcher.start(self._turn)

    def watch(self, descriptor: int, events: int, callback: Callable[[int], None]) -> None:
        """Call a function with the events of a descriptor from now on."""
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Watch a descriptor for other events."""
        self._epoll.modify(descriptor, events)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor that is about to be closed; closing it takes it out of the epoll."""
        self._callbacks.pop(descriptor, None)

    def _turn(self) -> None:
        poll = self._epoll.poll
        callbacks = self._callbacks
        handled = 0
        while handled < MOST_EVENTS:
            events = poll(0, MOST_EVENTS)
            if not events:
                return
            for descriptor, mask in events:
                callback = callbacks.get(descriptor)
                if callback is not None:
                    try:
                        callback(mask)
                    except Exception as error:
                        self._on_broken(error)
            handled += len(events)

    def close(self) -> None:
        """Watch no more descriptors."""
        self._watcher.stop()
        self._watcher.close()
        self._epoll.close()
