"""What a call of `millstream.sansio` costs: `python benches/sansio.py`, with a wheel that was built for release.

Prints nanoseconds for each message in a batch, and for each call, the best of several rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from millstream import sansio as s

ROUNDS = 30
HASH = bytes(20)


def best(call: Callable[[], object], count: int) -> float:
    """Nanoseconds for one of `count`, of the best round."""
    shortest = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        call()
        shortest = min(shortest, time.perf_counter_ns() - begin)
    return shortest / count


def pair() -> tuple[s.PeerConnection, s.PeerConnection]:
    client = s.PeerConnection(client=True, peer_id=b"a" * 20, info_hash=HASH, pieces=100_000)
    server = s.PeerConnection(client=False, peer_id=b"b" * 20, pieces=100_000)
    server.receive_data(client.handshake())
    client.receive_data(server.handshake())
    return client, server


def main() -> None:
    client, server = pair()
    batch = client.send(*(s.Have(n) for n in range(1000)))
    one = client.send(s.Have(1))
    requests = [s.Request(n, 0, 16384) for n in range(1000)]
    asked = client.send(*requests)
    blocks = b"".join(client.send(s.Piece(n, 0, bytes(16384))) for n in range(16))
    tracker = s.Tracker(1)
    target = b"/announce?info_hash=" + b"a" * 20 + b"&peer_id=" + b"b" * 20 + b"&port=6881&left=0&compact=1"

    def matched() -> int:
        total = 0
        for message in server.receive_data(batch):
            match message:
                case s.Choke():
                    total -= 1
                case s.Have(index):
                    total += index
                case _:
                    pass
        return total

    nested = s.bencode.encode([{"a": n, "bb": [b"x" * 10, n]} for n in range(1000)])
    values = s.bencode.decode(nested)
    rows: list[tuple[str, Callable[[], object], int]] = [
        ("receive_data, 1000 HAVEs: each message", lambda: server.receive_data(batch), 1000),
        ("likewise, and each matched on", matched, 1000),
        ("receive_data, 1 HAVE: the call", lambda: [server.receive_data(one) for _ in range(1000)], 1000),
        ("receive_data, 1000 REQUESTs: each message", lambda: server.receive_data(asked), 1000),
        ("receive_data, 16 blocks of 16 KiB: each block", lambda: server.receive_data(blocks), 16),
        ("send, 1000 REQUESTs at once: each message", lambda: client.send(*requests), 1000),
        ("Tracker.http, an announce", lambda: [tracker.http(target, ("10.0.0.1", 5), 1) for _ in range(100)], 100),
        ("bencode.decode, 9001 values: each value", lambda: s.bencode.decode(nested), 9001),
        ("bencode.encode, likewise", lambda: s.bencode.encode(values), 9001),
    ]
    for name, call, count in rows:
        print(f"{name:50} {best(call, count):8.0f} ns")


if __name__ == "__main__":
    main()
