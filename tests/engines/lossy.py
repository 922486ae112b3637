"""A relay for datagrams with a path's delay, loss and limit of size, the same for every engine: a process of its own
that the diallers dial instead of `to`. As a script it is that process."""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path

LARGEST = 1472  # what fits into an Ethernet frame: more is dropped, as on a path that cuts nothing
KERNEL_BYTES = 4 << 20


def relay(at: tuple[str, int], to: tuple[str, int], one_way_s: float, per_mille: int, seed: int) -> None:
    """Passes datagrams on until it is ended. Each is held for `one_way_s`; of a thousand, `per_mille` are lost."""
    chance = random.Random(seed)
    front = _socket(at)
    ways: dict[tuple[str, int], socket.socket] = {}  # by dialler: the socket that `to` knows it by
    diallers: dict[socket.socket, tuple[str, int]] = {}
    held: deque[tuple[float, socket.socket, tuple[str, int], bytes]] = deque()
    print(json.dumps({"event": "listening"}), flush=True)
    while True:
        wait = max(0.0, held[0][0] - time.monotonic()) if held else None
        for ready in select.select([front, *diallers], [], [], wait)[0]:
            for _ in range(64):
                try:
                    data, who = ready.recvfrom(65_536)
                except OSError:
                    break
                if ready is front and who not in ways:
                    ways[who] = _socket((at[0], 0))
                    diallers[ways[who]] = who
                if len(data) > LARGEST or chance.randrange(1000) < per_mille:
                    continue
                out, address = (ways[who], to) if ready is front else (front, diallers[ready])
                held.append((time.monotonic() + one_way_s, out, address, data))
        now = time.monotonic()
        while held and held[0][0] <= now:
            _, out, address, data = held.popleft()
            try:
                out.sendto(data, address)
            except OSError:
                pass  # lost like any other


def _socket(at: tuple[str, int]) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
    udp.setblocking(False)
    udp.bind(at)
    return udp


class Lossy:
    """The relay's process. `round_trip_s` is both ways together, the loss is that of each way."""

    def __init__(self, to: tuple[str, int], log: Path, round_trip_s: float, loss_per_mille: int, seed: int) -> None:
        from .node import HOST, free_port
        from .process import Child

        self.address = (HOST, free_port())
        told = json.dumps([self.address, to, round_trip_s / 2, loss_per_mille, seed])
        self.child = Child([sys.executable, str(Path(__file__)), told], log)
        self.child.wait_event("listening", 10)

    def __enter__(self) -> Lossy:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()


if __name__ == "__main__":
    _at, _to, *_rest = json.loads(sys.argv[1])
    relay(tuple(_at), tuple(_to), *_rest)
