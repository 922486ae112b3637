"""`DhtNode`: a network of them in memory finds peers and items, and garbage costs nothing but its count."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from dht_network import Network

import millstream
from millstream import sansio as s
from millstream.sansio import bencode

HASH = bytes(range(20))


@pytest.fixture(scope="module")
def net() -> Network:
    return Network(20)


def some(net: Network, n: int) -> tuple[s.Address, s.DhtNode]:
    return list(net.nodes.items())[n]


def test_bep_0005_all_nodes_join_and_know_others(net: Network) -> None:
    for addr, node in net.nodes.items():
        assert len(node.nodes()) >= 8, addr
        assert s.DhtJoined("ipv4") in net.events[addr]
        (family,) = node.status(net.now).families
        assert (family.family, family.id, len(family.id)) == ("ipv4", node.id(), 20)


def test_bep_0005_who_announces_is_found(net: Network) -> None:
    (seed, node), (leech, other) = some(net, 3), some(net, 17)
    announced = net.done(seed, node.announce(HASH, net.now, port=7000)).outcome
    assert isinstance(announced, s.DhtAnnounced) and announced.stored >= 4
    lookup = other.get_peers(HASH, net.now)
    done = net.done(leech, lookup)
    assert done.outcome == s.DhtFoundPeers(1) and done.cost.queries >= 1
    assert s.DhtPeers(lookup, ((seed[0], 7000),)) in net.events[leech]


def test_bep_0033_a_swarm_is_counted(net: Network) -> None:
    for n in (1, 2, 4):
        addr, node = some(net, n)
        net.done(addr, node.announce(b"s" * 20, net.now, seed=n == 4))
    addr, node = some(net, 9)
    outcome = net.done(addr, node.scrape(b"s" * 20, net.now)).outcome
    assert isinstance(outcome, s.DhtScraped)
    assert (outcome.seeds, outcome.peers) == (1, 2)


def test_bep_0044_an_immutable_item_is_found_by_its_digest(net: Network) -> None:
    item = s.DhtItem(bencode.encode("Hello World!"))
    assert item.target.hex() == "e5f96f6f38320f0f33959cb4d3d656452117aadb"  # of the BEP
    addr, node = some(net, 5)
    outcome = net.done(addr, node.put(item, net.now)).outcome
    assert isinstance(outcome, s.DhtStored) and outcome.stored >= 4
    addr, node = some(net, 12)
    lookup = node.get(item.target, net.now)
    assert net.done(addr, lookup).outcome == s.DhtGot(item)
    assert s.DhtItemFound(lookup, item) in net.events[addr]


SECRET = bytes.fromhex(
    "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d"
    "b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d"
)
PUBLIC = bytes.fromhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")


@pytest.mark.parametrize(
    ("salt", "target", "signature"),
    [
        (
            b"",
            "4a533d47ec9c7d95b1ad75f576cffc641853b750",
            "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff"
            "1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
        ),
        (
            b"foobar",
            "411eba73b6f087ca51a3795d9c8c938d365e32c1",
            "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d"
            "df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
        ),
    ],
)
def test_bep_0044_the_vectors_hold(net: Network, salt: bytes, target: str, signature: str) -> None:
    item = s.DhtItem.signed(SECRET, b"12:Hello World!", seq=1, salt=salt)
    assert item.key == PUBLIC and item.target.hex() == target
    assert item.signature is not None and item.signature.hex() == signature
    addr, node = some(net, 6)
    net.done(addr, node.put(item, net.now))
    addr, node = some(net, 13)
    assert net.done(addr, node.get(item.target, net.now, salt=salt)).outcome == s.DhtGot(item)


def test_pitfall_10_sequence_numbers_and_cas_govern(net: Network) -> None:
    addr, node = some(net, 7)
    first = s.DhtItem.signed(b"k" * 32, b"i1e", seq=1)
    second = s.DhtItem.signed(b"k" * 32, b"i2e", seq=2)
    third = s.DhtItem.signed(b"k" * 32, b"i3e", seq=3)
    net.done(addr, node.put(first, net.now))
    net.done(addr, node.put(second, net.now, cas=1))
    stale = net.done(addr, node.put(third, net.now, cas=1)).outcome
    assert isinstance(stale, s.DhtStored) and stale.stored == 0 and stale.seq_before == 2
    assert 301 in dict(stale.refused)
    got = net.done(addr, node.get(first.target, net.now)).outcome
    assert got == s.DhtGot(second)
    assert net.done(addr, node.get(first.target, net.now, newer_than=2)).outcome == s.DhtGot(None)


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (s.DhtItem(b"x" * 1001), "1001 bytes"),
        (s.DhtItem(b"not bencode"), "bencode"),
        (s.DhtItem(b"i1e", b"k" * 32, b"", 1, b"s" * 64), "signature"),
        (s.DhtItem(b"i1e", b"k" * 32, b"s" * 65, 1, b"s" * 64), "65 bytes"),
    ],
)
def test_what_no_node_would_store_is_refused(net: Network, item: s.DhtItem, why: str) -> None:
    with pytest.raises(millstream.ItemError, match=why):
        some(net, 0)[1].put(item, net.now)


def test_bep_0051_torrents_are_sampled(net: Network) -> None:
    addr, node = some(net, 3)
    net.done(addr, node.announce(b"z" * 20, net.now))
    addr, node = some(net, 8)
    lookup = node.sample(b"z" * 20, net.now)
    outcome = net.done(addr, lookup).outcome
    assert isinstance(outcome, s.DhtSampled) and outcome.nodes > 0
    told = {sample for e in net.events[addr] if isinstance(e, s.DhtSamples) for sample in e.samples}
    assert b"z" * 20 in told


def test_bep_0005_the_nodes_nearest_to_a_point_are_found(net: Network) -> None:
    addr, node = some(net, 11)
    outcome = net.done(addr, node.find_node(HASH, net.now)).outcome
    assert isinstance(outcome, s.DhtFoundNodes) and len(outcome.nodes) == 8
    distances = [int.from_bytes(id) ^ int.from_bytes(HASH) for id, _ in outcome.nodes]
    assert distances == sorted(distances)


def test_a_saved_node_comes_back_with_its_id_and_needs_no_bootstrap() -> None:
    net = Network(10, seed=2)
    addr, old = some(net, 4)
    saved = old.save()
    net.run(1)
    new = net.join(addr, 99, [], saved=saved)
    assert new.id() == old.id()
    net.run(30)
    assert len(new.nodes()) >= 5
    with pytest.raises(millstream.StateError):
        s.DhtNode(1, saved=saved[:-1])
    with pytest.raises(millstream.StateError):
        s.DhtNode(1, saved=b"")


def test_names_are_looked_up_by_the_host() -> None:
    node = s.DhtNode(1, bootstrap_nodes=["router.example:6881"])
    assert node.next_event() == s.DhtResolve("router.example", 6881) and node.next_event() is None
    node.resolved([("192.0.2.1", 6881)], 0.5)
    ((to, data),) = node.datagrams_to_send(0.5)
    assert to == ("192.0.2.1", 6881) and bencode.decode(data)[b"y"] == b"q"


def test_bep_0005_a_query_of_the_bep_is_answered() -> None:
    node = s.DhtNode(3, bootstrap_nodes=[])
    node.datagrams_to_send(0)
    node.receive_datagram(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", ("8.8.8.8", 5), 1)
    answers = [bencode.decode(data) for to, data in node.datagrams_to_send(1) if to == ("8.8.8.8", 5)]
    (answer,) = [answer for answer in answers if answer[b"y"] == b"r"]
    assert (answer[b"t"], answer[b"r"][b"id"]) == (b"aa", node.id())


def ask(node: s.DhtNode, query: str, now: float, **arguments: Any) -> dict[bytes, Any]:
    """The answer to a query from a stranger."""
    wire = {"a": {"id": b"abcdefghij0123456789", **arguments}, "q": query, "t": b"aa", "y": b"q"}
    node.receive_datagram(bencode.encode(wire), ("8.8.8.8", 5), now)
    answers = [bencode.decode(data) for to, data in node.datagrams_to_send(now) if to == ("8.8.8.8", 5)]
    (answer,) = [answer for answer in answers if answer[b"y"] != b"q"]
    assert isinstance(answer, dict) and answer[b"t"] == b"aa"
    return answer


def test_bep_0005_a_token_binds_an_announce_to_its_address() -> None:
    node = s.DhtNode(3, bootstrap_nodes=[])
    node.datagrams_to_send(0)
    assert b"nodes" in ask(node, "find_node", 1, target=b"mnopqrstuvwxyz123456")[b"r"]
    answer = ask(node, "get_peers", 2, info_hash=HASH)
    assert b"values" not in answer[b"r"]
    told = {"info_hash": HASH, "port": 6881}
    assert ask(node, "announce_peer", 3, token=b"wrong", **told)[b"e"][0] == 203
    assert ask(node, "announce_peer", 4, token=answer[b"r"][b"token"], **told)[b"y"] == b"r"
    values = ask(node, "get_peers", 5, info_hash=HASH)[b"r"][b"values"]
    assert values == [bytes([8, 8, 8, 8]) + (6881).to_bytes(2, "big")]
    assert ask(node, "nonsense", 6)[b"e"][0] == 204


def test_the_same_seed_does_the_same() -> None:
    assert Network(5, seed=3).sent == Network(5, seed=3).sent
    a, b, c = (s.DhtNode(seed, bootstrap_nodes=[]).id() for seed in (1, 1, 2))
    assert a == b != c


def test_garbage_is_dropped_and_counted() -> None:
    rng = random.Random(4)
    node = s.DhtNode(1, bootstrap_nodes=[])
    query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"
    for n in range(2000):
        data = bytearray(query if n % 2 else rng.randbytes(rng.randrange(100)))
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
        node.receive_datagram(data, (f"8.8.{n % 200}.8", 1 + n), n / 100)
        node.datagrams_to_send(n / 100)
    dropped = node.status(20).dropped
    assert dropped["malformed"] > 500


def test_values_pickle(net: Network) -> None:
    addr, node = some(net, 3)
    for event in net.events[addr]:
        assert pickle.loads(pickle.dumps(event)) == event
    status = node.status(net.now)
    assert pickle.loads(pickle.dumps(status)) == status


def test_what_a_node_can_t_be_told_is_refused() -> None:
    node = s.DhtNode(1, now=5.0, bootstrap_nodes=["8.8.8.8:6881"], lookups_max=1)
    with pytest.raises(millstream.DriverError, match="went back"):
        node.handle_timer(4)
    with pytest.raises(ValueError, match="info-hash"):
        node.get_peers(b"short", 5)
    with pytest.raises(ValueError, match="digest"):
        node.get(b"short", 5)
    node.get_peers(HASH, 5)
    with pytest.raises(millstream.CommandError, match="look-ups"):
        node.get_peers(HASH, 5)
    junk: Any
    for junk in (None, "text", 5, ("x", 1), ("10.0.0.1", 99999)):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            node.receive_datagram(b"", junk, 5)
        with pytest.raises(TypeError):
            node.put(junk, 5)
    with pytest.raises(TypeError, match="stored_items_max"):
        s.DhtNode(1, stored_item_max=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="query_timeout"):
        s.DhtNode(1, query_timeout=-1.0)
    with pytest.raises(ValueError, match="family"):
        node.id("ipv5")  # type: ignore[arg-type]
    assert "0 nodes" in repr(node)
    with pytest.raises(ValueError, match="secret"):
        s.DhtItem.signed(b"short", b"i1e", seq=1)
