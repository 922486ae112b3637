"""What users give: ports, addresses, names of files, trackers; and what is said of those that can't be meant."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import Drivers, Thing, payload, thing, things

from millstream import (
    CommandError,
    CreateError,
    Metadata,
    Metainfo,
    NoSuchFile,
    OptionError,
    Session,
    SessionClosed,
    SessionSettings,
    StartError,
    create,
    create_torrent,
    download,
    sync,
)
from millstream._settings import Settings, meanings
from millstream.dht import Node


@contextmanager
def taken() -> Iterator[int]:
    """A port that somebody else has, over TCP and UDP, and the next ones aren't looked at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# ---- where to listen


def test_a_port_that_is_named_and_taken_is_an_error_that_names_it(on_demand: Drivers) -> None:
    async def story() -> None:
        with taken() as port:
            for listen in ([("127.0.0.1", port)], [f"127.0.0.1:{port}"], iter([("127.0.0.1", port)])):
                with pytest.raises(StartError) as caught:
                    await on_demand.session("one", listen=listen).start()
                told = str(caught.value)
                assert told.startswith(f"127.0.0.1:{port} can't be listened at: "), told
                assert re.search("in use.*another address in `listen`.*`listen_tries_max`", told), told
                assert isinstance(caught.value, OSError) and caught.value.setting == "listen"

    on_demand.run(story)


def test_who_blocks_hears_of_a_taken_port_too(on_demand: Drivers) -> None:
    with taken() as port, pytest.raises(StartError, match=f"^127.0.0.1:{port} can't be listened at"):
        on_demand.sync_session("one", listen=[("127.0.0.1", port)])


def test_ports_after_a_taken_one_are_tried_where_that_is_asked_for(on_demand: Drivers) -> None:
    async def story() -> None:
        with taken() as port:
            async with on_demand.session("one", listen=[("127.0.0.1", port)], listen_tries_max=50) as session:
                [(_, other)] = session.listening
                assert port < other <= port + 50

    on_demand.run(story)


def test_the_usual_port_is_left_for_the_next_free_one(on_demand: Drivers) -> None:
    async def story() -> None:
        settings = {name: value for name, value in on_demand.settings.items() if name != "listen"}
        folder = on_demand.folder
        async with Session(driver=on_demand.driver, folder=folder, **settings) as one:
            async with Session(driver=on_demand.driver, folder=folder, **settings) as other:
                ports = [{port for _, port in session.listening} for session in (one, other)]
        assert not ports[0] & ports[1] and all(6881 <= port <= 6881 + 20 for port in ports[0] | ports[1])

    on_demand.run(story)


# ---- addresses


def test_peers_are_given_as_text_too(drivers: Drivers) -> None:
    async def story() -> None:
        what = thing()
        async with drivers.session("seed") as seed, drivers.session("leech") as leech, drivers.session("two") as two:
            what.store(seed.folder)
            await (await seed.add(what.torrent)).wait_complete(timeout=30)
            [(host, port)] = seed.listening
            ours = await leech.add(what.torrent, peers=[f"{host}:{port}"], only_peers=True)
            await ours.wait_complete(timeout=30)
            later = await two.add(what.torrent)
            await later.add_peers(iter([f"{host}:{port}", f"[::1]:{port}"]))
            await later.wait_complete(timeout=30)

    drivers.run(story)


