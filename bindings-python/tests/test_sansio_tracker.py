"""`Tracker`: over UDP and HTTP, its rules, counts, saved state, and what it says to garbage."""

from __future__ import annotations

import pickle
import random
import struct
from typing import Any

import pytest

import millstream
from millstream import sansio as s
from millstream.sansio import bencode

HASH = bytes(range(20))
ASKER, OTHER = ("192.0.2.1", 5000), ("192.0.2.2", 5000)


def connect(tracker: s.Tracker, addr: s.Address, now: float) -> int:
    """A connection id (BEP 15)."""
    answer = tracker.receive_datagram(struct.pack(">QII", 0x41727101980, 0, 77), addr, now)
    assert answer is not None
    action, transaction, connection = struct.unpack(">IIQ", answer)
    assert (action, transaction) == (0, 77)
    return int(connection)


def announce(tracker: s.Tracker, addr: s.Address, now: float, *, left: int = 1, event: int = 2) -> bytes:
    head = struct.pack(">QII", connect(tracker, addr, now), 1, 78) + HASH + addr[0].encode().ljust(20)
    body = struct.pack(">QQQIIIiH", 0, left, 0, event, 0, 0, -1, addr[1])
    answer = tracker.receive_datagram(head + body, addr, now)
    assert answer is not None
    return answer


def test_bep_0015_peers_find_each_other() -> None:
    tracker = s.Tracker(1)
    announce(tracker, ASKER, 1)
    answer = announce(tracker, OTHER, 2, left=0)
    action, transaction, interval, leeches, seeds = struct.unpack_from(">IIIII", answer)
    assert (action, transaction, interval, leeches, seeds) == (1, 78, 1800, 1, 1)
    assert answer[20:] == bytes([192, 0, 2, 1]) + (5000).to_bytes(2, "big")
    told = tracker.statistics
    assert (told.torrents, told.peers, told.leeches, told.seeds, told.announces) == (1, 2, 1, 1, 2)
    assert (told.protocols["udp"].connects, told.protocols["udp"].announces["started"]) == (2, 2)
    assert pickle.loads(pickle.dumps(told)) == told
    assert repr(tracker) == "<Tracker: 1 torrents, 2 peers>"


def test_bep_0015_a_scrape_counts() -> None:
    tracker = s.Tracker(1)
    announce(tracker, ASKER, 1)
    ask = struct.pack(">QII", connect(tracker, OTHER, 1), 2, 79) + HASH
    answer = tracker.receive_datagram(ask, OTHER, 1)
    assert answer == struct.pack(">IIIII", 2, 79, 0, 0, 1)


def test_pitfall_04_a_connection_id_is_valid_for_two_minutes_and_one_address() -> None:
    tracker = s.Tracker(1)
    connection = connect(tracker, ASKER, 1)
    ask = struct.pack(">QII", connection, 2, 79) + HASH
    for addr, now, action in [(ASKER, 100, 2), (OTHER, 100, None), (ASKER, 130, None)]:
        answer = tracker.receive_datagram(ask, addr, now)
        told = None if answer is None else struct.unpack_from(">I", answer)[0]
        assert told == action or (action is None and told == 3), (addr, now)
    assert tracker.statistics.protocols["udp"].faults["connection_id"] == 2


def http(tracker: s.Tracker, query: str, addr: s.Address, now: float) -> dict[bytes, Any]:
    who = "/announce?info_hash=" + "%41" * 20 + "&peer_id=" + addr[0].ljust(20, "-")
    status, body = tracker.http(who + query, addr, now)
    assert status == 200
    answer = bencode.decode(body)
    assert isinstance(answer, dict)
    return answer


def test_bep_0003_and_23_http_announces_are_answered() -> None:
    tracker = s.Tracker(1, interval_s=900, numwant_max=5)
    http(tracker, "&port=6881&left=5&compact=1", ASKER, 1)
    answer = http(tracker, "&port=6881&left=0&compact=1", OTHER, 1)
    assert (answer[b"interval"], answer[b"complete"], answer[b"incomplete"]) == (900, 1, 1)
    assert answer[b"peers"] == bytes([192, 0, 2, 1]) + (6881).to_bytes(2, "big")
    status, body = tracker.http(b"/scrape?info_hash=" + b"A" * 20, OTHER, 1)
    counts = bencode.decode(body)[b"files"][b"A" * 20]
    assert (status, counts) == (200, {b"complete": 1, b"downloaded": 0, b"incomplete": 1})


