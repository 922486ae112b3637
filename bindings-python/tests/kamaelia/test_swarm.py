"""Patrons in swarms with others: from another client's seed, and by a magnet link."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from millstream import Metainfo, create, sync
from millstream.kamaelia.ipc import TIPCAddMagnet, TIPCMetadata, TIPCPause, TIPCResume, TIPCSetRate, TIPCTorrentComplete
from millstream.kamaelia.TorrentIPC import TIPCNewTorrentCreated, TIPCTorrentStatusUpdate
from millstream.kamaelia.TorrentPatron import TorrentPatron

from .stage import Script, ended, play, until
from .test_reader import HERMETIC
from .world import DEADLINE, Leech, Tracker, wait

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main


def test_a_patron_downloads_from_another_clients_seed(folder: Path) -> None:
    data = random.Random(11).randbytes(2_000_000)
    seeds = folder / "seeds"
    seeds.mkdir()
    (seeds / "film").write_bytes(data)
    tracker = Tracker()
    with tracker.serve() as announce:
        raw = create("film", data, version="v1", piece_length=1 << 16, trackers=[[announce]])
        seed = Leech(raw, seeds)
        wait(seed.done, "the other client seeds")
        wait(lambda: any(tracker.swarms.values()), "it announces")

        def script(me: Script) -> Main:
            me.send(raw)
            yield until(lambda: me.of(TIPCTorrentComplete), "completion", DEADLINE)
            # None while the tracker is asked
            yield until(lambda: statuses(me)[-1]["announceTime"] is not None, "the next announce", DEADLINE)
            assert 0 <= statuses(me)[-1]["announceTime"] < 120
            yield from ended(me)

        patron = TorrentPatron(extended=True, settings=HERMETIC, tickInterval=0.05)
        (me,) = play((patron, script), deadline=2 * DEADLINE)
    assert (folder / "film").read_bytes() == data
    last = me.of(TIPCTorrentStatusUpdate)[-1].statsdictionary
    assert (last["fractionDone"], last["activity"], last["downTotal"]) == (1, "seeding", len(data))


def test_a_magnet_link_gets_its_metadata_and_payload_rests_and_goes_on(folder: Path) -> None:
    data = random.Random(12).randbytes(1_500_000)
    seeds = folder / "seeds"
    seeds.mkdir()
    (seeds / "film").write_bytes(data)
    tracker = Tracker()
    with tracker.serve() as announce:
        raw = create("film", data, version="v1", piece_length=1 << 15, trackers=[[announce]])
        metainfo = Metainfo.parse(raw)
        assert metainfo.info_hash_v1 is not None
        magnet = f"magnet:?xt=urn:btih:{metainfo.info_hash_v1.hex()}&dn=other&tr={quote(announce, safe='')}"
        with sync.Session(**HERMETIC) as session:
            session.add(raw, folder=seeds).wait_complete(timeout=20)

            def script(me: Script) -> Main:
                me.send(TIPCAddMagnet(uri=magnet))
                yield until(lambda: me.of(TIPCMetadata), "metadata", DEADLINE)
                yield until(lambda: me.of(TIPCTorrentComplete), "completion", DEADLINE)
                number = me.of(TIPCNewTorrentCreated)[0].torrentid
                me.send(TIPCSetRate(torrentid=number, up=100_000))
                me.send(TIPCPause(torrentid=number))
                yield until(lambda: activities(me)[-1:] == ["stopped"], "a rest")
                me.send(TIPCResume(torrentid=number))
                yield until(lambda: activities(me)[-1:] == ["seeding"], "that it goes on")
                yield from ended(me)

            patron = TorrentPatron(extended=True, settings=HERMETIC, tickInterval=0.05)
            (me,) = play((patron, script), deadline=2 * DEADLINE)
    assert (folder / "film").read_bytes() == data
    assert Metainfo.parse(me.of(TIPCMetadata)[0].rawmetainfo).info_hash_v1 == metainfo.info_hash_v1
    # a link's name is a guess
    assert me.of(TIPCNewTorrentCreated)[0].savefolder == "./other"
    assert me.of(TIPCTorrentComplete)[0].savefolder == "./film"


def statuses(me: Script) -> list[dict[str, Any]]:
    return [update.statsdictionary for update in me.of(TIPCTorrentStatusUpdate)]


def activities(me: Script) -> list[str]:
    return [status["activity"] for status in statuses(me)]
