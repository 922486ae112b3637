"""What was saved and is of no use at the next start, over every driver that saves: it is set aside with a warning, is
never trusted, and stops nothing. What a session remembers of its torrents is `test_remember`'s."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drivers_stage import PIECE, Drivers, payload, things

from millstream import Checked, StartError
from millstream._millstream import TrackerServer
from millstream.sansio import DhtNode

Spoil = Callable[[Path], None]

NOBODY: dict[str, Any] = {"dht": True, "dht_bootstrap": ["127.0.0.1:1"]}


def empty(path: Path) -> None:
    """Nothing was written of it."""
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """Half of it was written."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    """One bit is another."""
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)


def garbage(path: Path) -> None:
    """Somebody else's bytes."""
    path.write_bytes(payload(5000))


def later(path: Path) -> None:
    """Another version wrote it, and its sum is right."""
    data = path.read_bytes()
    if data.startswith(b"millstream tracker\n"):
        body, digest = bytearray(data[:-20]), hashlib.sha1
        body[19] = 9
    else:
        body, digest = bytearray(data[:-32].replace(b"7:versioni1e", b"7:versioni9e")), hashlib.sha256
        if data.startswith(b"millstream dht\n"):
            body[15] = 9
    assert body != data[: len(body)]
    path.write_bytes(body + digest(body).digest())


def endless(path: Path) -> None:
    """More than fits anywhere; it takes no space."""
    os.truncate(path, 1 << 40)


def folder(path: Path) -> None:
    """No file."""
    path.unlink()
    path.mkdir()
    (path / "inside").touch()


def pipe(path: Path) -> None:
    """Whoever opens it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    """Who is root reads everything, but not what leads to itself."""
    path.unlink()
    path.symlink_to(path)


DAMAGED = [empty, cut, flipped, garbage, later]
UNREAD = [endless, folder, pipe, unreadable]


@pytest.mark.parametrize("spoil", [*DAMAGED, *UNREAD])
def test_a_dht_table_that_is_of_no_use_is_set_aside_with_a_warning(
    on_demand: Drivers, spoil: Spoil, caplog: pytest.LogCaptureFixture
) -> None:
    kept = on_demand.folder / "kept"
    table, aside = kept / "dht.table", kept / "dht.damaged"

    async def begin() -> tuple[str, ...]:
        async with on_demand.session("one", keep_resume=True, state_folder=kept, **NOBODY) as session:
            return session.warnings

    async def story() -> None:
        kept.mkdir()
        table.write_bytes(DhtNode(1).save())
        assert await begin() == ()
        assert not caplog.records, "it is as it was written"
        table.write_bytes(DhtNode(1).save())
        spoil(table)
        there = os.lstat(table)
        (warning,) = await begin()
        assert str(table) in warning and str(aside) in warning
        assert [record.message for record in caplog.records] == [warning], "once"
        assert os.lstat(aside).st_ino == there.st_ino, "it is that very one"
        assert await begin() == ()

    with caplog.at_level(logging.WARNING, "millstream"):
        on_demand.run(story)


@pytest.mark.parametrize("spoil", [*DAMAGED, *UNREAD])
def test_resume_data_that_is_of_no_use_is_told_and_all_is_checked(
    on_demand: Drivers, spoil: Spoil, caplog: pytest.LogCaptureFixture
) -> None:
    kept, what = on_demand.folder / "kept", things()

    async def begin() -> int:
        """How many bytes it takes for verified."""
        async with on_demand.session("one", keep_resume=True, state_folder=kept) as session:
            events = session.events()
            torrent = await session.add(what.torrent, only_peers=True)
            async for event in events:
                if isinstance(event, Checked):
                    return torrent.stats.verified
        raise AssertionError("it ended")

    async def story() -> None:
        what.store(on_demand.folder / "one")
        whole = await begin()
        assert whole == sum(map(len, what.files.values()))
        # a lie that only who reads it all finds
        place = on_demand.folder / "one" / "things" / "first.bin"
        before = place.stat()
        with place.open("r+b") as file:
            first = file.read(1)[0]
            file.seek(0)
            file.write(bytes([first ^ 1]))
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert await begin() == whole, "it is believed"
        assert not caplog.records
        (saved,) = kept.glob("*.resume")
        spoil(saved)
        assert await begin() == whole - PIECE, "it isn't believed"
        (told,) = caplog.records
        assert "resume data" in told.message
        aside = saved.with_suffix(".damaged")
        assert os.path.lexists(aside)
        if spoil in UNREAD:
            assert str(aside) in told.message
        assert await begin() == whole - PIECE
        assert len(caplog.records) == 1, "it was written anew"

    with caplog.at_level(logging.WARNING, "millstream"):
        on_demand.run(story)


def test_what_cannot_be_kept_is_told(on_demand: Drivers, caplog: pytest.LogCaptureFixture) -> None:
    kept = on_demand.folder / "kept"

    async def story() -> None:
        # where it would be written first
        (kept / "dht.part").mkdir(parents=True)
        async with on_demand.session("one", keep_resume=True, state_folder=kept, **NOBODY):
            pass
        assert "kept" in caplog.text and "dht.table" in caplog.text

    with caplog.at_level(logging.WARNING, "millstream"):
        on_demand.run(story)


@pytest.mark.parametrize("spoil", [*DAMAGED, endless])
def test_a_trackers_state_that_is_damaged_is_set_aside_with_a_warning(tmp_path: Path, spoil: Spoil) -> None:
    state, aside = tmp_path / "state", tmp_path / "state.damaged"

    def begin() -> str | None:
        server = TrackerServer(udp=[("127.0.0.1", 0)], workers=1, state=state)
        server.close()
        return server.warning()

    assert begin() is None and begin() is None
    spoil(state)
    inode = state.stat().st_ino
    warning = begin()
    assert warning is not None and str(state) in warning and str(aside) in warning
    assert aside.stat().st_ino == inode
    assert begin() is None, "it has begun anew"


@pytest.mark.parametrize("spoil", [folder, unreadable])
def test_where_no_state_can_be_kept_no_tracker_begins_and_nothing_is_moved(tmp_path: Path, spoil: Spoil) -> None:
    # what the user named may be somebody's folder
    state = tmp_path / "state"
    state.touch()
    spoil(state)
    with pytest.raises(StartError, match=str(state)):
        TrackerServer(udp=[("127.0.0.1", 0)], workers=1, state=state)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
