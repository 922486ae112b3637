"""TorrentPatron and TorrentService: whom an answer is for, who makes the service and when it ends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from millstream.kamaelia._axon import coordinating_tracker, producerFinished, shutdown
from millstream.kamaelia.ipc import TIPCQueryStatus, TIPCTorrentComplete, TIPCTorrentError
from millstream.kamaelia.TorrentIPC import (
    TIPCCloseTorrent,
    TIPCNewTorrentCreated,
    TIPCServiceAdd,
    TIPCServicePassOn,
    TIPCServiceRemove,
    TIPCTorrentAlreadyDownloading,
    TIPCTorrentStartFail,
    TIPCTorrentStatusUpdate,
)
from millstream.kamaelia.TorrentPatron import TorrentPatron
from millstream.kamaelia.TorrentService import TorrentService

from .stage import DEADLINE, Script, StageEngine, ended, play, run, torrent_of, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

QUICK = 0.02
LONG = 1000.0


def no_service() -> bool:
    """Whether nobody could find a service."""
    try:
        coordinating_tracker().retrieveService("torrentsrv")
    except KeyError:
        return True
    return False


def test_each_hears_of_its_own_and_the_service_ends_after_the_last() -> None:
    engine = StageEngine()
    mine, yours, bad = torrent_of("mine"), torrent_of("yours"), b"garbage"
    told: dict[str, bool] = {}

    def first(me: Script) -> Main:
        me.send(mine)
        me.send(bad)
        me.send(torrent_of("mine too"))
        yield until(lambda: len(me.of(TIPCTorrentStatusUpdate)) > 4, "updates")
        told["first"] = True
        yield until(lambda: told.get("second"), "the other")
        yield from ended(me)

    def second(me: Script) -> Main:
        yield until(lambda: told.get("first"), "the first")
        me.send(yours)
        me.send(mine.decode("latin-1"))
        yield until(lambda: len(me.of(TIPCTorrentStatusUpdate)) > 2, "updates")
        told["second"] = True
        yield from ended(me)

    one, two = play(
        (TorrentPatron(session=engine, tickInterval=QUICK), first),
        (TorrentPatron(), second),
    )
    created, fail = TIPCNewTorrentCreated, TIPCTorrentStartFail
    assert [type(message) for message in one.got if not isinstance(message, TIPCTorrentStatusUpdate)] == [
        created,
        fail,
        created,
    ]
    assert {message.torrentid for message in one.of(TIPCTorrentStatusUpdate)} == {1, 2}
    assert [type(message) for message in two.got[:2]] == [TIPCNewTorrentCreated, TIPCTorrentAlreadyDownloading]
    assert two.got[1].torrentid == 1
    assert [type(signal) for signal in one.signals] == [producerFinished]
    assert threading.enumerate() == [threading.main_thread()]
    assert no_service()


def test_a_patron_that_leaves_takes_its_torrents_along_but_not_those_that_another_asked_for() -> None:
    engine = StageEngine()
    shared, alone = torrent_of("shared"), torrent_of("alone")
    step: dict[str, bool] = {}

    def leaver(me: Script) -> Main:
        me.send(shared)
        me.send(alone)
        yield until(lambda: len(me.of(TIPCNewTorrentCreated)) == 2, "answers")
        step["there"] = True
        yield until(lambda: step.get("shared"), "the other")
        yield from ended(me)

    def stayer(me: Script) -> Main:
        yield until(lambda: step.get("there"), "the first")
        me.send(shared)
        yield until(lambda: me.of(TIPCTorrentAlreadyDownloading), "an answer")
        assert not me.of(TIPCTorrentStatusUpdate), "it is another's"
        step["shared"] = True
        yield until(lambda: me.of(TIPCTorrentStatusUpdate), "updates of what is its own now")
        yield until(lambda: engine.added[1].calls, "the end of the other")
        assert engine.added[0].calls == []
        yield from ended(me)

    play((TorrentPatron(session=engine, tickInterval=QUICK), leaver), (TorrentPatron(), stayer))
    assert [torrent.calls for torrent in engine.added] == [[("remove",)]] * 2


def test_a_patron_that_leaves_before_its_answer_leaves_no_torrent_and_no_gap() -> None:
    engine = StageEngine()

    def hasty(me: Script) -> Main:
        me.send(torrent_of("hasty"))
        me.send(shutdown(), "signal")
        yield until(lambda: me.signals, "its end")

    def patient(me: Script) -> Main:
        me.send(torrent_of("patient"))
        yield until(lambda: me.of(TIPCNewTorrentCreated), "an answer")
        yield until(lambda: len(engine.added) == 2 and engine.torrents.keys() == {engine.added[-1].id}, "one torrent")
        yield from ended(me)

    _, me = play((TorrentPatron(session=engine), hasty), (TorrentPatron(), patient))
    assert me.got[0].savefolder == "./patient"


def test_a_finished_source_does_not_stop_the_seeding() -> None:
    def script(me: Script) -> Main:
        me.send(producerFinished(), "signal")
        me.send("what is this", "signal")
        me.send(torrent_of("song"))
        yield until(lambda: me.of(TIPCTorrentStatusUpdate), "updates all the same")
        yield from ended(me)

    play((TorrentPatron(session=StageEngine(), tickInterval=QUICK), script))


def test_a_patron_that_comes_while_the_client_ends_gets_the_next_one() -> None:
    engines = [StageEngine(), StageEngine()]

    def script(me: Script) -> Main:
        me.send(torrent_of("first"))
        yield until(lambda: me.got, "an answer")
        me.send(shutdown(), "signal")
        yield until(lambda: me.signals, "its end")
        late = TorrentPatron(session=engines[1], tickInterval=QUICK)
        by = Script(later)
        by.link((by, "outbox"), (late, "inbox"))
        by.link((by, "signal"), (late, "control"))
        by.link((late, "outbox"), (by, "inbox"))
        by.link((late, "signal"), (by, "control"))
        late.activate()
        by.activate()
        after.append(by)

    def later(me: Script) -> Main:
        me.send(torrent_of("second"))
        yield until(lambda: me.of(TIPCTorrentStatusUpdate), "updates")
        yield from ended(me)

    after: list[Script] = []
    play((TorrentPatron(session=engines[0], tickInterval=QUICK), script))
    assert after[0].failure is None
    assert [type(message) for message in after[0].got[:2]] == [TIPCNewTorrentCreated, TIPCTorrentStatusUpdate]
    assert no_service()


def test_extended_messages_go_to_who_opts_in() -> None:
    engine = StageEngine()
    done: set[bool] = set()

    def script_of(extended: bool) -> Any:
        def script(me: Script) -> Main:
            me.send(b"garbage")
            me.send(torrent_of(f"song {extended}"))
            yield until(lambda: me.of(TIPCNewTorrentCreated), "an answer")
            number = me.of(TIPCNewTorrentCreated)[0].torrentid
            engine.added[number - 1].complete()
            yield until(lambda: me.of(TIPCTorrentStatusUpdate), "the status of its completion")
            me.send(TIPCCloseTorrent(torrentid=99))
            me.send(TIPCQueryStatus(torrentid=number))
            yield until(lambda: len(me.of(TIPCTorrentStatusUpdate)) >= 2, "the status that was asked for")
            done.add(extended)
            yield until(lambda: len(done) == 2, "the other")
            yield from ended(me)

        return script

    options: dict[str, Any] = {"session": engine, "tickInterval": LONG}
    new, old = play(
        (TorrentPatron(extended=True, **options), script_of(True)), (TorrentPatron(**options), script_of(False))
    )
    assert [message.torrentid for message in new.of(TIPCTorrentError)] == [None, 99]
    assert len(new.of(TIPCTorrentComplete)) == 1
    assert not old.of(TIPCTorrentError, TIPCTorrentComplete)
    assert [len(me.of(TIPCTorrentStartFail)) for me in (new, old)] == [1, 1]


def test_garbage_for_the_service_is_told_of_and_harms_nobody() -> None:
    service = TorrentService(session=StageEngine(), tickInterval=QUICK)
    TorrentService.setTorrentServices(service)
    me_box = "inbox"

    def script(me: Script) -> Main:
        for garbage in (
            None,
            42,
            "text",
            TIPCServiceAdd(replyService=None),
            TIPCServiceAdd(replyService=(me, "no such box")),
            TIPCServicePassOn(replyService=(me, me_box), message=b"of one who is no client"),
            TIPCServiceRemove(replyService=(me, me_box)),
        ):
            me.send(garbage)
        yield until(lambda: len(me.got) == 7, "a complaint about each")
        me.send(TIPCServiceAdd(replyService=(me, me_box)))
        me.send(TIPCServicePassOn(replyService=(me, me_box), message=torrent_of("song")))
        yield until(lambda: me.of(TIPCNewTorrentCreated), "that it goes on")
        me.send(TIPCServiceRemove(replyService=(me, me_box)))

    me = Script(script)
    me.link((me, "outbox"), (service, "notify"))
    me.link((service, "debug"), (me, "inbox"))
    run(service, me)
    if me.failure:
        raise me.failure
    assert no_service()


def test_who_asked_hears_when_the_service_is_ended() -> None:
    engine = StageEngine()

    def kill(me: Script) -> Main:
        me.send(shutdown())
        yield 1

    def script(me: Script) -> Main:
        me.send(torrent_of("song"))
        yield until(lambda: me.of(TIPCNewTorrentCreated), "an answer")
        service, _ = coordinating_tracker().retrieveService("torrentsrvshutdown")
        killer = Script(kill)
        killer.link((killer, "outbox"), (service, "control"))
        killer.activate()
        yield until(service._isStopped, "the service's end")
        # the patron finds a new one
        me.send(torrent_of("song"))
        yield until(lambda: len(me.of(TIPCNewTorrentCreated)) == 2, "an answer of the next service")
        yield from ended(me)

    play((TorrentPatron(session=engine, tickInterval=QUICK), script))
    assert no_service()


def test_fifty_patrons_share_a_client() -> None:
    engine = StageEngine()
    count = 50
    done: set[int] = set()

    def script_of(number: int) -> Any:
        def script(me: Script) -> Main:
            me.send(torrent_of(f"song {number}"))
            me.send(b"garbage")
            yield until(lambda: len(me.of(TIPCNewTorrentCreated, TIPCTorrentStartFail)) == 2, "answers", 2 * DEADLINE)
            own = me.of(TIPCNewTorrentCreated)[0]
            assert own.savefolder == f"./song {number}"
            engine.added[own.torrentid - 1].complete()
            yield until(
                lambda: any(message.statsdictionary["fractionDone"] == 1 for message in me.of(TIPCTorrentStatusUpdate)),
                "completion",
                2 * DEADLINE,
            )
            done.add(number)
            yield until(lambda: len(done) == count, "all the others", 2 * DEADLINE)
            yield from ended(me)

        return script

    patrons = [TorrentPatron(session=engine, tickInterval=QUICK) for _ in range(count)]
    scripts = play(*((patron, script_of(number)) for number, patron in enumerate(patrons)), deadline=2 * DEADLINE)
    for me in scripts:
        own = me.of(TIPCNewTorrentCreated)[0].torrentid
        assert {message.torrentid for message in me.of(TIPCTorrentStatusUpdate)} == {own}
    assert len(engine.added) == count and no_service()


def test_a_slow_reader_loses_no_completion_and_statuses_coalesce() -> None:
    engine = StageEngine()
    count, size = 5, 1000

    class Slow(Script):
        """Reads nothing until all is over."""

        reading = False

        def take(self) -> None:
            if self.reading:
                super().take()

    def script(me: Script) -> Main:
        assert isinstance(me, Slow)
        me.inboxes["inbox"].setSize(size)
        for number in range(count):
            me.send(torrent_of(f"song {number}"))
        yield until(lambda: me.dataReady("inbox") >= size, "a full box")
        for torrent in engine.added:
            torrent.complete()
        # more than would fit by far; how many were made is seen by the calls for their status
        seen = engine.added[0].asked
        yield until(lambda: engine.added[0].asked > seen + 300, "many more statuses")
        waiting = me.dataReady("inbox")
        assert waiting <= size
        me.reading = True
        me.take()
        first = len(me.got)
        yield until(
            lambda: (
                {m.torrentid for m in me.of(TIPCTorrentStatusUpdate) if m.statsdictionary["fractionDone"] == 1}
                == set(range(1, count + 1))
            ),
            "all completions",
        )
        assert len(me.got) - first < 20 * count, "what waited had been replaced by newer"
        yield until(lambda: len(me.of(TIPCTorrentComplete)) == count, "the words of it")
        yield from ended(me)

    patron = TorrentPatron(session=engine, tickInterval=0.001, extended=True)
    me = Slow(script)
    me.link((me, "outbox"), (patron, "inbox"))
    me.link((me, "signal"), (patron, "control"))
    me.link((patron, "outbox"), (me, "inbox"))
    me.link((patron, "signal"), (me, "control"))
    run(patron, me)
    if me.failure:
        raise me.failure
    assert len(me.of(TIPCNewTorrentCreated)) == count
