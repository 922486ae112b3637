"""Sessions: adding, watching, leaving. The same stories over every driver."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import warnings
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from drivers_stage import PIECE, Drivers, Thing, payload, thing, things
from servers import HttpServer

from millstream import (
    Completed,
    DuplicateTorrent,
    Event,
    FileCompleted,
    Magnet,
    MagnetError,
    Metadata,
    Metainfo,
    MetainfoError,
    Removed,
    Session,
    SessionClosed,
    Stopped,
    TimedOut,
    Torrent,
    TorrentNotFound,
    TorrentRemoved,
    create,
    download,
)
from millstream._events import Events, Hub, Pulse
from millstream._sources import Source
from millstream.sansio import Lagged, PieceVerified, Progress, TorrentFailed


async def seeding(session: Session, what: Thing) -> Torrent:
    """A torrent of this session that has it all."""
    what.store(session.folder)
    torrent = await session.add(what.torrent)
    await torrent.wait_complete(timeout=30)
    return torrent


def test_a_torrent_of_several_files_goes_from_one_session_to_another(drivers: Drivers) -> None:
    async def story() -> None:
        what = things()
        async with drivers.session("seed") as seed, drivers.session("leech") as leech:
            theirs = await seeding(seed, what)
            ours = await leech.add(what.torrent, peers=[seed.listening[0]])
            assert await ours.metadata() == ours.metainfo
            status = await ours.wait_complete(timeout=30)
            assert (status.state, status.progress) == ("seeding", 1.0)
            assert what.stored(leech.folder)
            assert repr(ours).startswith(f"<Torrent 'things' {ours.info_hash}: seeding 100.0%")
            assert leech.torrents == (ours,) and leech.torrent(ours.id) is ours
            assert leech.torrent(ours.info_hash) is ours and leech.torrent(ours.info_hash_v1 or b"") is ours
            assert theirs.info_hash == ours.info_hash
            assert [file.is_complete for file in ours.files] == [True] * 3

    drivers.run(story)


@pytest.mark.parametrize("kind", ["bytes", "Metainfo", "path", "str path", "URL"])
def test_all_that_names_a_torrent_file_can_be_added(drivers: Drivers, kind: str) -> None:
    async def story() -> None:
        what = thing()
        server = HttpServer(files={"/a.torrent": what.torrent})
        url = f"{await server.start()}/a.torrent"
        path = drivers.folder / "a.torrent"
        path.write_bytes(what.torrent)
        drivers.world.urls[url] = what.torrent
        sources: dict[str, Source] = {
            "bytes": what.torrent,
            "Metainfo": Metainfo.parse(what.torrent),
            "path": path,
            "str path": os.fspath(path),
            "URL": url,
        }
        async with drivers.session("one") as session:
            torrent = await session.add(sources[kind])
            assert torrent.name == "thing.bin"
            assert (await torrent.metadata()).info_hash_v1 == Metainfo.parse(what.torrent).info_hash_v1
        server.stop()

    drivers.run(story)


def test_news_that_come_after_the_backend_ended_are_told_all_the_same(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent, only_peers=True)
            await torrent.metadata()
            events = torrent.events()

            def verified(_: int) -> bytes:
                raise SessionClosed("the session is closed")

            with monkeypatch.context() as patch:
                patch.setattr(session._backend, "verified", verified)
                news: list[Event] = [PieceVerified(torrent.id, 0), Completed(torrent.id), Lagged(3)]
                session._on_news(news)
            told = events.waiting()
            assert Completed(torrent.id) in told and Lagged(3) in told

    drivers.run(story)


@pytest.mark.parametrize("kind", ["magnet", "Magnet", "hash"])
def test_all_that_names_a_hash_gets_the_metadata_from_peers(drivers: Drivers, kind: str) -> None:
    async def story() -> None:
        what = things()
        digits = (Metainfo.parse(what.torrent).info_hash_v1 or b"").hex()
        link = f"magnet:?xt=urn:btih:{digits}"
        sources: dict[str, Source] = {"magnet": link, "Magnet": Magnet.parse(link), "hash": digits}
        async with drivers.session("seed") as seed, drivers.session("leech") as leech:
            await seeding(seed, what)
            ours = await leech.add(sources[kind], peers=[seed.listening[0]])
            assert ours.info_hash == digits
            metainfo = await ours.metadata(timeout=30)
            assert metainfo.info_bytes == Metainfo.parse(what.torrent).info_bytes
            await ours.wait_complete(timeout=30)
            assert what.stored(leech.folder)

    drivers.run(story)


def test_what_is_no_torrent_is_refused_with_an_error_of_the_tree(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            with pytest.raises(MetainfoError):
                await session.add(b"no torrent")
            with pytest.raises(MagnetError):
                await session.add("magnet:?xt=urn:btih:no")
            with pytest.raises(FileNotFoundError):
                await session.add("no/such.torrent")
            with pytest.raises(TypeError):
                await session.add(b"", no_such_option=1)  # type: ignore[call-arg]
            first = await session.add(thing().torrent)
            with pytest.raises(DuplicateTorrent) as duplicate:
                await session.add(thing().torrent)
            assert duplicate.value.torrent == first.id
            assert len(session.torrents) == 1

    drivers.run(story)


def test_events_tell_of_pieces_files_and_completion_and_end_with_removal(drivers: Drivers) -> None:
    async def story() -> None:
        what = things()
        async with drivers.session("seed") as seed, drivers.session("leech") as leech:
            await seeding(seed, what)
            ours = await leech.add(what.torrent)
            events, others = ours.events(), ours.events()
            await ours.add_peers([seed.listening[0]])
            seen = []
            async for event in events:
                seen.append(event)
                match event:
                    case Completed():
                        break
                    case _:
                        pass
            assert seen[0] == Metadata(ours.id)
            pieces = [event.piece for event in seen if isinstance(event, PieceVerified)]
            assert sorted(pieces) == list(range((await ours.metadata()).pieces))
            whole = [str(event.file.path) for event in seen if isinstance(event, FileCompleted)]
            assert sorted(whole) == ["things/first.bin", "things/sub/second.bin", "things/third"]
            assert all(event.file.is_complete for event in seen if isinstance(event, FileCompleted))
            await ours.remove()
            rest = [event async for event in others]
            assert isinstance(rest[-1], Removed) and Completed(ours.id) in rest
            assert pickle.loads(pickle.dumps(seen)) == seen

    drivers.run(story)


def test_who_comes_late_hears_how_it_stands(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("seed") as session:
            torrent = await seeding(session, thing())
            events = torrent.events()
            assert await anext(events) == Metadata(torrent.id)
            whole = await anext(events)
            assert isinstance(whole, FileCompleted) and whole.file.location.name == "thing.bin"
            assert await anext(events) == Completed(torrent.id)

    drivers.run(story)


def test_a_removed_torrents_handle_says_so(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent)
            waiting = asyncio.ensure_future(torrent.wait_complete())
            await asyncio.sleep(0)
            await torrent.remove()
            for attempt in (torrent.pause(), torrent.metadata(), torrent.peers(), torrent.remove(), waiting):
                with pytest.raises(TorrentRemoved):
                    await attempt
            with pytest.raises(TorrentRemoved):
                torrent.stats
            with pytest.raises(TorrentNotFound):
                session.torrent(torrent.id)
            assert repr(torrent) == f"<Torrent 'thing.bin' {torrent.info_hash}: removed>"
            assert session.torrents == ()

    drivers.run(story)


def test_files_are_deleted_with_the_torrent_and_no_others(drivers: Drivers) -> None:
    async def story() -> None:
        what = things()
        async with drivers.session("one") as session:
            torrent = await seeding(session, what)
            (session.folder / "things" / "mine").write_text("stays")
            await torrent.remove(delete_files=True)
            left = sorted(str(path.relative_to(session.folder)) for path in session.folder.rglob("*"))
            assert left == ["things", "things/mine"]

    drivers.run(story)


def test_only_the_selected_files_are_fetched(drivers: Drivers) -> None:
    async def story() -> None:
        what = things()
        async with drivers.session("seed") as seed, drivers.session("leech") as leech:
            await seeding(seed, what)
            ours = await leech.add(what.torrent, files=[1])
            await ours.add_peers([seed.listening[0]])
            await ours.wait_complete(timeout=30)
            first, second, third = ours.files
            assert second.is_complete and not first.is_complete
            assert not third.location.exists(), "an empty file isn't made either"
            assert 0.0 < first.progress < 0.5, "of the first only what shares a piece with the second"
            assert second.location.read_bytes() == what.files["things/sub/second.bin"]
            await ours.select(["first.bin", second])
            await ours.wait_complete(timeout=30)
            assert ours.file("things/first.bin").is_complete
            with pytest.raises(LookupError):
                await ours.select([7])
            await ours.select(None)
        assert third.location.read_bytes() == b"", "it is made once it is wanted"

    drivers.run(story)


def test_files_have_priorities_that_outlive_the_session(drivers: Drivers) -> None:
    async def story() -> None:
        what, kept = things(), drivers.folder / "kept"
        async with drivers.session("leech", remember=kept) as leech:
            ours = await leech.add(what.torrent, files=[0, 1], priorities={0: "low", 2: "high"}, only_peers=True)
            await ours.metadata()
            assert await ours.priorities() == ("low", "normal", None)
            await ours.set_priorities({"first.bin": "normal", ours.files[1]: "high"})
            await ours.select(None)
            assert await ours.priorities() == ("normal", "high", "high")
            with pytest.raises(LookupError):
                await ours.set_priorities({7: "high"})
            with pytest.raises(ValueError, match="'urgent' is no priority|\"urgent\" is no priority"):
                await ours.set_priorities({0: "urgent"})  # type: ignore[dict-item]
        async with drivers.session("leech", remember=kept) as leech:
            [ours] = leech.torrents
            await ours.metadata()
            assert await ours.priorities() == ("normal", "high", "high")

    drivers.run(story)


def test_closing_ends_all_that_waits_and_is_done_once(drivers: Drivers) -> None:
    async def story() -> None:
        session = drivers.session("one")
        with pytest.raises(SessionClosed):
            await session.add(thing().torrent)
        await session.start()
        torrent = await session.add(thing().torrent)
        news, events = session.events(), torrent.events()
        waiting = asyncio.ensure_future(torrent.wait_complete())
        await asyncio.gather(session.close(5), session.close())
        await session.close()
        with pytest.raises(SessionClosed):
            await waiting
        told = [event async for event in news]
        assert Stopped() in told or told == []
        assert [event async for event in events]
        with pytest.raises(SessionClosed):
            await session.add(thing().torrent)
        with pytest.raises(SessionClosed):
            torrent.stats
        assert repr(torrent) == f"<Torrent 'thing.bin' {torrent.info_hash}: closed>"
        assert repr(session) == "<Session: closed>"

    drivers.run(story)


def test_waiting_is_bounded(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add("0" * 40)
            with pytest.raises(TimedOut):
                await torrent.metadata(timeout=0.05)
            with pytest.raises(TimedOut):
                await torrent.wait_complete(timeout=0.05)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(torrent.metadata(), 0.05)

    drivers.run(story)


def test_an_unknown_setting_is_told_with_what_may_be_meant(drivers: Drivers) -> None:
    async def story() -> None:
        with pytest.raises(TypeError, match="did you mean '?download_rate"):
            Session(driver=drivers.driver, downlod_rate=5)  # type: ignore[call-arg]

    drivers.run(story)


def test_download_is_one_call(drivers: Drivers) -> None:
    async def story() -> None:
        what, seen = things(), []
        async with drivers.session("seed") as seed:
            await seeding(seed, what)
            folder = drivers.folder / "here"
            place = await download(
                what.torrent,
                folder,
                progress=lambda stats: seen.append(stats.progress),
                peers=[seed.listening[0]],
                driver=drivers.driver,
                **drivers.settings,
            )
            assert place == folder / "things" and what.stored(folder)
            assert seen == sorted(seen) and seen[-1] == 1.0

    drivers.run(story)


def test_a_download_that_names_no_files_is_of_all_whatever_an_earlier_one_chose(drivers: Drivers) -> None:
    async def story() -> None:
        what, folder = things(), drivers.folder / "here"
        keeps = {"state_folder": str(drivers.folder / "state"), "keep_resume": True} if drivers.name != "memory" else {}
        settings = {**drivers.settings, **keeps, "driver": drivers.driver}
        async with drivers.session("seed") as seed:
            await seeding(seed, what)
            for chosen in (["first.bin"], None):
                await download(what.torrent, folder, files=chosen, peers=seed.listening, **settings)
                second = "things/sub/second.bin"
                assert ((folder / second).read_bytes() == what.files[second]) == (chosen is None)
            assert what.stored(folder)

    drivers.run(story)


def test_a_download_of_what_is_no_torrent_fails_before_anything_is_bound(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "start", lambda self: pytest.fail("it was started"))

    async def story() -> None:
        for source in (b"no torrent", "magnet:?xt=nothing", "/nowhere/at.all", memoryview(b"de")):
            with pytest.raises((MetainfoError, MagnetError, OSError)):
                await download(source, drivers.folder, driver=drivers.driver, **drivers.settings)
        with pytest.raises(TypeError):
            await download(b"/a/path/in/bytes" and 17, drivers.folder)  # type: ignore[arg-type]

    drivers.run(story)


def test_a_session_that_nobody_closed_is_warned_of(drivers: Drivers) -> None:
    async def story() -> None:
        session = await drivers.session("one").start()
        backend = session._backend
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del session
            gc.collect()
        assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == [
            "unclosed Session"
        ]
        await backend.close(5)

    drivers.run(story)


def test_a_magnet_of_several_files_completes_from_three_peers_of_which_one_lies(drivers: Drivers) -> None:
    async def story() -> None:
        files = {"first.bin": payload(60 * PIECE + 5), "sub/second.bin": payload(20 * PIECE + 1, 8), "third": b""}
        torrent = create("things", files, version="hybrid", piece_length=PIECE)
        what = Thing(torrent, {f"things/{name}": data for name, data in files.items()})
        async with AsyncExitStack() as stack:
            # those that are honest take their time, so that nothing is complete before the liar was asked
            rates = (None, 1_000_000, 1_000_000)
            seeds = [
                await stack.enter_async_context(drivers.session(f"seed{n}", upload_rate=rate))
                for n, rate in enumerate(rates)
            ]
            theirs = [await seeding(seed, what) for seed in seeds]
            # it was checked, and then its disk changed
            lie = theirs[0].file("first.bin").location
            lie.write_bytes(payload(lie.stat().st_size, 99))
            leech = await stack.enter_async_context(drivers.session("leech"))
            link = f"magnet:?xt=urn:btih:{theirs[0].info_hash}"
            ours = await leech.add(link, peers=[seed.listening[0] for seed in seeds])
            await ours.wait_complete(timeout=50)
            assert what.stored(leech.folder)
            stats = ours.stats
            assert stats.verified == stats.wanted == stats.length
            assert stats.wasted > 0, "it was asked, and lied"

    drivers.run(story)


def test_a_session_is_of_no_use_to_a_process_that_was_forked(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent)
            session._home.pid += 1
            with pytest.raises(SessionClosed):
                torrent.stats
            with pytest.raises(SessionClosed):
                await session.add(thing().torrent)
            session._home.pid -= 1

    drivers.run(story)


def test_a_cancelled_add_leaves_no_torrent(tmp_path: Path) -> None:
    async def story(drivers: Drivers) -> None:
        async with drivers.session("one") as session:
            drivers.world.hold_adds = asyncio.Event()
            adding = asyncio.ensure_future(session.add(thing().torrent))
            for _ in range(5):
                await asyncio.sleep(0)
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            drivers.world.hold_adds.set()
            await session.close()
            assert session.torrents == ()
            assert drivers.world.added == [1] and drivers.world.removed == [1]

    drivers = Drivers("memory", tmp_path)
    drivers.run(lambda: story(drivers))


def test_who_cancelled_an_add_can_add_it_again_at_once(drivers: Drivers) -> None:
    async def story() -> None:
        what = thing()
        async with drivers.session("one") as session:
            for steps in range(12):
                adding = asyncio.ensure_future(session.add(what.torrent, only_peers=True))
                for _ in range(steps):
                    await asyncio.sleep(0)
                adding.cancel()
                await asyncio.wait([adding])
                again = session.add(what.torrent, only_peers=True) if adding.cancelled() else adding
                torrent = await again
                assert session.torrents == (torrent,)
                with pytest.raises(DuplicateTorrent):
                    await session.add(what.torrent)
                await torrent.remove()

    drivers.run(story)


@pytest.mark.parametrize("steps", range(4))
def test_a_cancellation_that_comes_together_with_news_is_not_lost(steps: int) -> None:
    async def story() -> None:
        pulse, events = Pulse(), Events(8)
        waiting = [asyncio.ensure_future(pulse.wait(60)), asyncio.ensure_future(events.take(60))]
        await asyncio.sleep(0)
        pulse.beat()
        events.push([Lagged(1)])
        for task in waiting:
            for _ in range(steps):
                await asyncio.sleep(0)
            lost = not task.done() and task.cancel()
            await asyncio.wait([task], timeout=10)
            assert task.cancelled() == lost

    asyncio.run(story())


def test_a_slow_reader_loses_progress_but_never_completion() -> None:
    hub = Hub(4)
    events = hub.subscribe()
    hub.publish([Completed(1), *[Progress(1)] * 10, TorrentFailed(1, "x"), Removed(1)])
    hub.end()

    async def read() -> list[object]:
        return [event async for event in events]

    assert asyncio.run(read()) == [Lagged(9), Completed(1), Progress(1), TorrentFailed(1, "x"), Removed(1)]


def test_a_reader_that_nobody_holds_is_forgotten() -> None:
    hub = Hub(4)
    events = hub.subscribe()
    assert hub
    del events
    gc.collect()
    assert not hub