def test_a_peer_that_is_no_address_says_what_is_meant(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent = await session.add(thing().torrent, paused=True)
            other = things().torrent

            async def each(peers: Any) -> None:
                for call in (lambda: session.add(other, peers=peers), lambda: torrent.add_peers(peers)):
                    await call()
                    pytest.fail(f"{peers} was taken")

            for name in ("tracker.example:7501", ("tracker.example", 7501)):
                with pytest.raises(ValueError, match='\'?"tracker.example" is not an IP.*session.look_up'):
                    await each([name])
            for text in ("127.0.0.1", "::1:7501", "127.0.0.1:x", "127.0.0.1:70000", ""):
                with pytest.raises(ValueError, match=r"is no address: .*\[::1\]:6881"):
                    await each([text])
            with pytest.raises(TypeError, match="several addresses are wanted, not a text"):
                await each("127.0.0.1:7501")
            with pytest.raises(TypeError, match="an address is a tuple"):
                await each([7501])
            assert session.torrents == (torrent,)

    drivers.run(story)


def test_peers_in_text_are_remembered(on_demand: Drivers) -> None:
    async def story() -> None:
        kept = on_demand.folder / "kept"
        for count in (0, 1):
            async with on_demand.session("one", remember=kept) as session:
                assert len(session.torrents) == count
                if count == 0:
                    await session.add(thing().torrent, peers=["127.0.0.1:9"], paused=True)

    on_demand.run(story)


def test_a_node_of_the_dht_listens_at_an_address_in_text() -> None:
    async def story() -> None:
        async with Node(listen=["127.0.0.1:0"]) as node:
            assert node.listening[0][0] == "127.0.0.1"
        with pytest.raises(ValueError, match="not an IP address"):
            Node(listen=["localhost:0"])

    asyncio.run(story())


# ---- files


def test_files_that_are_wanted_are_given_by_name(drivers: Drivers) -> None:
    async def story() -> None:
        what = things()
        async with drivers.session("seed") as seed, drivers.session("leech") as leech:
            what.store(seed.folder)
            await (await seed.add(what.torrent)).wait_complete(timeout=30)
            ours = await leech.add(what.torrent, files=["second.bin"], peers=seed.listening)
            await ours.wait_complete(timeout=30)
            assert [file.is_complete for file in ours.files][:2] == [False, True]
        async with drivers.session("third") as third:
            ours = await third.add(what.torrent, priorities={"second.bin": "high"}, paused=True)
            assert await ours.priorities() == ("normal", "high", "normal")
            with pytest.raises(NoSuchFile):
                await third.add(thing().torrent, priorities={"second.bin": "high"})

    drivers.run(story)


def test_files_that_are_not_there_say_so_and_nothing_is_added(drivers: Drivers) -> None:
    async def story() -> None:
        torrent = things().torrent
        async with drivers.session("one") as session:
            with pytest.raises(NoSuchFile, match="no file 'a.zip'; there are 'things/first.bin', 'things/sub/second"):
                await session.add(torrent, files=["a.zip"])
            wrong: list[tuple[Any, str]] = [("first.bin", "several"), ([1.5], "not by 1.5"), (7, "several")]
            for files, words in wrong:
                with pytest.raises(TypeError, match=words):
                    await session.add(torrent, files=files)
            with pytest.raises(CommandError, match="magnet.*`files=\\[\\]`.*`select`"):
                await session.add("1" * 40, files=["first.bin"])
            assert session.torrents == ()

    drivers.run(story)


def test_ten_files_at_most_are_named_where_one_is_not_there(drivers: Drivers) -> None:
    async def story() -> None:
        many = create("box", {f"{n:02}.txt": b"x" for n in range(12)})
        async with drivers.session("one") as session:
            torrent = await session.add(many, paused=True)
            with pytest.raises(NoSuchFile, match="'box/09.txt' and 2 more") as caught:
                torrent.file("a.txt")
            assert "10.txt" not in str(caught.value)
            only = await session.add(thing().torrent, paused=True)
            with pytest.raises(LookupError, match="no file 3; there is 'thing.bin'"):
                only.file(3)

    drivers.run(story)


@pytest.mark.parametrize("kind", ["torrent", "magnet"])
def test_a_download_of_a_file_by_name_is_of_that_file(on_demand: Drivers, kind: str) -> None:
    async def story() -> None:
        files = {f"things/{name}.bin": payload(200_000, seed) for seed, name in enumerate(("one", "two", "three"))}
        torrent = create("things", {name.removeprefix("things/"): data for name, data in files.items()})
        what = Thing(torrent, files)
        magnet = f"magnet:?xt=urn:btih:{Metainfo.parse(torrent).info_hash.hex()}"
        source = torrent if kind == "torrent" else magnet
        async with on_demand.session("seed") as seed:
            what.store(seed.folder)
            await (await seed.add(torrent)).wait_complete(timeout=30)
            for name, folder in (("two.bin", "a"), ("none.bin", "b")):
                place = on_demand.folder / folder
                fetching = download(
                    source,
                    place,
                    files=[name],
                    peers=list(seed.listening),
                    only_peers=True,
                    driver=on_demand.driver,
                    **on_demand.settings,
                )
                if name == "none.bin":
                    with pytest.raises(NoSuchFile, match="things/three.bin"):
                        await fetching
                    continue
                await fetching
                assert (place / "things/two.bin").read_bytes() == files["things/two.bin"]
                one = place / "things/one.bin"
                assert not one.exists() or one.read_bytes()[:100_000] != files["things/one.bin"][:100_000]

    on_demand.run(story)


# ---- news


def test_metadata_is_told_once_whenever_one_begins_to_listen(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            for number in range(20):
                torrent = await session.add(create(f"{number}.bin", payload(1000, number)), only_peers=True)
                streams = [torrent.events()]
                await asyncio.sleep(0)
                streams.append(torrent.events())
                await torrent.remove()
                for events in streams:
                    told = [event async for event in events]
                    assert told.count(Metadata(torrent.id)) == 1, (number, told)

    drivers.run(story)


# ---- trackers of a torrent that is made


def test_trackers_in_a_flat_list_are_tiers_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    one, two, three = (f"http://{name}.example/announce" for name in ("a", "b", "c"))
    mixed: list[list[str] | str] = [one, [two, three]]

    async def made(trackers: Any) -> object:
        return Metainfo.parse(await create_torrent(tmp_path / "x", trackers=trackers)).trackers

    assert asyncio.run(made([one, two])) == ((one,), (two,))
    assert asyncio.run(made(mixed)) == ((one,), (two, three))
    assert Metainfo.parse(create("x", b"x", trackers=[one, two])).trackers == ((one,), (two,))


def test_a_tracker_that_is_no_url_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")

    def disk(trackers: Any) -> bytes:
        return sync.create_torrent(tmp_path / "x", trackers=trackers)

    def memory(trackers: Any) -> bytes:
        return create("x", b"x", trackers=trackers)

    for tracker in ("tracker", "://x", "http://", "http://a b", "http://a\n"):
        for trackers in ([tracker], [[tracker]]):
            for make in (disk, memory):
                with pytest.raises(CreateError, match="no URL of a tracker") as caught:
                    make(trackers)
                assert isinstance(caught.value, ValueError) and caught.value.option == "trackers"
    for wrong in ("http://a.example/announce", 7, [7]):
        with pytest.raises(TypeError, match="^trackers: "):
            disk(wrong)


# ---- help


@pytest.mark.parametrize("takes", [Session.__init__, sync.Session.__init__], ids=["Session", "sync.Session"])
def test_help_explains_every_setting(takes: Callable[..., None]) -> None:
    text = inspect.getdoc(takes) or ""
    said = meanings(SessionSettings, Settings)
    assert set(said) == set(SessionSettings.__annotations__)
    flat = " ".join(text.split())
    for name, meaning in said.items():
        assert f" {name}: {meaning}" in flat, name
    assert max(map(len, text.splitlines())) <= 100


def test_a_port_is_where_to_listen() -> None:
    make: Any = Session
    for name in ("port", "listen_port", "ports"):
        with pytest.raises(TypeError, match=f"no setting '{name}'; did you mean 'listen'\\?$"):
            make(**{name: 6881})


def test_a_session_that_was_not_started_says_how_it_is(drivers: Drivers) -> None:
    async def story() -> None:
        session = drivers.session("one")
        with pytest.raises(SessionClosed, match="hasn't started: use `async with`, or await its `start\\(\\)`"):
            await session.add(thing().torrent)
        await session.close()

    drivers.run(story)


def test_what_is_no_number_says_what_it_was_given_for(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one") as session:
            torrent: Any = await session.add(thing().torrent, paused=True)
            several: Any = session
            calls: list[tuple[str, Callable[[], Awaitable[object]]]] = [
                ("download", lambda: several.set_rates(download="1M")),
                ("upload", lambda: several.set_rates(upload=1.5)),
                ("download", lambda: torrent.set_rates(download="1M")),
                ("upload", lambda: torrent.set_rates(upload="1M")),
                ("timeout", lambda: torrent.metadata(timeout="x")),
                ("timeout", lambda: torrent.wait_complete(timeout=b"1")),
                ("timeout", lambda: several.close("x")),
                ("within", lambda: torrent.set_deadline(0, 1, "x")),
            ]
            for name, call in calls:
                with pytest.raises(TypeError, match=f"^{name}: "):
                    await call()
            if drivers.name != "memory":
                with pytest.raises(OptionError, match="^download: "):
                    await several.set_rates(download=-1)

    drivers.run(story)
