"""A network of DHT nodes in memory, with a clock of its own."""

from __future__ import annotations

import random

from millstream.sansio import Address, DhtDone, DhtEvent, DhtNode

LATENCY = 0.02


class Network:
    """Nodes that reach each other after `LATENCY` seconds; the first is where the others begin."""

    def __init__(self, count: int, seed: int = 1) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.flying: list[tuple[float, int, Address, Address, bytes]] = []
        self.sent = 0
        self.nodes: dict[Address, DhtNode] = {}
        self.events: dict[Address, list[DhtEvent]] = {}
        addresses = [(f"10.{n // 250}.{n % 250}.1", 6881) for n in range(count)]
        for n, addr in enumerate(addresses):
            self.join(addr, seed * 1000 + n, [] if n == 0 else [f"{addresses[0][0]}:6881"])
        self.run(60)

    def join(self, addr: Address, seed: int, bootstrap: list[str], saved: bytes | None = None) -> DhtNode:
        node = DhtNode(
            seed, now=self.now, saved=saved, bootstrap_nodes=bootstrap, private_addresses=True, enforce_node_ids=False
        )
        self.nodes[addr], self.events[addr] = node, []
        self.carry(addr)
        return node

    def carry(self, addr: Address) -> None:
        """What a node wants sent goes on its way; what it tells is kept."""
        for to, data in self.nodes[addr].datagrams_to_send(self.now):
            self.sent += 1
            self.flying.append((self.now + LATENCY, self.sent, addr, to, data))
        self.events[addr] += self.nodes[addr].events()

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        end = self.now + seconds
        while True:
            timers = [(at, addr) for addr, node in self.nodes.items() if (at := node.get_timer()) is not None]
            at = min([end, *(at for at, _ in timers), *(flight[0] for flight in self.flying)])
            self.now = max(self.now, at)
            if at >= end:
                return
            arriving = sorted(flight for flight in self.flying if flight[0] <= self.now)
            self.flying = [flight for flight in self.flying if flight[0] > self.now]
            for _, _, sender, to, data in arriving:
                if to in self.nodes:
                    self.nodes[to].receive_datagram(data, sender, self.now)
                    self.carry(to)
            for due, addr in timers:
                if due <= self.now:
                    self.nodes[addr].handle_timer(self.now)
                    self.carry(addr)

    def done(self, addr: Address, lookup: int) -> DhtDone:
        """Lets time pass until a look-up is over."""
        self.carry(addr)
        for _ in range(600):
            for event in self.events[addr]:
                if isinstance(event, DhtDone) and event.lookup == lookup:
                    return event
            self.run(0.1)
        raise AssertionError("a minute passed, and the look-up isn't over")
