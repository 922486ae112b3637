"""What the border refuses, and how it says so: clearly, never by a RuntimeError, never by a crash."""

from __future__ import annotations

import gc
import pickle
import random
import threading
from typing import Any

import pytest
from memory import World

import millstream
from millstream import sansio
from millstream.errors import OptionError
from millstream.sansio import (
    Connect,
    Digests,
    Engine,
    FileNow,
    Files,
    FilesOpen,
    Hash,
    Job,
    Magnet,
    Metainfo,
    Written,
)

DATA = random.Random(1).randbytes(100_000)
TORRENT = millstream.create("thing", DATA, piece_length=16 * 1024)


def opening(engine: Engine) -> int:
    """The id of the job that opens the files."""
    engine.add_torrent(0, TORRENT, "anywhere")
    return next(e.job for e in engine.poll_effects() if isinstance(e, Job) and isinstance(e.work, FilesOpen))


def test_no_exception_of_the_package_is_a_runtime_error() -> None:
    tree = [getattr(millstream, name) for name in millstream.__all__ if name.endswith("Error")]
    assert all(issubclass(error, millstream.MillstreamError) for error in tree)
    assert not any(issubclass(error, RuntimeError) for error in tree)
    assert issubclass(millstream.MetainfoError, ValueError)
    assert issubclass(millstream.TorrentNotFound, LookupError)


@pytest.mark.parametrize("junk", [b"", b"d", b"de", b"i1e", b"d4:infode", TORRENT[:-1], TORRENT + b"x", b"l" * 100_000])
def test_junk_is_no_torrent(junk: bytes) -> None:
    with pytest.raises(millstream.MetainfoError):
        Metainfo.parse(junk)
    with pytest.raises(millstream.MetainfoError):
        Engine(1).add_torrent(0, junk, "anywhere")


@pytest.mark.parametrize(
    "junk", ["", "magnet:?", "magnet:?xt=urn:btih:12", "http://x", "magnet:?xt=urn:btih:" + "é" * 20]
)
def test_junk_is_no_magnet(junk: str) -> None:
    with pytest.raises(millstream.MagnetError):
        Magnet.parse(junk)
    with pytest.raises(millstream.MagnetError):
        Engine(1).add_torrent(0, junk, "anywhere")


@pytest.mark.parametrize("source", [None, 5, 1.5, ["a"], object()])
def test_what_has_no_bytes_is_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError):
        Engine(1).add_torrent(0, source, "anywhere")
    with pytest.raises(TypeError):
        Engine(1).handle_received(0, 1, source)


@pytest.mark.parametrize("now", [-1.0, float("nan"), float("inf"), 1e300])
def test_what_is_no_moment_is_refused(now: float) -> None:
    with pytest.raises(millstream.DriverError, match="no moment"):
        Engine(1).handle_timeout(now)


def test_a_clock_that_goes_back_is_the_driver_s_fault() -> None:
    engine = Engine(1)
    engine.handle_timeout(5)
    with pytest.raises(millstream.DriverError, match="went back"):
        engine.handle_timeout(4.999999)
    engine.handle_timeout(5)


def test_a_timeout_given_back_is_the_same_moment() -> None:
    engine = Engine(1, now=1234.567891)
    engine.add_torrent(1234.567891, TORRENT, "anywhere", peers=[("10.0.0.9", 1)])
    for n in range(50):
        at = engine.poll_timeout()
        if at is None:
            break
        engine.handle_timeout(at)
        later = engine.poll_timeout()
        assert later is None or later > at, f"round {n}: what was due is done"


