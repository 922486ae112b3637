"""`Tracker` over WebSockets (WebTorrent's signalling): offers find peers, answers find their way back, garbage a
reason."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import millstream
from millstream import sansio as s

HASH, OTHER = bytes(range(236, 256)), b"o" * 20
HOME = ("192.0.2.1", 40000)


def text(binary: bytes) -> str:
    """Binary strings go as code points below 256."""
    return binary.decode("latin-1")


def announce(peer: int, *, left: int = 5, offers: int = 0, info_hash: bytes = HASH, **fields: Any) -> str:
    """What a browser says first."""
    offered = [
        {"offer_id": text(bytes([peer, n]) * 10), "offer": {"type": "offer", "sdp": f"v=0 {peer} {n}"}}
        for n in range(offers)
    ]
    said = {"action": "announce", "info_hash": text(info_hash), "peer_id": text(bytes([peer]) * 20), "left": left}
    return json.dumps(said | {"uploaded": 0, "downloaded": 0, "numwant": offers, "offers": offered} | fields)


def answer(peer: int, offer: dict[str, Any]) -> str:
    """What a browser says to an offer that it was handed."""
    said = {key: offer[key] for key in ("info_hash", "offer_id")} | {"to_peer_id": offer["peer_id"]}
    who = {"action": "announce", "peer_id": text(bytes([peer]) * 20), "answer": {"type": "answer", "sdp": "v=0 yes"}}
    return json.dumps(said | who)


class Room:
    """A tracker, and what each socket was told."""

    def __init__(self, **settings: Any) -> None:
        self.tracker = s.Tracker(1, **settings)
        self.told: dict[int, list[dict[str, Any]]] = {}
        self.now = 0.0

    def open(self, addr: s.Address = HOME) -> int:
        socket = self.tracker.websocket_opened(addr)
        self.told[socket] = []
        return socket

    def say(self, socket: int, said: str) -> list[int]:
        """Who is told something, in order."""
        out = self.tracker.receive_message(socket, said, self.now)
        for to, message in out:
            self.told[to].append(json.loads(message))
        return [to for to, _ in out]

    def close(self, socket: int) -> None:
        self.tracker.websocket_closed(socket, self.now)

    @property
    def seen(self) -> s.ProtocolStatistics:
        return self.tracker.statistics.protocols["websocket"]


def test_pitfall_16_an_offer_is_handed_over_and_its_answer_brought_back() -> None:
    room = Room(signal_interval_s=77)
    a, b = room.open(), room.open(("2001:db8::1", 5))
    assert room.say(a, announce(1, event="started")) == [a]
    assert room.told[a][0]["interval"] == 77 and room.told[a][0]["info_hash"] == text(HASH)
    assert sorted(room.say(b, announce(2, offers=3, left=0))) == [a, b]
    offer = room.told[a][1]
    assert offer["offer"] == {"type": "offer", "sdp": "v=0 2 0"} and offer["peer_id"] == text(b"\2" * 20)
    assert offer["action"] == "announce" and offer["offer_id"] == text(b"\2\0" * 10)
    assert room.say(a, answer(1, offer)) == [b]
    came = room.told[b][-1]
    assert came["answer"] == {"type": "answer", "sdp": "v=0 yes"}
    assert (came["peer_id"], came["offer_id"]) == (text(b"\1" * 20), offer["offer_id"])
    assert room.say(a, answer(1, offer)) == [], "an offer is answered once"
    told = room.tracker.statistics
    assert (told.torrents, told.leeches, told.seeds, told.announces) == (1, 1, 1, 2)
    assert (room.seen.relayed, room.seen.announces["started"], room.seen.faults["nobody_there"]) == (2, 1, 1)
    assert room.seen.bytes_in > 500 and room.seen.bytes_out > 500
    assert repr(room.tracker) == "<Tracker: 1 torrents, 2 peers, 2 WebSockets>"


def test_bep_0048_a_scrape_over_a_websocket_counts_the_peers_of_every_protocol() -> None:
    room = Room()
    a = room.open()
    room.say(a, announce(1))
    room.tracker.http("/announce?info_hash=" + "%EC" * 20 + "&peer_id=" + "p" * 20 + "&port=5&left=0", HOME, 0)
    room.say(a, announce(1, info_hash=b"\xec" * 20))
    room.say(a, json.dumps({"action": "scrape", "info_hash": [text(HASH), text(b"\xec" * 20), text(OTHER)]}))
    assert room.told[a][-1] == {
        "action": "scrape",
        "files": {
            text(HASH): {"complete": 0, "downloaded": 0, "incomplete": 1},
            text(b"\xec" * 20): {"complete": 1, "downloaded": 0, "incomplete": 1},
        },
    }
    assert (room.seen.scrapes, room.seen.scraped) == (1, 3)


def test_who_closes_has_left_and_may_come_again_under_its_name() -> None:
    room = Room()
    a, b = room.open(), room.open()
    room.say(a, announce(1))
    room.say(a, announce(1, info_hash=OTHER))
    room.say(b, announce(1, info_hash=OTHER))
    assert "another socket" in room.told[b][-1]["failure reason"] and room.seen.faults["id_taken"] == 1
    room.close(a)
    room.close(a)
    assert (room.tracker.statistics.peers, room.tracker.statistics.torrents) == (0, 0)
    room.say(b, announce(1, info_hash=OTHER))
    assert room.told[b][-1]["incomplete"] == 1
    room.close(b)
    assert room.tracker.statistics.peers == 0
    with pytest.raises(millstream.DriverError, match="no open WebSocket"):
        room.say(a, announce(1))
    with pytest.raises(millstream.DriverError, match="no open WebSocket"):
        room.say(99, announce(1))


def test_a_stop_leaves_the_torrent_and_hands_out_nothing() -> None:
    room = Room()
    a, b = room.open(), room.open()
    room.say(a, announce(1))
    room.say(b, announce(2))
    assert room.say(b, announce(2, offers=2, event="stopped")) == [b]
    assert room.tracker.statistics.leeches == 1
    room.close(b)
    assert room.tracker.statistics.leeches == 1


def test_who_is_silent_for_too_long_is_forgotten() -> None:
    room = Room(interval_s=100)
    room.say(room.open(), announce(1))
    for _ in range(10):
        due = room.tracker.get_timer()
        if due is None:
            break
        room.now = due
        room.tracker.handle_timer(due)
    assert room.tracker.get_timer() is None and room.tracker.statistics.peers == 0


def test_sockets_and_their_torrents_are_bounded() -> None:
    room = Room(sockets_max=2, torrents_per_socket_max=3)
    a, b = room.open(), room.open()
    with pytest.raises(millstream.Refused, match="WebSockets"):
        room.open()
    for n in range(5):
        room.say(a, announce(1, info_hash=bytes([n]) * 20))
    assert room.tracker.statistics.torrents == 3
    assert ["failure reason" in told for told in room.told[a]] == [False] * 3 + [True] * 2
    assert room.seen.faults["source_full"] == 2
    room.say(a, announce(1, info_hash=bytes([0]) * 20, event="stopped"))
    room.say(a, announce(1, info_hash=bytes([4]) * 20))
    assert "failure reason" not in room.told[a][-1]
    room.close(b)
    assert room.open() > b


def test_rules_hold_over_websockets_too() -> None:
    room = Room()
    room.tracker.set_rules(deny=[HASH])
    a = room.open()
    room.say(a, announce(1))
    assert "does not serve" in room.told[a][0]["failure reason"] and room.tracker.statistics.peers == 0


@pytest.mark.parametrize(
    "said",
    [
        "",
        "null",
        "[]",
        "{",
        "{}",
        '{"action": "announce"}',
        '{"action": "dance", "info_hash": "x"}',
        announce(1, info_hash=b"short"),
        announce(1, peer_id="€" * 20),
        announce(1)[:-3] + '[{"offer_id": "x"}]}',
        '{"action": "scrape", "info_hash": []}',
        announce(1, uploaded={"a": 1}, offers=3)[:-2],
        "x" * 70_000,
        "[" * 5_000,
        '{"action": "\ud800"}',
    ],
)
def test_what_makes_no_sense_is_counted_and_told_why(said: str) -> None:
    room = Room()
    a = room.open()
    assert room.say(a, said) == [a]
    assert room.told[a][0]["failure reason"] and room.seen.faults["malformed"] == 1


def test_turned_letters_raise_nothing() -> None:
    rng, room = random.Random(8), Room()
    sockets = [room.open() for _ in range(4)]
    offer = {"info_hash": text(HASH), "offer_id": "x" * 20, "peer_id": text(b"\2" * 20)}
    for n in range(2000):
        said = list(rng.choice([announce(n % 4, offers=n % 3), answer(n % 4, offer), announce(2, event="stopped")]))
        for _ in range(rng.randrange(4)):
            said[rng.randrange(len(said))] = chr(rng.choice([0, 34, 44, 58, 91, 92, 123, 125, 255, 300, 0xD800]))
        room.say(sockets[n % 4], "".join(said))
    for socket in sockets:
        room.close(socket)
    assert room.tracker.statistics.peers == 0 and room.seen.faults["malformed"] > 500


@pytest.mark.parametrize("junk", [None, b"bytes", 5])
def test_a_message_is_text(junk: Any) -> None:
    room = Room()
    with pytest.raises(TypeError):
        room.tracker.receive_message(room.open(), junk, 0)
    with pytest.raises(TypeError):
        room.tracker.websocket_opened(junk)


def test_an_engine_announces_to_it_over_a_link() -> None:
    tracker = s.Tracker(2)
    metainfo = s.create("thing", b"data" * 9000, trackers=[["wss://tracker.example/announce"]])
    engine = s.Engine(5)
    engine.bound(0, 1, ("10.0.0.1", 6881), "tcp")
    torrent = engine.add_torrent(0, metainfo, "anywhere")
    sockets: dict[int, int] = {}
    for _ in range(20):
        for effect in engine.poll_effects():
            match effect:
                case s.ConnectWebSocket(conn, url):
                    assert url == "wss://tracker.example/announce"
                    sockets[conn] = tracker.websocket_opened(("10.0.0.1", 50000))
                    engine.opened(0, conn, ("10.0.0.1", 50000), ("192.0.2.9", 443))
                case s.Job(job, s.FilesOpen(_, _, files, _)):
                    engine.done(0, job, s.Files([s.FileNow(None) for _ in files]))
                case _:
                    pass
        for conn, socket in sockets.items():
            while views := engine.poll_transmit(0, conn):
                said = b"".join(views)
                engine.wrote(0, conn, len(said))
                for _, told in tracker.receive_message(socket, said.decode(), 0):
                    engine.handle_received(0, conn, told.encode())
    answered = [event for event in engine.poll_events() if isinstance(event, s.TrackerAnswered)]
    assert [event.torrent for event in answered] == [torrent] * 2, "a hybrid is announced under both hashes (BEP 52)"
    assert (tracker.statistics.torrents, tracker.statistics.leeches) == (2, 2)
