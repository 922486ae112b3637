"""Who reads slowly, from an inbox with little room, gets all that was done, in order."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream import Metainfo, sansio as s
from millstream.kamaelia._axon import Component, producerFinished, shutdown, shutdownMicroprocess
from millstream.kamaelia._http import SimpleHTTPClient
from millstream.kamaelia._outgoing import MESSAGES_MAX
from millstream.kamaelia.ConnectionManager import Closed, Connect, ConnectionManager, Failed, Received, Send
from millstream.kamaelia.ipc import (
    TIPCChunkPublished,
    TIPCEpisodeReady,
    TIPCSeeding,
    TIPCTorrentComplete,
    TIPCTrackerError,
)
from millstream.kamaelia.PeerWire import PeerWire
from millstream.kamaelia.RandomAccessFileManager import RandomAccessFileManager, Write
from millstream.kamaelia.SeedingController import SeedingController
from millstream.kamaelia.StreamPublisher import StreamPublisher
from millstream.kamaelia.TorrentClient import TorrentClient
from millstream.kamaelia.TorrentEngine import Ask, Refused, TorrentEngine
from millstream.kamaelia.TorrentFeedSubscriber import TorrentFeedSubscriber
from millstream.kamaelia.TorrentMaker import TorrentMaker
from millstream.kamaelia.TorrentTracker import TorrentTracker
from millstream.kamaelia.Transformers import BDecoder, BEncoder

from .stage import Script, StageEngine, StageTorrent, fresh_scheduler, run, torrent_of, until
from .test_connections import Host

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

ROOM = 3


class SlowReader(Component):
    """Takes one message at a time out of an inbox that is nearly full, and rests."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []
        self.inboxes["inbox"].setSize(ROOM)

    def main(self) -> Main:
        while not (self.dataReady("control") and not self.dataReady("inbox")):
            if self.dataReady("inbox"):
                self.got.append(self.recv("inbox"))
            yield 1


def read_slowly(
    component: Component,
    messages: list[Any],
    inbox: str = "inbox",
    outbox: str = "outbox",
    *,
    rest: Callable[[list[Any]], bool] | None = None,
) -> list[Any]:
    """What comes of these messages, to one who reads slowly, until it ends; with `rest`, until that is so."""
    reader = SlowReader()

    def script(me: Script) -> Main:
        for message in messages:
            me.send(message)
        if rest is not None:
            yield until(lambda: rest is None or rest(reader.got), "the reader has what it waits for")
        me.send(producerFinished() if rest is None else shutdown(), "signal")
        yield until(lambda: reader._isStopped(), "the reader has all")

    writer = Script(script)
    writer.link((writer, "outbox"), (component, inbox))
    writer.link((writer, "signal"), (component, "control"))
    reader.link((component, outbox), (reader, "inbox"))
    reader.link((component, "signal"), (reader, "control"))
    run(component, reader, writer, deadline=60)
    if writer.failure is not None:
        raise writer.failure
    return reader.got


@pytest.mark.parametrize("count", [2, 1500])
def test_transformers_wait_for_a_slow_reader(count: int) -> None:
    assert read_slowly(BDecoder(), [b"i%de" % n for n in range(count)]) == list(range(count))
    assert read_slowly(BEncoder(), list(range(count))) == [b"i%de" % n for n in range(count)]


def test_a_file_manager_waits_for_a_slow_reader() -> None:
    got = read_slowly(RandomAccessFileManager(), [Write(n, "file", n, b"x") for n in range(2500)])
    assert [done.token for done in got] == list(range(2500))


def test_a_wire_waits_for_a_slow_reader() -> None:
    other = s.PeerConnection(client=True, peer_id=b"t" * 20, info_hash=b"h" * 20, pieces=5000)
    wire = other.handshake() + other.send(*(s.Have(n) for n in range(2500)))
    got = read_slowly(PeerWire(False, b"o" * 20, b"h" * 20, pieces=5000), [wire], outbox="received")
    assert [message.index for message in got if isinstance(message, s.Have)] == list(range(2500))