@pytest.mark.parametrize(
    ("seed", "error"), [(b"short", ValueError), (-1, ValueError), (1 << 256, ValueError), ("text", TypeError)]
)
def test_a_seed_is_32_bytes_or_a_number(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed"):
        Engine(seed)


def test_the_seed_decides_all_chance() -> None:
    assert Engine(5).peer_id == Engine((5).to_bytes(32, "little")).peer_id != Engine(6).peer_id


def test_a_setting_that_is_not_there_is_named() -> None:
    bad: dict[str, Any] = {"link_max": 5}
    with pytest.raises(TypeError, match="links_max"):
        Engine(1, **bad)
    bad = {"links_max": -5}
    with pytest.raises(ValueError, match="links_max"):
        Engine(1, **bad)
    bad = {"links_max": "many"}
    with pytest.raises(TypeError, match="links_max"):
        Engine(1, **bad)
    with pytest.raises(ValueError, match="connect_timeout"):
        Engine(1, connect_timeout=float("nan"))


def test_an_address_must_be_one() -> None:
    bad: Any
    for bad in [("10.0.0.1",), (1, 2), None]:
        with pytest.raises(TypeError):
            Engine(1).bound(0, 1, bad, "tcp")
    with pytest.raises(OptionError, match="^port: -1 is no number from 0 to 65535$"):
        Engine(1).bound(0, 1, ("10.0.0.1", -1), "tcp")
    with pytest.raises(ValueError, match="not an IP address"):
        Engine(1).bound(0, 1, ("example.org", 5), "tcp")
    for bad in ["10.0.0.1", "fe80::1:5", "10.0.0.1:65536", ""]:
        with pytest.raises(ValueError, match="no address"):
            Engine(1).bound(0, 1, bad, "tcp")
    text: Any = "10.0.0.1:5"
    Engine(1).bound(0, 1, text, "tcp")
    flow: Any = ("fe80::1%eth0", 5, 0, 2)
    Engine(1).bound(0, 1, flow, "tcp")


def test_a_torrent_that_is_not_there_is_named() -> None:
    engine = Engine(1)
    for ask in (engine.status, engine.info, engine.verified, engine.peers):
        with pytest.raises(millstream.TorrentNotFound, match="77"):
            ask(77)
    with pytest.raises(millstream.TorrentNotFound):
        engine.pause(0, 77)


def test_a_torrent_is_taken_on_once() -> None:
    engine = Engine(1)
    first = engine.add_torrent(0, TORRENT, "anywhere")
    with pytest.raises(millstream.DuplicateTorrent) as caught:
        engine.add_torrent(0, Metainfo.parse(TORRENT), "elsewhere")
    assert caught.value.torrent == first
    assert pickle.loads(pickle.dumps(caught.value)).torrent == first


def test_an_answer_must_fit_its_job_and_come_once() -> None:
    engine = Engine(1)
    job = opening(engine)
    with pytest.raises(millstream.DriverError, match="answered by Files, not by Written"):
        engine.done(0, job, Written())
    with pytest.raises(millstream.DriverError, match="not by str"):
        wrong: Any = "done"
        engine.done(0, job, wrong)
    with pytest.raises(millstream.DriverError, match="0 files were told of 1"):
        engine.done(0, job, sansio.Files())
    engine.done(0, job, sansio.Files([sansio.FileNow(None)]))
    with pytest.raises(millstream.DriverError, match="no answer is owed"):
        engine.done(0, job, sansio.Files([sansio.FileNow(None)]))
    with pytest.raises(millstream.DriverError, match="no answer is owed"):
        engine.done(0, 999, Written())


def test_digests_must_be_those_that_were_wanted() -> None:
    world = World()
    seed = world.host({"thing": DATA})
    engine = seed.engine
    engine.done(0, opening(engine), sansio.Files([sansio.FileNow(len(DATA))]))
    jobs = [e for e in engine.poll_effects() if isinstance(e, Job)]
    for effect in jobs:
        assert isinstance(effect.work, sansio.HashStored)
        for wrong in [Digests(), Digests(sha1=bytes(20)), Digests(sha1=bytes(20), leaves=[bytes(32)] * 9)]:
            with pytest.raises(millstream.DriverError, match="wanted were"):
                engine.done(0, effect.job, wrong)
        with pytest.raises(ValueError, match="no digest of 20"):
            engine.done(0, effect.job, Digests(sha1=b"short", leaves=[bytes(32)]))


def test_drained_answers_close() -> None:
    engine = Engine(1)
    with pytest.raises(millstream.DriverError, match="no Close"):
        engine.drained(0, 1)


def test_bytes_of_a_stranger_end_its_link_and_raise_nothing() -> None:
    for n in range(50):
        engine = Engine(n)
        engine.add_torrent(0, TORRENT, "anywhere")
        conn = engine.accept(0, 1, ("10.0.0.1", 1), ("10.0.0.2", 2))
        engine.handle_received(0, conn, random.Random(n).randbytes(1 + 400 * n))
        engine.handle_timeout(60)
        closes = [e for e in engine.poll_effects() if isinstance(e, sansio.Close)]
        assert [close.conn for close in closes] == [conn]
        engine.handle_received(60, conn, b"more")
        engine.drained(60, conn)


def test_bytes_are_taken_from_whatever_lends_them() -> None:
    for data in (bytearray(TORRENT), memoryview(TORRENT), memoryview(b"x" + TORRENT)[1:]):
        assert Metainfo.parse(data).name == "thing"
    with pytest.raises(TypeError):
        import array

        numbers: Any = array.array("i", [1, 2])
        Metainfo.parse(numbers)


def test_lent_memory_is_read_only_and_outlives_the_engine() -> None:
    world = World()
    seed, leech = world.host({"thing": DATA}), world.host()
    seed.engine.add_torrent(0, TORRENT, "anywhere")
    leech.engine.add_torrent(0, TORRENT, "anywhere", peers=[seed.address])
    kept: list[memoryview] = []
    carry_out = leech.disk.carry_out

    def keep(work: sansio.Work) -> sansio.Outcome:
        if isinstance(work, Hash):
            kept.extend(work.data)
        return carry_out(work)  # noqa: F821, it is deleted below

    leech.disk.carry_out = keep  # type: ignore[method-assign]
    world.run(lambda: any(isinstance(event, sansio.Completed) for event in leech.events))  # noqa: F821
    assert kept
    assert all(view.readonly for view in kept)
    with pytest.raises(TypeError):
        kept[0][0] = 1
    del world, seed, leech, keep, carry_out
    gc.collect()
    assert all(bytes(view) in DATA for view in kept)


def test_values_compare_match_and_pickle() -> None:
    event = sansio.PieceVerified(1, 2)
    assert pickle.loads(pickle.dumps(event)) == event
    assert repr(event) == "PieceVerified(torrent=1, piece=2)"
    match event:
        case sansio.PieceVerified(_, piece):
            assert piece == 2
    with pytest.raises(AttributeError):
        event.piece = 3  # type: ignore[misc]


def test_torrents_that_cannot_be_are_refused() -> None:
    bad: Any
    for bad in [{"name": "a/b"}, {"files": b""}, {"piece_length": 5}, {"version": "v3"}]:
        given: dict[str, Any] = {"name": "thing", "files": DATA, **bad}
        with pytest.raises(millstream.CreateError):
            millstream.create(**given)
    plan = sansio.Plan("thing", [(["thing"], 5)], multi_file=False)
    with pytest.raises(millstream.CreateError):
        plan.finish()


def test_a_torrent_says_what_it_was_made_of() -> None:
    torrent = millstream.create(
        "things", {"a/b": DATA, "c": b"12345"}, trackers=[["http://x/announce"]], private=True, comment="hello"
    )
    metainfo = Metainfo.parse(torrent)
    real = {"/".join(file.path): file.length for file in metainfo.files if not file.pad}
    assert real == {"a/b": len(DATA), "c": 5}
    assert (metainfo.name, metainfo.version, metainfo.private) == ("things", "hybrid", True)
    assert metainfo.trackers == (("http://x/announce",),)
    assert metainfo.comment == "hello"
    assert len(metainfo.info_hash_v1 or b"") == 20
    assert len(metainfo.info_hash_v2 or b"") == 32
    magnet = Magnet.parse("magnet:?xt=urn:btih:" + "ab" * 20 + "&dn=x&x.pe=10.0.0.1:5")
    assert (magnet.info_hash_v1, magnet.name, magnet.peers) == (b"\xab" * 20, "x", (("10.0.0.1", 5),))


def test_a_driver_that_lies_is_refused_or_ignored_and_nothing_breaks() -> None:
    lies = 0
    for seed in range(40):
        chance = random.Random(seed)
        world = World()
        host, leech = world.host({"thing": DATA}), world.host()
        host.engine.add_torrent(0, TORRENT, "anywhere")
        leech.engine.add_torrent(0, TORRENT, "anywhere", peers=[host.address])

        def lie(engine: Engine, chance: random.Random = chance, world: World = world) -> None:
            conn = chance.choice([0, 1, 2, 3, 1 << 52, (1 << 64) - 1])
            outcome: Any = chance.choice(
                [
                    Written(),
                    sansio.Absent(),
                    sansio.Cancelled(),
                    sansio.Saved(),
                    sansio.BytesRead(b"x"),
                    sansio.Resolved([]),
                    sansio.HttpAnswer(70000, b""),
                    sansio.Files([sansio.FileNow(1 << 63)]),
                    Digests(bytes(20), [bytes(32)]),
                    sansio.Failed("full", "no space"),
                    None,
                ]
            )
            says: list[Any] = [
                lambda: engine.wrote(world.now, conn, chance.choice([0, 1, 1 << 40, (1 << 64) - 1])),
                lambda: engine.handle_received(world.now, conn, chance.randbytes(chance.randrange(100))),
                lambda: engine.opened(world.now, conn, ("10.0.0.1", 1), ("10.0.0.2", 0)),
                lambda: engine.closed(world.now, conn),
                lambda: engine.drained(world.now, conn),
                lambda: engine.done(world.now, chance.randrange(60), outcome),
                lambda: engine.poll_transmit(world.now, conn, chance.choice([0, 1, 1 << 40])),
                lambda: engine.handle_datagram(world.now, 1, ("10.0.0.1", 1), chance.randbytes(9)),
                lambda: engine.poll_datagrams(world.now, conn),
                lambda: engine.unbound(world.now, conn),
                lambda: engine.recheck(world.now, 1),
                lambda: engine.pause(world.now, 1),
                lambda: engine.resume(world.now, 1),
                lambda: engine.select(world.now, 1, [chance.choice([0, 5, 1 << 31])]),
                lambda: engine.set_priorities(world.now, 1, {chance.choice([0, 5, 1 << 31]): "high"}),
                lambda: engine.save(world.now, 1),
            ]
            chance.choice(says)()

        for _ in range(60):
            for one in (host, leech):
                try:
                    lie(one.engine)
                    one.drain()
                except (millstream.MillstreamError, ValueError, OverflowError, AttributeError, TypeError):
                    lies += 1
            world.now += chance.choice([0, 0.001, 1, 100])
            host.engine.handle_timeout(world.now)
            leech.engine.handle_timeout(world.now)
    assert lies > 100


def test_threads_may_share_an_engine() -> None:
    engine = Engine(1)
    engine.add_torrent(0, TORRENT, "anywhere", peers=[("10.0.0.9", 1)])
    faults: list[BaseException] = []

    def knock() -> None:
        try:
            for n in range(500):
                engine.handle_timeout(5)
                engine.poll_effects()
                engine.poll_events()
                engine.status(1)
                engine.handle_received(5, n, b"x")
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=knock) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert not any(thread.is_alive() for thread in threads)


