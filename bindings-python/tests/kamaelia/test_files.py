"""RandomAccessFileManager: files at any place, behind boxes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream.kamaelia._axon import producerFinished
from millstream.kamaelia.RandomAccessFileManager import (
    Allocate,
    Close,
    Done,
    RandomAccessFileManager,
    Read,
    Rename,
    Sync,
    Write,
)

from .stage import Script, ended, play, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main


def done(requests: list[Any], files: RandomAccessFileManager | None = None) -> list[Done]:
    """The answers to these requests."""

    def script(me: Script) -> Main:
        for request in requests:
            me.send(request)
        yield until(lambda: len(me.got) >= len(requests), "an answer to each")
        yield from ended(me)

    (me,) = play((files or RandomAccessFileManager(), script))
    assert all(isinstance(answer, Done) for answer in me.got)
    return me.got


def test_what_was_written_anywhere_is_read_back_in_the_order_of_asking(folder: Path) -> None:
    answers = done(
        [
            Write(1, "a/deep/file", 5, b"world"),
            Read(2, "a/deep/file", 0, 100),
            Write(3, "a/deep/file", 0, memoryview(bytearray(b"hello"))),
            Sync(4, "a/deep/file"),
            Read(("any", "token"), "a/deep/file", 3, 4),
            Read(6, "a/deep/file", 99, 4),
        ],
        RandomAccessFileManager(folder),
    )
    assert [answer.token for answer in answers] == [1, 2, 3, 4, ("any", "token"), 6]
    assert [answer.data for answer in answers] == [None, b"\0" * 5 + b"world", None, None, b"lowo", b""]
    assert all(answer.error is None for answer in answers)


def test_room_is_made_sparse_or_full_and_never_taken_away(folder: Path) -> None:
    size = 4 << 20
    answers = done(
        [
            Write(0, "sparse", 0, b"kept"),
            Allocate(1, "sparse", size),
            Allocate(2, "full", size, "full"),
            Allocate(3, "sparse", 10),
            Read(4, "sparse", 0, 4),
        ]
    )
    assert [answer.error for answer in answers] == [None] * 5 and answers[4].data == b"kept"
    sparse, full = (folder / "sparse").stat(), (folder / "full").stat()
    assert (sparse.st_size, full.st_size) == (size, size)
    assert full.st_blocks * 512 >= size > sparse.st_blocks * 512


def test_a_file_gets_another_name_in_the_place_of_what_was_there(folder: Path) -> None:
    answers = done(
        [
            Write(1, "old", 0, b"new data"),
            Write(2, "there", 0, b"x" * 100),
            Rename(3, "old", "there"),
            Read(4, "there", 0, 100),
            Read(5, "old", 0, 1),
            Close(6, "there"),
            Close(7, "never opened"),
            Rename(8, "missing", "x"),
        ]
    )
    assert answers[3].data == b"new data"
    assert isinstance(answers[4].error, FileNotFoundError) and isinstance(answers[7].error, FileNotFoundError)
    assert not answers[5].error and not answers[6].error
    assert not (folder / "old").exists()


def test_few_files_are_open_whatever_number_is_used_and_none_in_the_end(folder: Path) -> None:
    files = RandomAccessFileManager(open_files_max=3)
    most = 0

    def script(me: Script) -> Main:
        nonlocal most
        for number in range(20):
            me.send(Write(number, f"file{number % 7}", number, b"x"))
            yield until(lambda: len(me.got) > number, "an answer")
            most = max(most, files.open_files)
        yield from ended(me)

    (me,) = play((files, script))
    assert all(answer.error is None for answer in me.got)
    assert (most, files.open_files) == (3, 0)


@pytest.mark.parametrize(
    "path", ["../out", "/etc/hostname", "a/../../out", "link/file", "link", "", ".", "nul\0", "a/../b"]
)
def test_no_path_leads_out_of_the_folder(folder: Path, path: str) -> None:
    root = folder / "root"
    (root / "a").mkdir(parents=True)
    (root / "link").symlink_to(folder)
    (folder / "file").write_bytes(b"secret")
    requests = [Read(1, path, 0, 4), Write(2, path, 0, b"x"), Rename(3, path, "b"), Allocate(4, path, 9), Sync(5, path)]
    for answer in done(requests, RandomAccessFileManager(root)):
        assert answer.data is None and isinstance(answer.error, ValueError)
    assert (folder / "file").read_bytes() == b"secret" and not (folder / "out").exists()
    assert sorted(entry.name for entry in root.iterdir()) == ["a", "link"]


def test_a_pipe_or_a_folder_is_no_file(folder: Path) -> None:
    os.mkfifo("pipe")
    (folder / "folder").mkdir()
    on_folder = [Read(1, "folder", 0, 1), Write(2, "folder", 0, b"x")]
    answers = done([*on_folder, Write(3, "pipe", 0, b"x"), Read(4, "pipe", 0, 1)])
    assert all(answer.error is not None for answer in answers)


def test_garbage_is_answered_and_harms_nobody(folder: Path) -> None:
    class Sly:
        @property
        def token(self) -> int:
            return 5

    wrong: list[Any] = [
        None,
        42,
        b"bytes",
        {"token": 1},
        Read,
        Sly(),
        Read(7, None, 0, 1),  # type: ignore[arg-type]
        Read(8, b"file", 0, 1),  # type: ignore[arg-type]
        Read(9, "file", -1, 1),
        Read(10, "file", 0, 1 << 62),
        Read(11, "file", "0", 1),  # type: ignore[arg-type]
        Write(12, "file", 0, "text"),  # type: ignore[arg-type]
        Write(13, "file", 1 << 80, b""),
        Allocate(14, "file", -1),
        Allocate(15, "file", 1, "quickly"),  # type: ignore[arg-type]
        Rename(16, "file", None),  # type: ignore[arg-type]
        Close(17, 3),  # type: ignore[arg-type]
        Sync(18, "not there"),
        Read(19, "n" * 5000, 0, 1),
    ]
    answers = done([*wrong, Write("end", "fine", 0, b"x")])
    assert [answer.error is None for answer in answers] == [False] * len(wrong) + [True]
    assert [answer.token for answer in answers[6:-1]] == list(range(7, 20)) and answers[5].token == 5
    assert isinstance(answers[-2].error, OSError) and answers[-2].error.errno == errno.ENAMETOOLONG
    assert not (folder / "not there").exists()


def test_a_slow_reader_loses_no_answer_and_a_finished_source_has_all(folder: Path) -> None:
    count = 2500

    def script(me: Script) -> Main:
        for number in range(count):
            me.send(Write(number, "file", number, b"x"))
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    (me,) = play((RandomAccessFileManager(), script), deadline=60)
    assert [answer.token for answer in me.got] == list(range(count))
    assert (folder / "file").read_bytes() == b"x" * count