def test_a_connection_manager_waits_for_a_slow_reader_and_loses_no_byte() -> None:
    data = bytes(range(256)) * 2000

    def give(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(data)

    with Host(give).run() as address:
        requests: list[Any] = []
        for n in range(3):
            requests += [Connect(n, address), Send(n, b"x")]
        got = read_slowly(ConnectionManager(receive_bytes=1024), requests)
    assert not [message for message in got if isinstance(message, Failed)]
    assert sorted(message.token for message in got if isinstance(message, Closed)) == list(range(3))
    for n in range(3):
        assert b"".join(it.data for it in got if isinstance(it, Received) and it.token == n) == data


COUNT = 40


def many_files(folder: Path) -> list[str]:
    """Paths of so many files."""
    for number in range(COUNT):
        (folder / f"{number}").write_bytes(b"%d" % number)
    return [str(number) for number in range(COUNT)]


def test_a_maker_waits_for_a_slow_reader(folder: Path) -> None:
    got = read_slowly(TorrentMaker(), many_files(folder))
    assert [Metainfo.parse(raw).name for raw in got] == [str(number) for number in range(COUNT)]


def test_an_engine_without_a_body_waits_for_a_slow_reader() -> None:
    count = MESSAGES_MAX + 200
    got = read_slowly(TorrentEngine(1), [Ask(number) for number in range(count)], rest=lambda got: len(got) == count)
    assert [message.message.torrent for message in done(got, Refused)] == list(range(count))


def test_an_http_client_waits_for_a_slow_reader() -> None:
    got = read_slowly(SimpleHTTPClient(), [f"nothing:{number}" for number in range(COUNT)])
    assert got == [b""] * COUNT


def test_a_tracker_waits_for_a_slow_reader() -> None:
    tracker = TorrentTracker("127.0.0.1", 0, interval=60)
    got = read_slowly(tracker, list(range(COUNT)), rest=lambda got: len(got) > COUNT)
    assert len([message for message in got if isinstance(message, TIPCTrackerError)]) == COUNT


def test_a_seeder_a_stream_and_a_subscription_wait_for_a_slow_reader(folder: Path) -> None:
    files = many_files(folder)
    options: dict[str, Any] = {"session": StageEngine(), "tickInterval": 0.001}
    got = read_slowly(SeedingController(**options), files, rest=lambda got: len(done(got, TIPCSeeding)) == COUNT)
    assert [message.path for message in done(got, TIPCSeeding)] == files
    fresh_scheduler()

    options["session"] = StageEngine()
    publisher = StreamPublisher(10, **options)
    stream = [b"%010d" % number for number in range(COUNT)]
    got = read_slowly(publisher, stream, rest=lambda got: len(done(got, TIPCChunkPublished)) == COUNT)
    assert [message.number for message in done(got, TIPCChunkPublished)] == list(range(1, COUNT + 1))
    fresh_scheduler()

    engine = options["session"] = Hasty()
    items = "".join(f"<item><guid>{n}</guid><link>magnet:?xt=urn:btih:{n:040x}</link></item>" for n in range(COUNT))
    got = read_slowly(
        TorrentFeedSubscriber(**options),
        [f"<rss><channel>{items}</channel></rss>"],
        rest=lambda got: len(done(got, TIPCEpisodeReady)) == COUNT,
    )
    assert len(engine.added) == COUNT and len(done(got, TIPCEpisodeReady)) == COUNT


class Hasty(StageEngine):
    """An engine whose torrents are there at once."""

    def add(self, source: bytes | str, *, folder: str) -> StageTorrent:
        torrent = super().add(source, folder=folder)
        torrent.set(pieces=1, wanted=1, length=1)
        torrent.complete()
        return torrent


def done(got: list[Any], kind: type) -> list[Any]:
    """What it got of this class."""
    return [message for message in got if isinstance(message, kind)]


def test_a_client_tells_each_completion_to_a_slow_reader_and_few_statuses() -> None:
    engine = Hasty()
    client = TorrentClient(0.001, session=engine, extended=True)
    torrents = [torrent_of(f"{number}") for number in range(COUNT)]
    got = read_slowly(client, torrents, rest=lambda got: len(done(got, TIPCTorrentComplete)) == COUNT)
    completed = [message.torrentid for message in done(got, TIPCTorrentComplete)]
    assert sorted(completed) == list(range(1, COUNT + 1))
    # a tick each millisecond says how all of them are: what waited was replaced
    assert len(client._out) <= 2 * COUNT + 10


def test_who_reads_nothing_is_sent_no_more_than_there_is_room_for() -> None:
    given = 0

    def give(connection: socket.socket) -> None:
        nonlocal given
        while True:
            given += connection.send(bytes(1 << 16))

    manager = ConnectionManager(receive_bytes=4096)

    def script(me: Script) -> Main:
        # nobody is linked to read but one whose inbox is full at once
        me.send(Connect(1, address))
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < 0.7:
            if given != seen:
                seen, since = given, time.monotonic()
            assert given < 32 << 20, "it is read without end"
            yield 1
        assert 0 < len(manager.out) <= MESSAGES_MAX + 10
        reader.stopped = True
        me.send(shutdownMicroprocess(), "signal")
        yield until(lambda: reader._isStopped(), "its end")

    reader = Sleeper()
    writer = Script(script)
    writer.link((writer, "outbox"), (manager, "inbox"))
    writer.link((writer, "signal"), (manager, "control"))
    reader.link((manager, "outbox"), (reader, "inbox"))
    with Host(give).run() as address:
        run(manager, reader, writer)
    if writer.failure is not None:
        raise writer.failure


class Sleeper(Component):
    """Reads nothing until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False
        self.inboxes["inbox"].setSize(ROOM)

    def main(self) -> Main:
        while not self.stopped:
            yield 1
