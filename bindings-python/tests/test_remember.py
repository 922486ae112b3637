"""A session that remembers: its torrents come back, as they were told to be."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import Drivers, thing, things
from test_cancel import each, quiet, settled

from millstream import Checked, DuplicateTorrent, Session, StartError


def told(session: Session) -> list[tuple[str, str]]:
    """Its torrents, and what they do."""
    return [(torrent.info_hash, torrent.state) for torrent in session.torrents]


def records(folder: Path) -> list[str]:
    """The files of torrents."""
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".kept")


def test_torrents_come_back_in_order_as_they_were_told_to_be(drivers: Drivers) -> None:
    async def story() -> None:
        kept = drivers.folder / "kept"
        what, magnet = things(), "a" * 40
        async with drivers.session("one", remember=kept) as session:
            gone = await session.add("b" * 40, only_peers=True)
            await session.add(magnet, only_peers=True, folder=drivers.folder / "elsewhere", peers=iter([]))
            torrent = await session.add(what.torrent, only_peers=True)
            await torrent.metadata()
            await torrent.select(["second.bin"])
            await torrent.set_rates(download=1000, upload=2000)
            await torrent.set_sequential(True)
            await torrent.pause()
            await gone.remove()
            before = [torrent.info_hash for torrent in session.torrents]
        assert records(kept) == sorted(f"{name}.kept" for name in before)
        async with drivers.session("two", remember=kept) as session:
            assert [torrent.info_hash for torrent in session.torrents] == before
            first, second = session.torrents
            assert first.folder == drivers.folder / "elsewhere" and second.folder == drivers.folder / "one"
            assert await second.metadata() == torrent.metainfo
            assert second.state == "paused" and second._record is not None
            assert second._record.options.get("files") == [1] and second._record.options.get("download_rate") == 1000
            with pytest.raises(DuplicateTorrent):
                await session.add(what.torrent)
            await second.resume()
            await first.remove()
        async with drivers.session("three", remember=kept) as session:
            [torrent] = session.torrents
            assert torrent.state != "paused"
            await torrent.remove()
        assert records(kept) == []

    drivers.run(story)


def test_what_is_selected_is_what_is_fetched_when_it_comes_back(on_demand: Drivers) -> None:
    async def story() -> None:
        what, kept = things(), on_demand.folder / "kept"
        async with on_demand.session("seed") as seed:
            what.store(seed.folder)
            await (await seed.add(what.torrent)).wait_complete(timeout=30)
            async with on_demand.session("leech", remember=kept) as session:
                await session.add(what.torrent, files=[1], only_peers=True, peers=seed.listening, paused=True)
            async with on_demand.session("leech", remember=kept) as session:
                [torrent] = session.torrents
                await torrent.resume()
                await torrent.wait_complete(timeout=30)
                first, second, _ = torrent.files
                assert second.is_complete and not first.is_complete

    on_demand.run(story)


def test_only_one_session_at_a_time_has_the_folder(drivers: Drivers) -> None:
    async def story() -> None:
        kept = drivers.folder / "kept"
        async with drivers.session("one", remember=kept):
            other = drivers.session("two", remember=kept)
            with pytest.raises(StartError, match="another session"):
                await other.start()
            assert not other.is_open
        async with drivers.session("three", remember=kept):
            pass
        (drivers.folder / "file").write_text("no folder")
        with pytest.raises(StartError):
            await drivers.session("four", remember=drivers.folder / "file").start()

    drivers.run(story)


WORTHLESS = ["", "{}", "[1]", "\xff", "[" * 100_000, '{"format": "9"}', '{"format": 1, "magnet": 5}']


@pytest.mark.parametrize("damage", WORTHLESS)
def test_a_record_that_is_damaged_is_set_aside_with_a_warning_and_the_others_come_back(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    drivers = Drivers("memory", tmp_path)

    async def story() -> None:
        kept = tmp_path / "kept"
        async with drivers.session("one", remember=kept) as session:
            await session.add("a" * 40, only_peers=True)
        (kept / "bad.kept").write_text(damage, encoding="latin-1")
        with caplog.at_level(logging.WARNING, "millstream"):
            for _ in range(2):
                async with drivers.session("one", remember=kept) as session:
                    assert [torrent.info_hash for torrent in session.torrents] == ["a" * 40]
        told = [record.message for record in caplog.records if "bad.kept" in record.message]
        assert len(told) == 1 and "bad.damaged" in told[0], "once"
        assert (kept / "bad.damaged").read_text(encoding="latin-1") == damage
        assert not (kept / "bad.kept").exists()

    drivers.run(story)


def test_whatever_a_record_says_the_others_come_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drivers, kept = Drivers("memory", tmp_path), tmp_path / "kept"
    nasty = [
        "null",
        "-1",
        "1e999",
        "NaN",
        "9" * 400,
        '"\\ud800"',
        '"\\u0000"',
        "[[]]",
        '{"x": {}}',
        "[" * 5000 + "]" * 5000,
    ]
    whole = {
        "number": "1",
        "folder": json.dumps(str(tmp_path)),
        "magnet": f'"magnet:?xt=urn:btih:{"b" * 40}"',
        "options": '{"paused": true}',
        "web_seeds": "[]",
    }

    async def story() -> None:
        async with drivers.session("one", remember=kept) as session:
            await session.add("a" * 40, only_peers=True)
        count = 0
        for field in [*whole, "torrent", "files", "peers", "download_rate", "trackers"]:
            for value in nasty:
                record = {**whole, field: value}
                if field not in whole and field != "torrent":
                    record = {**whole, "options": f'{{"{field}": {value}}}'}
                if field == "torrent":
                    del record["magnet"]
                text = ", ".join(f'"{name}": {said}' for name, said in record.items())
                (kept / f"bad{count}.kept").write_text(f'{{"format": 1, {text}}}')
                count += 1
        with caplog.at_level(logging.WARNING, "millstream"):
            async with drivers.session("one", remember=kept) as session:
                assert "a" * 40 in [torrent.info_hash for torrent in session.torrents]
        gone = [path for path in kept.iterdir() if path.suffix == ".damaged"]
        assert len(gone) > count / 2, "most of them make no sense"
        assert all(path.with_suffix(".kept").name in caplog.text for path in gone)

    drivers.run(story)


def test_what_is_no_file_or_too_long_is_set_aside_and_in_nobodys_way(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millstream._catalogue.RECORD_BYTES_MAX", 1 << 20)

    async def story() -> None:
        kept = drivers.folder / "kept"
        (kept / f"{'a' * 40}.kept").mkdir(parents=True)
        os.mkfifo(kept / f"{'b' * 40}.kept")
        with (kept / f"{'c' * 40}.kept").open("wb") as file:
            file.truncate(1 << 40)
        with caplog.at_level(logging.WARNING, "millstream"):
            async with drivers.session("one", remember=kept) as session:
                assert session.torrents == ()
                for digit in "abc":
                    await session.add(digit * 40, only_peers=True)
                with pytest.raises(OSError, match="too long"):
                    await session.add("d" * 40, only_peers=True, peers=[("127.0.0.1", 1)] * 60_000)
        assert sorted(path.stem[0] for path in kept.iterdir() if path.suffix == ".damaged") == ["a", "b", "c"]
        assert all(f"{digit * 40}.damaged" in caplog.text for digit in "abc")
        async with drivers.session("one", remember=kept) as session:
            assert [torrent.info_hash[0] for torrent in session.torrents] == ["a", "b", "c"]

    drivers.run(story)


def test_what_another_version_kept_or_cannot_be_read_now_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drivers = Drivers("memory", tmp_path)

    async def story() -> None:
        kept = tmp_path / "kept"
        kept.mkdir()
        later, closed = kept / "later.kept", kept / "closed.kept"
        later.write_text('{"format": 9, "magnet": "of the future"}')
        # who is root reads everything, but not what leads to itself
        closed.symlink_to(closed)
        with caplog.at_level(logging.WARNING, "millstream"):
            async with drivers.session("one", remember=kept) as session:
                assert session.torrents == ()
        assert "its format is 9, and 1 is known" in caplog.text
        assert later.name in caplog.text and closed.name in caplog.text
        assert later.exists() and closed.is_symlink() and not list(kept.glob("*.damaged"))

    drivers.run(story)


def test_an_add_that_cannot_be_kept_is_refused(drivers: Drivers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        kept = drivers.folder / "kept"
        async with drivers.session("one", remember=kept) as session:
            with monkeypatch.context() as patch:

                def full(_: int) -> None:
                    raise OSError(28, "no space left")

                patch.setattr(os, "fsync", full)
                with pytest.raises(OSError, match="no space left"):
                    await session.add("a" * 40, only_peers=True)
                assert session.torrents == () and list(kept.glob("*.part")) == []
            torrent = await session.add("a" * 40, only_peers=True)
            with monkeypatch.context() as patch:
                patch.setattr(os, "fsync", full)
                await torrent.pause()
            assert torrent.state == "paused", "it does as it was told"

    drivers.run(story)


@pytest.mark.parametrize("answered", [False, True])
def test_an_add_that_is_cancelled_is_not_kept(drivers: Drivers, answered: bool) -> None:
    async def story() -> None:
        kept = drivers.folder / "kept"
        async with drivers.session("one", remember=kept) as session:
            mine = asyncio.all_tasks()

            async def after() -> None:
                await quiet(mine)
                assert len(records(kept)) == len(session.torrents)
                for torrent in session.torrents:
                    await torrent.remove()
                assert records(kept) == []

            assert await each(lambda: session.add(thing().torrent, only_peers=True), answered, after) >= 2

    drivers.run(story)


@pytest.mark.parametrize("answered", [False, True])
def test_a_torrent_whose_removal_was_cancelled_leaves_and_does_not_come_back(drivers: Drivers, answered: bool) -> None:
    async def story() -> None:
        kept = drivers.folder / "kept"
        async with drivers.session("one", remember=kept) as session:
            leaving = set[int]()

            async def removing() -> None:
                torrent = await session.add(thing().torrent, only_peers=True)
                leaving.add(torrent.id)
                await torrent.remove()

            async def after() -> None:
                # one that was told to leave goes on leaving, though nobody waits for that
                for torrent in session.torrents:
                    if torrent.id not in leaving:
                        await torrent.remove()
                await settled(lambda: not session.torrents, lambda: f"{session.torrents} doesn't leave")
                await settled(lambda: not records(kept), lambda: "it would come back")

            assert await each(removing, answered, after) >= 3

    drivers.run(story)


@pytest.mark.parametrize("answered", [False, True])
def test_a_start_that_is_cancelled_gives_the_folder_back(drivers: Drivers, answered: bool) -> None:
    async def story() -> None:
        kept = drivers.folder / "kept"
        async with drivers.session("one", remember=kept) as session:
            await session.add("a" * 40, only_peers=True)
        mine = asyncio.all_tasks()

        async def starting() -> None:
            async with drivers.session("one", remember=kept) as session:
                assert len(session.torrents) == 1

        async def after() -> None:
            await quiet(mine)
            await starting()

        assert await each(starting, answered, after) >= 2

    drivers.run(story)


def test_news_of_a_torrent_comes_when_somebody_has_it(drivers: Drivers) -> None:
    async def story() -> None:
        async with drivers.session("one", remember=drivers.folder / "kept") as session:
            events, seen = session.events(), set[type]()
            adding = asyncio.ensure_future(session.add(thing().torrent, only_peers=True))
            while Checked not in seen:
                for event in await events.take(10):
                    seen.add(type(event))
                    if (torrent := getattr(event, "torrent", None)) is not None:
                        assert session.torrent(torrent).name == "thing.bin", f"{event} is of nobody"
            assert await adding in session.torrents and not session._early

    drivers.run(story)


def test_who_blocks_has_its_torrents_again_too(blocking: Drivers) -> None:
    settings: dict[str, Any] = {"remember": blocking.folder / "kept"}
    with blocking.sync_session("one", **settings) as session:
        session.add("c" * 40, only_peers=True).pause()
    with blocking.sync_session("one", **settings) as session:
        [torrent] = session.torrents
        assert (torrent.info_hash, torrent.state) == ("c" * 40, "paused")
