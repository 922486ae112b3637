"""Keys that name torrents (BEP 46), signatures (BEP 35) and newer torrents (BEP 39), over both drivers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from drivers_stage import Drivers, thing
from servers import HttpServer

from millstream import (
    CommandError,
    CreateError,
    CreateOptions,
    KeyFollowed,
    KeyLink,
    MagnetError,
    Metainfo,
    Signer,
    UpdateAvailable,
    create_torrent,
)
from millstream.dht import Node
from millstream.sansio import DhtItem, DhtStored

DATA = Path(__file__).parent.parent.parent / "driver-tokio" / "tests" / "data"
KEY, CERTIFICATE, OTHER = ((DATA / name).read_bytes() for name in ("signer.key", "signer.pem", "other.pem"))
SECRET = bytes(range(32))


def publish(torrent: bytes, seq: int) -> DhtItem:
    """What a key says: which torrent it names."""
    info_hash = Metainfo.parse(torrent).info_hash
    assert info_hash is not None
    return DhtItem.signed(SECRET, b"d2:ih20:" + info_hash + b"e", seq=seq)


@asynccontextmanager
async def publisher(count: int = 3) -> AsyncIterator[tuple[list[Node], str]]:
    """A DHT of so many nodes, and where it is entered."""
    nodes: list[Node] = []
    try:
        for _ in range(count):
            entry = f"127.0.0.1:{nodes[0].listening[0][1]}" if nodes else "127.0.0.1:9"
            node = Node(
                listen=[("127.0.0.1", 0)], bootstrap_nodes=[entry], private_addresses=True, enforce_node_ids=False
            )
            nodes.append(await node.start())
            await node.joined()
        yield nodes, f"127.0.0.1:{nodes[0].listening[0][1]}"
    finally:
        for node in nodes:
            await node.close()


def test_bep_0046_a_keys_link_is_added_as_the_torrent_that_it_names_and_followed_to_the_next(
    on_demand: Drivers,
) -> None:
    async def story() -> None:
        first = thing()
        async with publisher() as (nodes, entry):
            item = publish(first.torrent, 1)
            stored = (await nodes[1].put(item)).outcome
            assert isinstance(stored, DhtStored) and stored.stored > 0
            link = KeyLink(item.key or b"")
            settings = {"dht": True, "dht_bootstrap": [entry]}
            async with on_demand.session("seed") as seed, on_demand.session("leech", **settings) as leech:
                first.store(seed.folder)
                await (await seed.add(first.torrent)).wait_complete(timeout=30)
                ours = await leech.add(str(link), peers=[seed.listening[0]])
                assert ours.info_hash_v1 == Metainfo.parse(first.torrent).info_hash_v1
                await ours.wait_complete(timeout=30)
                assert first.stored(leech.folder)
                news = leech.follow(link)
                told = await anext(news)
                assert told == KeyFollowed(link.key, b"", Metainfo.parse(first.torrent).info_hash, 1)
                also = leech.follow(str(link))
                assert await anext(also) == told, "who comes later hears what is known"
                await also.aclose()
                await news.aclose()
                assert leech._follows._keys == {}

    on_demand.run(story)


def test_bep_0046_a_key_is_not_followed_without_a_dht_and_a_following_ends_with_the_session(on_demand: Drivers) -> None:
    async def story() -> None:
        link = KeyLink(bytes(32))
        async with on_demand.session("one") as session:
            with pytest.raises(CommandError):
                await session.add(link)
            with pytest.raises(MagnetError):
                await anext(session.follow("magnet:?xt=urn:btih:" + "0" * 40))
        async with on_demand.session("two", dht=True, dht_bootstrap=["127.0.0.1:9"]) as session:
            waiting = asyncio.ensure_future(anext(session.follow(link), None))
            adding = asyncio.ensure_future(session.add(link))
            await asyncio.sleep(0.05)
            adding.cancel()
            with suppress(asyncio.CancelledError):
                await adding
            assert not waiting.done()
        assert await asyncio.wait_for(waiting, 20) is None
        assert session.torrents == ()

    on_demand.run(story)


def test_bep_0046_who_blocks_follows_a_key_until_the_session_is_closed(on_demand: Drivers) -> None:
    link = KeyLink(bytes(32))
    with on_demand.sync_session("one") as session:
        with pytest.raises(CommandError):
            next(session.follow(link))
        with pytest.raises(MagnetError):
            next(session.follow("magnet:?xt=urn:btih:" + "0" * 40))
    followed: list[KeyFollowed | None] = []
    with on_demand.sync_session("two", dht=True, dht_bootstrap=["127.0.0.1:9"]) as session:
        waiting = threading.Thread(target=lambda: followed.append(next(session.follow(link), None)))
        waiting.start()
    waiting.join(20)
    assert followed == [None]


def test_bep_0035_a_torrent_is_signed_when_it_is_made_and_by_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello")
    made = asyncio.run(
        create_torrent(tmp_path / "f", originator=CERTIFICATE, sign_key=KEY, sign_certificate=CERTIFICATE)
    )
    metainfo = Metainfo.parse(made)
    assert metainfo.signers == ("org.example.signer",)
    assert metainfo.is_signed_by(CERTIFICATE) and not metainfo.is_signed_by(OTHER) and not metainfo.is_signed_by(b"")
    assert metainfo.originator is not None and metainfo.is_signed_by(metainfo.originator), "it is kept in DER"
    assert Signer(KEY, CERTIFICATE).sign(made) == made, "a signature is replaced by its like"
    wrong: list[tuple[CreateOptions, str]] = [
        ({"sign_key": KEY, "sign_certificate": OTHER}, "sign_key"),
        ({"sign_key": CERTIFICATE, "sign_certificate": CERTIFICATE}, "sign_key"),
        ({"sign_key": KEY, "sign_certificate": KEY}, "sign_certificate"),
        ({"originator": KEY}, "originator"),
        ({"piece_length": 3}, "piece_length"),
    ]
    for options, to_blame in wrong:
        with pytest.raises(CreateError) as refused:
            asyncio.run(create_torrent(tmp_path / "f", **options))
        assert refused.value.option == to_blame
    with pytest.raises(TypeError):
        asyncio.run(create_torrent(tmp_path / "f", sign_key=KEY))


def test_bep_0039_a_newer_torrent_is_told_of_unless_they_are_not_looked_for(on_demand: Drivers) -> None:
    async def story() -> None:
        folder = on_demand.folder
        for name, size in (("one", 100_000), ("two", 90_000)):
            (folder / name).write_bytes(bytes(size))
        newer = await create_torrent(folder / "two", sign_key=KEY, sign_certificate=CERTIFICATE)
        server = HttpServer(files={"/feed": newer})
        url = f"{await server.start()}/feed"
        older = await create_torrent(folder / "one", update_url=url, originator=CERTIFICATE)
        assert Metainfo.parse(older).update_url == url
        async with on_demand.session("looks") as session, on_demand.session("doesn't", updates=False) as other:
            torrent, deaf = await session.add(older), await other.add(older)
            for one in (torrent, deaf):
                while one.state == "checking":
                    await asyncio.sleep(0.01)
            told = []
            events, others = torrent.events(), deaf.events()
            await torrent.check_update()
            await deaf.check_update()
            async with asyncio.timeout(20):
                async for event in events:
                    if isinstance(event, UpdateAvailable):
                        told.append(event)
                        break
            assert told == [UpdateAvailable(torrent.id, newer, True)]
            assert not any(isinstance(event, UpdateAvailable) for event in others.waiting())
            assert len(server.asked) == 1, "the other one didn't ask"
        server.stop()

    on_demand.run(story)


def test_a_session_says_where_it_keeps_things_and_looks_names_up(on_demand: Drivers) -> None:
    async def story() -> None:
        place = str(on_demand.folder / "state")
        async with on_demand.session("one", keep_resume=True, state_folder=place) as session:
            assert session.state_folder == Path(place) and session.warnings == ()
            assert await session.look_up("127.0.0.1", 7) == (("127.0.0.1", 7),)
            assert await session.look_up("[::1]", 7) == (("::1", 7),)
            assert ("127.0.0.1", 7) in await session.look_up("localhost", 7)
            with pytest.raises(OSError):
                await session.look_up("no-such-name.invalid", 7)
        async with on_demand.session("two") as session:
            assert session.state_folder is None

    on_demand.run(story)
