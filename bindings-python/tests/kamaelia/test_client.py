"""TorrentClient: ids, answers in turn, status updates, and what garbage gets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from millstream.kamaelia._axon import producerFinished, shutdownMicroprocess
from millstream.kamaelia.ipc import (
    TIPCAddMagnet,
    TIPCMetadata,
    TIPCPause,
    TIPCQueryStatus,
    TIPCResume,
    TIPCSetRate,
    TIPCSetTrackers,
    TIPCTorrentComplete,
    TIPCTorrentError,
)
from millstream.kamaelia.TorrentClient import TorrentClient
from millstream.kamaelia.TorrentIPC import (
    TIPCCloseTorrent,
    TIPCCreateNewTorrent,
    TIPCNewTorrentCreated,
    TIPCTorrentAlreadyDownloading,
    TIPCTorrentStartFail,
    TIPCTorrentStatusUpdate,
)
from millstream.sansio import Metadata

from .stage import Script, StageEngine, StageMetainfo, ended, play, torrent_of, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

QUICK = 0.02
LONG = 1000.0

GARBAGE: list[Any] = [
    b"",
    b"not bencoded",
    b"d4:infode",
    "żółw",
    "",
    None,
    42,
    object(),
    [b"d"],
    {"a": 1},
    TIPCCreateNewTorrent(rawmetainfo=None),
    TIPCCreateNewTorrent(rawmetainfo=["x"]),
    TIPCAddMagnet(uri="http://not.a.magnet/"),
    TIPCAddMagnet(uri=None),
    TIPCTorrentStartFail(),
]


def test_creates_are_answered_in_turn_and_ids_count_from_one(folder: Any) -> None:
    engine = StageEngine()
    raw = torrent_of("song.ogg")

    def script(me: Script) -> Main:
        me.send(TIPCCreateNewTorrent(rawmetainfo=raw))
        me.send(b"garbage")
        me.send(bytearray(torrent_of("two")))
        me.send(raw.decode("latin-1"))
        me.send(memoryview(torrent_of("three")))
        yield until(lambda: len(me.got) == 5, "five answers")
        yield from ended(me)

    (me,) = play((TorrentClient(LONG, session=engine), script))
    kinds = [type(message) for message in me.got]
    created, fail, already = TIPCNewTorrentCreated, TIPCTorrentStartFail, TIPCTorrentAlreadyDownloading
    assert kinds == [created, fail, created, already, created]
    assert [me.got[at].torrentid for at in (0, 2, 3, 4)] == [1, 2, 1, 3]
    assert me.got[0].savefolder == "./song.ogg"
    assert [torrent.folder for torrent in engine.added] == ["./"] * 3
    assert [type(signal) for signal in me.signals] == [producerFinished]


@pytest.mark.parametrize("garbage", GARBAGE, ids=[str(at) for at in range(len(GARBAGE))])
def test_garbage_gets_a_start_failure_and_the_client_lives_on(garbage: Any) -> None:
    def script(me: Script) -> Main:
        me.send(garbage)
        me.send(torrent_of("good"))
        yield until(lambda: len(me.got) == 2, "an answer to each")
        me.send("garbage", "signal")
        yield from ended(me)

    (me,) = play((TorrentClient(LONG, session=StageEngine()), script))
    assert [type(message) for message in me.got] == [TIPCTorrentStartFail, TIPCNewTorrentCreated]


@pytest.mark.parametrize("torrentid", [7, -1, None, "1", [1], object()], ids=str)
def test_commands_about_unknown_ids_are_told_of_only_to_who_expects_it(torrentid: Any) -> None:
    def commands(me: Script) -> None:
        for kind in (TIPCCloseTorrent, TIPCPause, TIPCResume, TIPCQueryStatus):
            me.send(kind(torrentid=torrentid))

    def old(me: Script) -> Main:
        commands(me)
        me.send(torrent_of("good"))
        yield until(lambda: me.got, "the next answer")
        yield from ended(me)

    def new(me: Script) -> Main:
        commands(me)
        yield until(lambda: len(me.got) == 4, "four errors")
        yield from ended(me)

    scripts = play(
        (TorrentClient(LONG, session=StageEngine()), old),
        (TorrentClient(LONG, session=StageEngine(), extended=True), new),
    )
    assert [type(message) for message in scripts[0].got] == [TIPCNewTorrentCreated]
    assert [message.torrentid for message in scripts[1].of(TIPCTorrentError)] == [torrentid] * 4


def test_updates_come_every_tick_though_nothing_changes_and_not_before_the_check_is_done() -> None:
    engine = StageEngine()

    def script(me: Script) -> Main:
        me.send(torrent_of("song"))
        yield until(lambda: me.of(TIPCNewTorrentCreated), "an answer")
        yield until(lambda: len(me.of(TIPCTorrentStatusUpdate)) >= 3, "three updates")
        engine.added[0].set(state="checking")
        yield until(lambda: not me.dataReady("inbox"), "quiet")
        before = len(me.got)
        me.send(b"garbage")
        me.send(b"garbage")
        yield until(lambda: len(me.of(TIPCTorrentStartFail)) == 2, "answers")
        assert len(me.got) <= before + 3
        yield from ended(me)

    (me,) = play((TorrentClient(QUICK, session=engine), script))
    update = me.of(TIPCTorrentStatusUpdate)[0]
    assert (update.torrentid, str(update)) == (1, "Torrent 1 status : 0%")


def test_the_dictionary_is_mainlines() -> None:
    engine = StageEngine()

    def script(me: Script) -> Main:
        me.send(torrent_of("song"))
        yield until(lambda: me.of(TIPCNewTorrentCreated), "an answer")
        engine.added[0].set(
            verified=16 * 1024,
            pieces_verified=1,
            download_rate=100,
            upload_rate=7,
            peers=3,
            seeds=1,
            downloaded=9,
            uploaded=8,
        )
        me.send(TIPCQueryStatus(torrentid=1))
        yield until(lambda: me.of(TIPCTorrentStatusUpdate), "a status")
        engine.added[0].complete()
        yield until(lambda: len(me.of(TIPCTorrentStatusUpdate)) == 2, "a second status")
        yield from ended(me)

    (me,) = play((TorrentClient(LONG, session=engine), script))
    part, whole = (message.statsdictionary for message in me.of(TIPCTorrentStatusUpdate))
    assert part["fractionDone"] == pytest.approx(16 * 1024 / 35000)
    assert part["timeEst"] == pytest.approx((35000 - 16 * 1024) / 100)
    expected = {
        "activity": "downloading",
        "downRate": 100,
        "upRate": 7,
        "downTotal": 9,
        "upTotal": 8,
        "priority": "normal",
    }
    assert {key: part[key] for key in expected} == expected
    assert (part["numPeers"], part["numSeeds"], part["trackerSeeds"], part["announceTime"]) == (3, 1, None, None)
    pieces, changed, states = part["pieceStates"]
    assert (pieces, states) == (2, {"h": {0}, "t": set(), 1: {1}}) and changed > 0
    assert type(whole["fractionDone"]) is int and whole["fractionDone"] == 1
    assert "timeEst" not in whole and whole["downRate"] == 0 and whole["activity"] == "seeding"


def test_a_closed_torrent_is_removed_without_an_answer_and_may_start_again() -> None:
    engine = StageEngine()
    raw = torrent_of("song")

    def script(me: Script) -> Main:
        me.send(raw)
        me.send(TIPCCloseTorrent(torrentid=1))
        me.send(raw)
        yield until(lambda: len(me.of(TIPCNewTorrentCreated)) == 2, "two answers")
        yield from ended(me)

    (me,) = play((TorrentClient(LONG, session=engine), script))
    assert [message.torrentid for message in me.got] == [1, 2]
    assert engine.added[0].calls == [("remove",)]
    assert not engine.closed, "a session that was given stays its giver's"
    assert not engine.torrents, "but its torrents end with the client"


def test_who_opts_in_is_told_of_completion_metadata_and_why_a_start_failed() -> None:
    engine = StageEngine()
    magnet = "magnet:?xt=urn:btih:" + "ab" * 20 + "&dn=film"

    def script(me: Script) -> Main:
        me.send(TIPCAddMagnet(uri=magnet))
        me.send(b"garbage")
        yield until(lambda: len(me.got) == 3, "answers")
        engine.added[0].metainfo = StageMetainfo()
        engine.happens(Metadata(engine.added[0].id))
        yield until(lambda: me.of(TIPCMetadata), "metadata")
        engine.added[0].set(state="leeching", wanted=10, pieces=1)
        engine.added[0].complete()
        yield until(lambda: me.of(TIPCTorrentComplete), "completion")
        yield from ended(me, shutdownMicroprocess())

    (me,) = play((TorrentClient(LONG, session=engine, extended=True), script))
    assert [type(message) for message in me.got[:3]] == [TIPCNewTorrentCreated, TIPCTorrentError, TIPCTorrentStartFail]
    assert me.got[0].savefolder == "./film"
    assert me.of(TIPCMetadata)[0].rawmetainfo == StageMetainfo().to_bytes()
    assert len(me.of(TIPCTorrentComplete)) == 1
    assert me.got[1].torrentid is None and me.got[1].message


def test_rates_pause_and_resume_reach_the_engine() -> None:
    engine = StageEngine()

    def script(me: Script) -> Main:
        me.send(torrent_of("song"))
        me.send(TIPCSetRate(torrentid=1, down=1000))
        me.send(TIPCSetRate(torrentid=None, up=5))
        me.send(TIPCSetRate(torrentid=1, down="fast"))
        me.send(TIPCSetTrackers(torrentid=1, trackers=[["udp://host:1", "wss://host"], ("http://host/",)]))
        for trackers in (None, "udp://host:1", [3], [["udp://host:1", None]]):
            me.send(TIPCSetTrackers(torrentid=1, trackers=trackers))
        me.send(TIPCPause(torrentid=1))
        me.send(TIPCResume(torrentid=1))
        yield until(lambda: len(engine.added) == 1 and ("resume",) in engine.added[0].calls, "the last")
        yield from ended(me)

    (me,) = play((TorrentClient(LONG, session=engine, extended=True), script))
    trackers = ("trackers", ["udp://host:1", "wss://host"], ["http://host/"])
    assert engine.added[0].calls[:4] == [("rates", 1000, None), trackers, ("pause",), ("resume",)]
    assert engine.rates == [(None, 5)]
    assert [message.torrentid for message in me.of(TIPCTorrentError)] == [1] * 5


def test_a_client_that_ended_left_no_thread() -> None:
    def script(me: Script) -> Main:
        me.send(torrent_of("song"))
        yield until(lambda: me.got, "an answer")
        me.send(producerFinished(), "signal")
        me.send(torrent_of("another"))
        yield until(lambda: len(me.of(TIPCNewTorrentCreated)) == 2, "that it goes on after producerFinished")
        yield from ended(me)

    play((TorrentClient(QUICK, session=StageEngine()), script))
    assert threading.enumerate() == [threading.main_thread()]
