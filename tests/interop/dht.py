"""The interop cases of the DHT: magnets that know nothing else, and items that one client puts and the other gets."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from engines.aria2 import Aria2
from engines.content import magnet
from engines.libtorrent_engine import Libtorrent
from engines.millstream import binary, command
from engines.node import HOST, NETWORK, Address, Job, Node, Reach, free_port
from engines.process import Child, EngineError
from engines.transmission import Transmission

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 150.0
# Transmission believes in a DHT when it knows some nodes
CROWD = 8
SALT = b"salt"


def dht_cases(ours: type[Node], home: Path, torrent: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    cases: dict[str, Case] = {}
    for rival in (Transmission, Aria2, Libtorrent):
        for seed, leech in ((rival, ours), (ours, rival)):
            name = f"{seed.name} -> {leech.name}, a magnet and the DHT alone"
            cases[name] = _magnet(seed, leech, (home, torrent), whole)
    cases["items of the DHT, libtorrent's and millstream's"] = _items
    return cases


@contextmanager
def _crowd(work: Path, hosts: tuple[str, ...], size: int) -> Iterator[list[Address]]:
    """Nodes of millstream that know each other, in turn on these hosts."""
    with ExitStack() as stack:
        addresses: list[Address] = []
        for number in range(size):
            address = (hosts[number % len(hosts)], free_port())
            entry = addresses[0] if addresses else (address[0], 9)
            words = ["dht", "node", "--json", "--listen", _text(address), "--bootstrap", _text(entry)]
            child = Child([str(binary()), *words], work / f"node-{number}.log")
            stack.callback(child.stop)
            child.wait_event("listening", 10)
            addresses.append(address)
        yield addresses


def _magnet(
    seed: type[Node],
    leech: type[Node],
    content: tuple[Path, Path],
    whole: Whole,
) -> Case:
    """Seed and leech enter by the same nodes; nobody tells them of each other."""
    home, torrent = content

    def case(work: Path) -> None:
        (work / "in").mkdir()
        with _crowd(work, NETWORK[2:], CROWD) as entries:
            reach = Reach(dht=tuple(entries[:3]))
            giver = seed(Job(home, work / "seed", torrent, seed=True, reach=reach, host=NETWORK[0]))
            with giver:
                giver.start(CASE_S)
                job = Job(work / "in", work / "leech", magnet=magnet(torrent), reach=reach, host=NETWORK[1])
                with leech(job) as taker:
                    taker.start(CASE_S)
                    taker.wait_complete(CASE_S)
                    whole(work / "in", taker)

    return case


def _items(work: Path) -> None:
    """One network of both clients' nodes: what one puts the other gets, by digest and by key, and a key's next version too."""
    import libtorrent as lt

    with _crowd(work, (HOST,), 6) as entries, ExitStack() as stack:
        # libtorrent takes those that it enters by into no table, and waits 15 s for itself when others name it
        others = [_Session(lt, entries[:1]) for _ in range(3)]
        stack.callback(others.clear)
        for other in others:
            other.wait_nodes(3)
        entry = [word for address in entries for word in ("--bootstrap", _text(address))]

        target = json.loads(command("dht", "put", "--text", "of millstream", "--json", *entry))["target"]
        _same(others[0].immutable(target), b"of millstream", "libtorrent got")
        target = others[1].put_immutable(b"of libtorrent")
        _same(_got("dht", "get", target, *entry), "of libtorrent", "millstream got")

        key = work / "key"
        public = json.loads(command("dht", "keygen", key, "--json"))["public_key"]
        signed = ("--key", str(key), "--salt", SALT.decode())
        put = json.loads(command("dht", "put", "--text", "first", "--json", *signed, *entry))
        _same(put["seq"], 1, "millstream's first version")
        _same(others[2].mutable(public), (b"first", 1), "libtorrent got")
        others[0].put_mutable(_expanded(key), public, b"second")
        mine = ("dht", "get", "--public-key", public, "--salt", SALT.decode())
        deadline = time.monotonic() + 30
        while (got := _got(*mine, *entry)) != "second" and time.monotonic() < deadline:
            time.sleep(0.5)
        _same(got, "second", "millstream got")
        put = json.loads(command("dht", "put", "--text", "third", "--cas", "2", "--json", *signed, *entry))
        _same(put["seq"], 3, "millstream's version after libtorrent's")
        _same(others[1].mutable(public), (b"third", 3), "libtorrent got")


class _Session:
    """A libtorrent session of the DHT alone."""

    def __init__(self, lt: Any, entries: list[Address]) -> None:
        self.lt = lt
        self.port = free_port()
        quiet = {
            name: False
            for name in (
                "enable_lsd",
                "enable_upnp",
                "enable_natpmp",
                "dht_restrict_routing_ips",
                "dht_restrict_search_ips",
                "dht_ignore_dark_internet",
                "dht_prefer_verified_node_ids",
                "dht_enforce_node_id",
            )
        }
        self.session = lt.session(
            {
                "listen_interfaces": f"{HOST}:{self.port}",
                "enable_dht": True,
                "dht_bootstrap_nodes": ",".join(map(_text, entries)),
                # all share one address, whose packets are too many for one node of the world
                "dht_block_ratelimit": 1000,
                "alert_mask": int(lt.alert.category_t.dht_notification | lt.alert.category_t.status_notification),
                **quiet,
            }
        )

    def wait_nodes(self, least: int) -> None:
        deadline = time.monotonic() + 60
        while self.session.status().dht_nodes < least:
            if time.monotonic() > deadline:
                raise EngineError(f"libtorrent knows {self.session.status().dht_nodes} nodes")
            time.sleep(0.1)

    def immutable(self, target: str) -> bytes:
        def ask() -> None:
            self.session.dht_get_immutable_item(self.lt.sha1_hash(bytes.fromhex(target)))

        def item(alert: Any) -> bytes | None:
            return bytes(alert.item) if str(alert.target) == target and alert.item else None

        return bytes(self._until(ask, self.lt.dht_immutable_item_alert, item))

    def put_immutable(self, value: bytes) -> str:
        target = str(self.session.dht_put_immutable_item(value))
        self._until(lambda: None, self.lt.dht_put_alert, lambda alert: alert.num_success > 0 or None)
        return target

    def mutable(self, public: str) -> tuple[bytes, int]:
        def item(alert: Any) -> tuple[bytes, int] | None:
            value = alert.item
            value = value.get("value", value.get("v")) if isinstance(value, dict) else value
            return (bytes(value), int(alert.seq)) if alert.seq > 0 and alert.authoritative else None

        def ask() -> None:
            self.session.dht_get_mutable_item(bytes.fromhex(public), SALT)

        return self._until(ask, self.lt.dht_mutable_item_alert, item)  # type: ignore[no-any-return]

    def put_mutable(self, secret: bytes, public: str, value: bytes) -> None:
        def put() -> None:
            self.session.dht_put_mutable_item(secret, bytes.fromhex(public), value, SALT)

        self._until(put, self.lt.dht_put_alert, lambda alert: alert.num_success > 0 or None, once=True)

    def _until(self, ask: Callable[[], None], kind: Any, read: Callable[[Any], Any], once: bool = False) -> Any:
        """Asks, again every ten seconds unless told not to, until an alert says what is sought."""
        deadline = time.monotonic() + 40
        asked = 0.0
        while time.monotonic() < deadline:
            if time.monotonic() - asked > 10 and not (once and asked):
                ask()
                asked = time.monotonic()
            self.session.wait_for_alert(500)
            for alert in self.session.pop_alerts():
                if isinstance(alert, kind) and (found := read(alert)) is not None:
                    return found
        raise EngineError(f"libtorrent got no {kind.__name__} with what was sought")


def _expanded(key: Path) -> bytes:
    """The form in which libtorrent keeps the key whose seed is in the file."""
    digest = bytearray(hashlib.sha512(bytes.fromhex(key.read_text().strip())).digest())
    digest[0] &= 248
    digest[31] &= 63
    digest[31] |= 64
    return bytes(digest)


def _got(*words: str) -> str:
    return str(json.loads(command(*words, "--json"))["text"])


def _same(found: Any, wanted: Any, what: str) -> None:
    if found != wanted:
        raise EngineError(f"{what} {found!r}, not {wanted!r}")


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
