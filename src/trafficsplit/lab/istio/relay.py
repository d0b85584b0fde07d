"""TCP from this machine's loopback into the cluster's network, connection by connection.

The listening sockets were made before the namespaces and are those of the machine's own loopback;
connections onward begin in the cluster's network. So one process reaches both.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Callable

Target = tuple[str, int]  # address and port
CHUNK = 1 << 16  # bytes


class Relay:
    """Spreads the connections of listening sockets over targets, each in turn, in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def serve(self, listener: socket.socket, targets: Callable[[], list[Target]]) -> None:
        """Pass on the connections of a listening socket; `targets` says to where just now."""
        turns = itertools.count()

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = targets()
            if not there:
                writer.close()
                return
            address, port = there[next(turns) % len(there)]
            await _join(reader, writer, address, port)

        listener.setblocking(False)
        starting = asyncio.start_server(pass_on, sock=listener, limit=CHUNK)
        asyncio.run_coroutine_threadsafe(starting, self._loop).result()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int
) -> None:
    """Connect to a target, and pass bytes both ways until both ends have closed."""
    try:
        onward = await asyncio.open_connection(address, port, limit=CHUNK)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, onward[1]), _copy(onward[0], writer))
    for end in (writer, onward[1]):
        end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        return
    writer.close()  # a reset of one end is one of the other
