"""TorrentTracker: it answers over HTTP and UDP, serves what it may, tells how much there is, and survives strangers."""

from __future__ import annotations

import errno
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from millstream.kamaelia.ipc import (
    TIPCTrackerAllow,
    TIPCTrackerDeny,
    TIPCTrackerError,
    TIPCTrackerStarted,
    TIPCTrackerStats,
)
from millstream.kamaelia.TorrentTracker import TorrentTracker

from .stage import Script, ended, play, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

HASH = bytes(range(20))
OTHER = bytes(range(1, 21))


class Asked(threading.Thread):
    """A question to the tracker, from elsewhere."""

    def __init__(self, ask: Any) -> None:
        super().__init__(daemon=True)
        self.ask = ask
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self.ask()
        except Exception as error:
            self.answer = error

    def there(self) -> bool:
        return not self.is_alive()


def announce(url: str, port: int, info_hash: bytes = HASH, left: int = 0) -> Asked:
    query = f"info_hash={quote(info_hash)}&peer_id={'-XX0001-' + str(port).zfill(12)}&port={port}&left={left}"
    query += "&uploaded=0&downloaded=0&compact=1&event=started"

    def ask() -> bytes:
        with urllib.request.urlopen(f"{url}?{query}", timeout=10) as answer:
            body: bytes = answer.read()
            return body

    return Asked(ask)


def tracker(**options: Any) -> TorrentTracker:
    return TorrentTracker("127.0.0.1", 0, **{"interval": 0.05, **options})


def started(me: Script) -> str:
    place: str = me.of(TIPCTrackerStarted)[0].announce
    return place


def test_peers_are_told_of_each_other_and_are_counted() -> None:
    def script(me: Script) -> Main:
        yield until(lambda: me.of(TIPCTrackerStarted), "its place")
        first = announce(started(me), 1001)
        yield until(first.there, "an answer")
        second = announce(started(me), 1002, left=5)
        yield until(second.there, "an answer")
        assert b"\x7f\0\0\x01" + (1001).to_bytes(2, "big") in second.answer
        count = len(me.of(TIPCTrackerStats))
        yield until(lambda: len(me.of(TIPCTrackerStats)) > count + 1, "statistics")
        yield from ended(me)

    (me,) = play((tracker(), script))
    last = me.of(TIPCTrackerStats)[-1]
    assert (last.torrents, last.peers, last.seeds, last.completed, last.announces) == (1, 2, 1, 0, 2)
    assert any(stats.announcespersecond > 0 for stats in me.of(TIPCTrackerStats))
    assert str(last).startswith("Tracker: 1 torrents, 2 peers, 1 seeds")
    assert threading.active_count() == 1


def test_udp_is_answered_at_the_same_port() -> None:
    def script(me: Script) -> Main:
        yield until(lambda: me.of(TIPCTrackerStarted), "its place")
        host, port = me.of(TIPCTrackerStarted)[0].udp.removeprefix("udp://").removesuffix("/announce").split(":")

        def connect() -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.settimeout(10)
                asking.sendto(b"garbage", (host, int(port)))
                asking.sendto(bytes.fromhex("0000041727101980 00000000 00000007"), (host, int(port)))
                return asking.recv(2048)

        asked = Asked(connect)
        yield until(asked.there, "an answer")
        assert asked.answer[:8] == bytes.fromhex("00000000 00000007") and len(asked.answer) == 16
        yield from ended(me)

    play((tracker(), script))


def test_what_is_denied_is_not_served_and_once_something_is_allowed_nothing_else_is() -> None:
    def script(me: Script) -> Main:
        yield until(lambda: me.of(TIPCTrackerStarted), "its place")
        me.send(TIPCTrackerDeny(infohash=HASH))
        denied = b""
        while b"failure reason" not in denied:
            asked = announce(started(me), 1001)
            yield until(asked.there, "an answer")
            denied = asked.answer if isinstance(asked.answer, bytes) else asked.answer.read()
        other = announce(started(me), 1001, OTHER)
        yield until(other.there, "an answer")
        assert b"interval" in other.answer
        me.send(TIPCTrackerAllow(infohash=HASH.hex()))
        allowed = b""
        while b"interval" not in allowed:
            asked = announce(started(me), 1001)
            yield until(asked.there, "an answer")
            allowed = asked.answer if isinstance(asked.answer, bytes) else b""
        other = announce(started(me), 1001, OTHER)
        yield until(other.there, "an answer")
        assert not isinstance(other.answer, bytes) or b"failure reason" in other.answer
        yield from ended(me)

    play((tracker(), script))


def test_garbage_gets_an_error_and_strangers_hold_nobody_up() -> None:
    bad: list[Any] = [
        None,
        42,
        "text",
        TIPCTrackerAllow(infohash=None),
        TIPCTrackerDeny(infohash="zz"),
        TIPCTrackerAllow(infohash=b"1"),
    ]

    def script(me: Script) -> Main:
        for message in bad:
            me.send(message)
        me.send("garbage", "signal")
        yield until(lambda: len(me.of(TIPCTrackerError)) == len(bad) + 1, "an error about each")
        host, port = started(me).removeprefix("http://").removesuffix("/announce").split(":")
        strangers = [socket.create_connection((host, int(port)), 10) for _ in range(20)]
        strangers[0].sendall(b"\0\xff garbage\r\n\r\n")
        strangers[1].sendall(b"GET /" + b"x" * 20_000)
        strangers[2].sendall(b"POST /announce HTTP/1.1\r\n\r\n")
        asked = announce(started(me), 1001)
        yield until(asked.there, "an answer while others dawdle")
        assert b"interval" in asked.answer
        for stranger in strangers:
            stranger.close()
        yield from ended(me)

    play((tracker(), script))


def test_a_place_that_is_taken_is_told_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = TorrentTracker("127.0.0.1", taken.getsockname()[1])

        def script(me: Script) -> Main:
            yield until(lambda: me.signals, "its end")

        (me,) = play((busy, script))
    assert str(errno.EADDRINUSE) in me.of(TIPCTrackerError)[0].message