def test_keys_are_exchanged_for_an_exchange_and_nothing_else() -> None:
    for garbage in (None, b"x", object()):
        with pytest.raises(TypeError, match="Exchange"):
            sansio.exchange(garbage)  # type: ignore[arg-type]


@pytest.mark.parametrize("heard", [("fe80::1%eth0", 6771, 0, 7), ("fe80::1%7", 6771)])
def test_bep_0014_a_neighbour_on_a_link_is_called_by_that_link(heard: Any) -> None:
    engine = Engine(1, utp="off")
    engine.bound(0, 1, ("::", 6881), "tcp")
    engine.bound(0, 2, ("::", 6771), "multicast")
    metainfo = Metainfo.parse(millstream.create("thing", b"data" * 9000, version="v1"))
    engine.add_torrent(0, metainfo, "anywhere")
    for effect in engine.poll_effects():
        if isinstance(effect, Job) and isinstance(effect.work, FilesOpen):
            engine.done(0, effect.job, Files([FileNow(None)]))
    said = f"BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nInfohash: {metainfo.info_hash.hex()}\r\n\r\n\r\n"
    engine.handle_datagram(0, 2, heard, said.encode())
    assert [effect.to for effect in engine.poll_effects() if isinstance(effect, Connect)] == [("fe80::1%7", 7000)]
