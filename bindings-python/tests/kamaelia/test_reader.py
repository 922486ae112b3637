"""TorrentReader: a torrent's bytes in order, when it is whole and while it is fetched."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream import create, sync
from millstream.kamaelia._axon import producerFinished
from millstream.kamaelia.ipc import TIPCDataServed, TIPCServeData, TIPCTorrentError
from millstream.kamaelia.TorrentIPC import TIPCNewTorrentCreated, TIPCTorrentStatusUpdate
from millstream.kamaelia.TorrentPatron import TorrentPatron
from millstream.kamaelia.TorrentReader import TorrentReader

from .stage import Script, ended, run, until
from .world import Tracker

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

HERMETIC: dict[str, Any] = {
    "listen": ["127.0.0.1:0"],
    "dht": False,
    "lsd": False,
    "port_mapping": False,
    "state_folder": None,
    "keep_resume": False,
}


class Listener(Script):
    """A script that has TorrentReaders."""

    def read(self, *requests: Any, **options: Any) -> Script:
        """Has these served. What comes is kept by the script that this gives."""

        def ask(me: Script) -> Main:
            for request in requests:
                me.send(request)
            yield until(lambda: me.signals, "the reader's end")

        reader, me = TorrentReader(**options), Script(ask)
        me.link((me, "outbox"), (reader, "inbox"))
        me.link((reader, "outbox"), (me, "inbox"))
        me.link((reader, "status"), (me, "inbox"))
        me.link((me, "signal"), (reader, "control"))
        me.link((reader, "signal"), (me, "control"))
        reader.activate()
        me.activate()
        return me


def data_of(me: Script) -> bytes:
    return b"".join(me.of(bytes))


def stage(script: Any, patron: TorrentPatron) -> Listener:
    me = Listener(script)
    me.link((me, "outbox"), (patron, "inbox"))
    me.link((me, "signal"), (patron, "control"))
    me.link((patron, "outbox"), (me, "inbox"))
    me.link((patron, "signal"), (me, "control"))
    run(patron, me, deadline=60)
    if me.failure:
        raise me.failure
    return me


def test_what_is_whole_is_served_in_order_and_each_request_after_the_other(folder: Path) -> None:
    data = random.Random(6).randbytes(1_000_003)
    (folder / "song").write_bytes(data)
    raw = create("song", data, version="v1", piece_length=1 << 15)

    def script(me: Script) -> Main:
        assert isinstance(me, Listener)
        me.send(raw)
        yield until(lambda: me.of(TIPCTorrentStatusUpdate), "a status")
        number = me.of(TIPCNewTorrentCreated)[0].torrentid
        whole = me.read(TIPCServeData(torrentid=number))
        yield until(lambda: whole.signals, "all of it")
        assert data_of(whole) == data
        assert [(done.count, done.error) for done in whole.of(TIPCDataServed)] == [(len(data), None)]
        bad: list[Any] = [
            None,
            42,
            TIPCServeData(torrentid=number, offset=-1),
            TIPCServeData(torrentid=number, length="x"),
            TIPCServeData(torrentid=number, file=["x"]),
        ]
        parts = me.read(
            *bad,
            TIPCServeData(torrentid=number, file="song", offset=1000, length=70_000),
            TIPCServeData(torrentid=99),
            TIPCServeData(torrentid=number, file="no such file"),
            TIPCServeData(torrentid=number, offset=len(data) - 5, length=10),
            TIPCServeData(torrentid=number, offset=len(data) + 5),
            TIPCServeData(torrentid=number, length=0),
            TIPCServeData(torrentid=number, offset=7, length=3),
            once=False,
        )
        yield until(lambda: len(parts.of(TIPCDataServed)) == 7, "an answer to each")
        assert data_of(parts) == data[1000:71_000] + data[-5:] + data[7:10]
        assert [done.count for done in parts.of(TIPCDataServed)] == [70_000, 0, 0, 5, 0, 0, 3]
        assert [done.error is None for done in parts.of(TIPCDataServed)] == [
            True,
            False,
            False,
            False,
            True,
            True,
            True,
        ]
        assert len(parts.of(TIPCTorrentError)) == len(bad)
        yield from ended(parts, producerFinished())
        yield from ended(me)

    stage(script, TorrentPatron(settings=HERMETIC))
    assert threading.active_count() == 1


def test_the_end_of_a_file_is_served_before_the_rest_is_there(folder: Path) -> None:
    data = random.Random(7).randbytes(8 << 20)
    seeds = folder / "seeds"
    seeds.mkdir()
    (seeds / "film").write_bytes(data)
    tracker = Tracker()
    with tracker.serve() as announce:
        raw = create("film", data, version="v1", piece_length=1 << 16, trackers=[[announce]])
        with sync.Session(**HERMETIC) as session:
            session.add(raw, folder=seeds).wait_complete(timeout=20)

            def script(me: Script) -> Main:
                assert isinstance(me, Listener)
                me.send(raw)
                yield until(lambda: me.of(TIPCNewTorrentCreated), "an answer")
                number = me.of(TIPCNewTorrentCreated)[0].torrentid
                tail = me.read(TIPCServeData(torrentid=number, offset=len(data) - 200_000))
                yield until(lambda: tail.signals, "the end of the file", 50)
                assert data_of(tail) == data[-200_000:]
                done = [update.statsdictionary["fractionDone"] for update in me.of(TIPCTorrentStatusUpdate)]
                assert not done or done[-1] < 0.9
                # it waits for what will take long; told to end, it does so at once
                rest = me.read(TIPCServeData(torrentid=number))
                yield until(lambda: rest.of(bytes), "the beginning", 50)
                yield from ended(rest)
                yield from ended(me)

            stage(script, TorrentPatron(settings={**HERMETIC, "download_rate": 500_000}, tickInterval=0.1))
