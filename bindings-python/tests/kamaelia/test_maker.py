"""TorrentMaker: files into .torrent files, one answer for each request."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millstream import Metainfo
from millstream.kamaelia._axon import producerFinished
from millstream.kamaelia.ipc import TIPCTorrentError
from millstream.kamaelia.TorrentIPC import TIPCMakeTorrent, TIPCTorrentStartFail
from millstream.kamaelia.TorrentMaker import TorrentMaker

from .stage import Script, ended, play, until

if TYPE_CHECKING:
    from millstream.kamaelia._axon import Main

TRACKER = "http://127.0.0.1:1/announce"


def made(requests: list[Any], maker: TorrentMaker | None = None) -> list[Any]:
    """The answers to these requests."""

    def script(me: Script) -> Main:
        for request in requests:
            me.send(request)
        me.send("what is this", "signal")
        yield until(lambda: len(me.got) == len(requests), "an answer to each")
        yield from ended(me)

    (me,) = play((maker or TorrentMaker(TRACKER), script))
    return me.got


def request(**changes: Any) -> TIPCMakeTorrent:
    values = {
        "trackerurl": TRACKER,
        "log2piecesizebytes": 15,
        "title": "A song",
        "comment": "ours",
        "srcfile": "song.ogg",
    }
    return TIPCMakeTorrent(**{**values, **changes})


def test_a_path_makes_a_v1_torrent_of_one_file(folder: Path) -> None:
    data = bytes(range(256)) * 2000
    (folder / "song.ogg").write_bytes(data)
    (raw,) = made(["./song.ogg"])
    metainfo = Metainfo.parse(raw)
    assert (metainfo.name, metainfo.version, metainfo.multi_file, metainfo.length) == (
        "song.ogg",
        "v1",
        False,
        len(data),
    )
    assert (metainfo.trackers, metainfo.comment, metainfo.piece_length) == (
        ((TRACKER,),),
        "Created by Kamaelia",
        1 << 18,
    )
    pieces = b"".join(hashlib.sha1(data[at : at + (1 << 18)]).digest() for at in range(0, len(data), 1 << 18))
    assert b"6:pieces%d:%b" % (len(pieces), pieces) in metainfo.info_bytes


def test_a_title_is_for_people_and_leaves_the_files_name(folder: Path) -> None:
    (folder / "song.ogg").write_bytes(b"x" * 40_000)
    (raw,) = made([request()])
    metainfo = Metainfo.parse(raw)
    assert (metainfo.name, metainfo.comment, metainfo.pieces) == ("song.ogg", "ours", 2)
    assert raw.endswith(b"5:title6:A songe")


@pytest.mark.parametrize("version", ["v1", "v2", "hybrid"])
def test_every_version_can_be_made(folder: Path, version: Any) -> None:
    (folder / "song.ogg").write_bytes(b"x" * 70_000)
    (raw,) = made([request()], TorrentMaker(version=version))
    assert Metainfo.parse(raw).version == version


def test_what_cannot_be_made_leaves_its_place_empty(folder: Path) -> None:
    (folder / "song.ogg").write_bytes(b"x" * 40_000)
    (folder / "empty").write_bytes(b"")
    bad = [
        "missing",
        "empty",
        ".",
        "bad\0name",
        None,
        42,
        b"song.ogg",
        TIPCTorrentStartFail(),
        request(log2piecesizebytes="18"),
        request(log2piecesizebytes=90),
        request(srcfile=None),
        request(title=["x"]),
    ]
    got = made([*bad, request()])
    assert got[:-1] == [b""] * len(bad)
    assert Metainfo.parse(got[-1]).name == "song.ogg"
    errors = made(bad, TorrentMaker(extended=True))
    assert all(isinstance(error, TIPCTorrentError) and error.torrentid is None and error.message for error in errors)


def test_a_finished_source_has_all_its_requests_answered(folder: Path) -> None:
    (folder / "song.ogg").write_bytes(b"x" * 40_000)

    def script(me: Script) -> Main:
        for _ in range(3):
            me.send("song.ogg")
        me.send(producerFinished(), "signal")
        yield until(lambda: me.signals, "its end")

    (me,) = play((TorrentMaker(), script))
    assert [Metainfo.parse(raw).name for raw in me.got] == ["song.ogg"] * 3
