"""What a running torrent is told: other trackers, and peers to send away. Over every driver with real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from drivers_stage import Drivers, thing
from servers import HttpServer, UdpTracker

from millstream import Banned, NoSuchPeer, OptionError, Session, Torrent, create

NOBODY = ("127.0.0.1", 1)


async def until(holds: Callable[[], bool]) -> None:
    """Waits for what happens elsewhere; the story's own bound ends it."""
    while not holds():
        await asyncio.sleep(0.01)


def events(server: HttpServer) -> list[str]:
    """What it was told, announce by announce."""
    return [parse_qs(urlsplit(target).query, encoding="latin-1").get("event", [""])[0] for target in server.asked]


def test_trackers_are_replaced_while_a_torrent_runs_and_come_back_with_it(on_demand: Drivers) -> None:
    async def story() -> None:
        first, second, third = HttpServer(), HttpServer(), UdpTracker([])
        urls = [f"{await first.start()}/announce", f"{await second.start()}/announce", await third.start()]
        what = create("thing.bin", b"data", version="v1", trackers=[[urls[0]]])
        kept = on_demand.folder / "kept"
        async with on_demand.session("one", remember=kept) as session:
            torrent = await session.add(what)
            magnet = await session.add(f"magnet:?xt=urn:btih:{'ab' * 20}&tr={urls[0]}")
            await until(lambda: len(first.asked) == 2)
            await torrent.set_trackers([urls[:2], [urls[2]]])
            await until(lambda: len(second.asked) == 1 and third.announces == 1)
            assert [(it.url, it.tier) for it in await torrent.trackers()] == [
                *((url, 0) for url in urls[:2]),
                (urls[2], 1),
            ]
            await torrent.set_trackers([urls[1]])
            await magnet.set_trackers([[urls[1]]])
            await until(lambda: events(first).count("stopped") == 2 and len(second.asked) == 2)
            assert events(second) == ["started", "started"]
        before = len(first.asked)
        async with on_demand.session("one", remember=kept) as session:
            await until(lambda: events(second).count("started") == 4)
            for torrent in session.torrents:
                assert [it.url for it in await torrent.trackers()] == [urls[1]]
                await torrent.set_trackers([])
                assert await torrent.trackers() == ()
        assert len(first.asked) == before
        for server in (first, second, third):
            server.stop()

    on_demand.run(story)


def test_trackers_that_cannot_be_asked_and_too_many_are_refused_and_nothing_changes(on_demand: Drivers) -> None:
    async def story() -> None:
        own = "http://127.0.0.1:1/announce"
        many = [[f"http://127.0.0.1:1/{n}" for n in range(65)]]
        what = create("thing.bin", b"data", version="v1", trackers=[[own, "odd://there"]])
        async with on_demand.session("one") as session:
            torrent = await session.add(what)
            for wrong in ([["ftp://host/"]], [[own], ["no URL"]], many):
                with pytest.raises(OptionError) as refused:
                    await torrent.set_trackers(wrong)
                assert refused.value.name == "trackers"
                with pytest.raises(OptionError):
                    await session.add("ab" * 20, trackers=wrong)
            for given in (own, [[1]]):
                with pytest.raises(TypeError):
                    await torrent.set_trackers(given)  # type: ignore[arg-type]
            assert len(await torrent.trackers()) == 2
            # what came with the torrent is no fault of who adds to it
            await torrent.set_trackers([[own, "odd://there"], [own.replace("announce", "other/announce")]])
            assert len(await torrent.trackers()) == 3

    on_demand.run(story)


async def connected(seed: Session, leech: Session) -> Torrent:
    """A download in its middle, of one peer."""
    what = thing()
    what.store(seed.folder)
    await (await seed.add(what.torrent)).wait_complete(timeout=30)
    torrent = await leech.add(what.torrent, peers=[seed.listening[0]], download_rate=20_000)
    await until(lambda: torrent.stats.downloaded > 0)
    return torrent


def test_a_peer_is_sent_away_and_may_come_again_or_not(on_demand: Drivers) -> None:
    async def story() -> None:
        async with on_demand.session("seed") as seed, on_demand.session("leech") as leech:
            torrent = await connected(seed, leech)
            news = torrent.events()
            [peer] = await torrent.peers()
            with pytest.raises(NoSuchPeer):
                await torrent.disconnect(NOBODY)
            await torrent.disconnect(peer.address)
            assert await torrent.peers() == ()
            with pytest.raises(NoSuchPeer):
                await torrent.disconnect(peer.address)
            await torrent.add_peers([peer.address])
            while not await torrent.peers():
                await asyncio.sleep(0.01)
            await torrent.ban(peer.address)
            await torrent.ban(NOBODY)
            banned = []
            async for event in news:
                if isinstance(event, Banned):
                    banned.append(event.address)
                    if len(banned) == 2:
                        break
            assert banned == [peer.address, NOBODY]
            await torrent.add_peers([peer.address])
            await asyncio.sleep(0.3)
            assert await torrent.peers() == ()

    on_demand.run(story)


def test_who_blocks_can_do_so_too(blocking: Drivers) -> None:
    with blocking.sync_session("one") as session:
        torrent = session.add("ab" * 20, only_peers=True, trackers=[["http://127.0.0.1:1/announce"]])
        torrent.set_trackers([["http://127.0.0.1:2/announce"]])
        with pytest.raises(NoSuchPeer):
            torrent.disconnect(NOBODY)
        with pytest.raises(NoSuchPeer):
            torrent.disconnect("127.0.0.1:1")
        torrent.ban(NOBODY)
