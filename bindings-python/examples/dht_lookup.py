"""Twenty DHT nodes in memory; one announces a torrent, another one finds it: `python dht_lookup.py`.

No socket is opened and no time passes: the network is a list of datagrams under way, the clock a number.
"""

from __future__ import annotations

from millstream.sansio import Address, DhtDone, DhtEvent, DhtNode

LATENCY = 0.03


class Network:
    """Nodes by address, and what is under way between them."""

    def __init__(self, count: int) -> None:
        self.now = 0.0
        self.flying: list[tuple[float, Address, Address, bytes]] = []
        self.nodes: dict[Address, DhtNode] = {}
        first = ("10.0.0.1", 6881)
        for n in range(count):
            addr = (f"10.0.0.{n + 1}", 6881)
            routers = [] if addr == first else ["10.0.0.1:6881"]
            self.nodes[addr] = DhtNode(n, bootstrap_nodes=routers, private_addresses=True, enforce_node_ids=False)

    def run(self, addr: Address, lookup: int | None, seconds: float = 60.0) -> list[DhtEvent]:
        """Lets time pass until a look-up is over, or so many seconds; what the node told meanwhile."""
        end, told = self.now + seconds, list[DhtEvent]()
        while self.now < end:
            for sender, node in self.nodes.items():
                self.flying += [(self.now + LATENCY, sender, to, data) for to, data in node.datagrams_to_send(self.now)]
            told += self.nodes[addr].events()
            if any(isinstance(event, DhtDone) and event.lookup == lookup for event in told):
                break
            timers = [at for node in self.nodes.values() if (at := node.get_timer()) is not None]
            self.now = max(self.now, min([end, *timers, *(flight[0] for flight in self.flying)]))
            arrived = [flight for flight in self.flying if flight[0] <= self.now]
            self.flying = [flight for flight in self.flying if flight[0] > self.now]
            for _, sender, to, data in arrived:
                if to in self.nodes:
                    self.nodes[to].receive_datagram(data, sender, self.now)
            for node in self.nodes.values():
                node.handle_timer(self.now)
        return told


def main() -> list[DhtEvent]:
    network, torrent = Network(20), bytes(range(20))
    seed, leech = ("10.0.0.5", 6881), ("10.0.0.17", 6881)
    network.run(seed, None)
    network.run(seed, network.nodes[seed].announce(torrent, network.now, port=7000, seed=True))
    network.run(leech, None, 1)
    return network.run(leech, network.nodes[leech].get_peers(torrent, network.now))


if __name__ == "__main__":
    for event in main():
        print(event)