def test_who_is_not_heard_is_forgotten_by_the_timer() -> None:
    tracker = s.Tracker(1, interval_s=100)
    assert tracker.get_timer() is None
    announce(tracker, ASKER, 1)
    for _ in range(20):
        due = tracker.get_timer()
        if due is None:
            break
        tracker.handle_timer(due)
    assert (tracker.get_timer(), tracker.statistics.peers, tracker.statistics.expired) == (None, 0, 1)


def test_rules_say_which_torrents_are_served() -> None:
    tracker = s.Tracker(1)
    tracker.set_rules(deny=[HASH])
    assert announce(tracker, ASKER, 1)[:4] == b"\0\0\0\3"
    tracker.set_rules(allow=[HASH, b"v" * 32])
    assert announce(tracker, ASKER, 1)[:4] == b"\0\0\0\1"
    assert b"failure reason" in http(tracker, "&port=1&left=5", ASKER, 1)
    tracker.set_rules()
    assert b"interval" in http(tracker, "&port=1&left=5", ASKER, 1)
    with pytest.raises(ValueError, match="info-hash"):
        tracker.set_rules(deny=[b"short"])


def test_what_is_saved_comes_back_unless_it_is_too_old_or_damaged() -> None:
    tracker = s.Tracker(1)
    announce(tracker, ASKER, 1)
    saved = tracker.save(2, 1_700_000_000)
    again = s.Tracker(2)
    assert again.restore(saved, 0, 1_700_000_060) == 1
    assert announce(again, OTHER, 1)[20:] == bytes([192, 0, 2, 1]) + (5000).to_bytes(2, "big")
    assert s.Tracker(3).restore(saved, 0, 1_700_100_000) == 0
    for damaged in (b"", saved[:-1], saved + b"x", saved[:40] + b"!" + saved[41:]):
        with pytest.raises(millstream.StateError):
            s.Tracker(4).restore(damaged, 0, 1_700_000_060)


@pytest.mark.parametrize("target", ["", "/", "/announce", "/announce?info_hash=x", "/scrape", "GET /", "/\x00?é"])
def test_junk_over_http_is_refused_in_words(target: str) -> None:
    status, body = s.Tracker(1).http(target, ASKER, 1)
    assert status == 404 or b"failure reason" in bencode.decode(body)


def test_random_datagrams_raise_nothing() -> None:
    rng, tracker = random.Random(6), s.Tracker(1)
    connection = connect(tracker, ASKER, 0).to_bytes(8, "big")
    for n in range(3000):
        head = connection if n % 2 else rng.randbytes(8)
        data = head + rng.choice([0, 1, 2, 3, 9]).to_bytes(4, "big") + rng.randbytes(rng.randrange(100))
        answer = tracker.receive_datagram(data, ASKER, n / 1000)
        assert answer is None or len(answer) >= 8
    assert tracker.statistics.protocols["udp"].faults["malformed"] > 100


def test_what_a_tracker_can_t_be_told_is_refused() -> None:
    tracker = s.Tracker(1, now=5.0)
    with pytest.raises(millstream.DriverError, match="went back"):
        tracker.handle_timer(4)
    with pytest.raises(TypeError, match="numwant_max"):
        s.Tracker(1, numwant=5)  # type: ignore[call-arg]
    with pytest.raises((OverflowError, ValueError), match="peers_max"):
        s.Tracker(1, peers_max=-1)
    junk: Any
    for junk in (None, 5, ["x"]):
        with pytest.raises(TypeError):
            tracker.receive_datagram(junk, ASKER, 5)
        with pytest.raises(TypeError):
            tracker.http(junk, ASKER, 5)
        with pytest.raises(TypeError):
            tracker.receive_datagram(b"", junk, 5)
