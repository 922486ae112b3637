"""What a known teaching engine got wrong, each as a story of ours; and what its ancestor's tests asked of every
download."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from memory import Host, World

from millstream import Metainfo, MetainfoError, MillstreamError, Session, create
from millstream.sansio import (
    Banned,
    Completed,
    Connect,
    Engine,
    Event,
    Failed,
    Http,
    HttpAnswer,
    Job,
    Outcome,
    PieceVerified,
    TorrentFailed,
    Work,
    Write,
)

PIECE = 32 * 1024
BLOCK = 16 * 1024
CHOKE, UNCHOKE, INTERESTED, HAVE, BITFIELD, REQUEST, BLOCK_MESSAGE = 0, 1, 2, 4, 5, 6, 7


def payload(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


def told(host: Host, kind: type[Event]) -> list[Event]:
    return [event for event in host.events if isinstance(event, kind)]


def message(kind: int, body: bytes = b"") -> bytes:
    return (len(body) + 1).to_bytes(4, "big") + bytes([kind]) + body


class Stranger:
    """A peer of few words, who has all of a one-file torrent and says only what the first protocol has (BEP 3)."""

    def __init__(self, world: World, host: Host, torrent: bytes, data: bytes) -> None:
        self.world, self.host, self.data = world, host, data
        self.metainfo = Metainfo.parse(torrent)
        self.engine = self
        self.buffer = b""
        self.shaken = self.gone = False
        self.requests: list[tuple[int, int, int]] = []
        remote = ("10.9.9.9", 5000 + len(host.ends))
        self.conn = host.engine.accept(world.now, 1, host.address, remote)
        host.ends[self.conn] = cast(Any, (self, 0))
        self.send(self.handshake())

    def handshake(self) -> bytes:
        return b"\x13BitTorrent protocol" + bytes(8) + (self.metainfo.info_hash_v1 or b"") + b"-XX0000-strangerpeer"

    def bitfield(self) -> bytes:
        bits = "1" * self.metainfo.pieces
        return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")

    def send(self, data: bytes) -> None:
        self.host.engine.handle_received(self.world.now, self.conn, data)

    def handle_received(self, _: float, __: int, data: bytes) -> None:
        self.buffer += data
        if not self.shaken and len(self.buffer) >= 68:
            self.shaken, self.buffer = True, self.buffer[68:]
            self.greet()
        while self.shaken and len(self.buffer) >= 4:
            length = int.from_bytes(self.buffer[:4], "big")
            if len(self.buffer) < 4 + length:
                return
            said, self.buffer = self.buffer[4 : 4 + length], self.buffer[4 + length :]
            if said:
                self.hear(said[0], said[1:])

    def closed(self, *_: object) -> None:
        self.gone = True

    def greet(self) -> None:
        self.send(message(BITFIELD, self.bitfield()))

    def hear(self, kind: int, body: bytes) -> None:
        if kind == INTERESTED:
            self.send(message(UNCHOKE))
        elif kind == REQUEST:
            index, begin, length = (int.from_bytes(body[at : at + 4], "big") for at in (0, 4, 8))
            self.requests.append((index, begin, length))
            self.answer(index, begin, length)

    def answer(self, index: int, begin: int, length: int) -> None:
        start = index * self.metainfo.piece_length + begin
        head = index.to_bytes(4, "big") + begin.to_bytes(4, "big")
        self.send(message(BLOCK_MESSAGE, head + self.data[start : start + length]))


def download_from(kind: type[Stranger], size: int = 5 * PIECE + 77) -> tuple[Stranger, Host]:
    """A leech gets it all from such a stranger."""
    data = payload(size)
    torrent = create("thing", data, version="v1", piece_length=PIECE)
    world = World()
    leech = world.host()
    ours = leech.engine.add_torrent(0, torrent, "anywhere")
    world.run(lambda: bool(leech.disk.paths) and not leech.drain())
    stranger = kind(world, leech, torrent, data)
    world.run(lambda: Completed(ours) in leech.events)
    assert leech.disk.files["thing"] == data
    return stranger, leech


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK + 1, PIECE, PIECE + 1, 3 * PIECE - 1, 3 * PIECE + BLOCK + 5])
def test_a_last_piece_and_a_last_block_that_are_short_end_a_download(size: int) -> None:
    stranger, _ = download_from(Stranger, size)
    assert max(begin + index * PIECE + length for index, begin, length in stranger.requests) == size


def test_messages_that_come_byte_by_byte_are_understood() -> None:
    class Slow(Stranger):
        def send(self, data: bytes) -> None:
            for byte in data:
                super().send(bytes([byte]))

    download_from(Slow, PIECE + 9)


def test_pieces_that_are_told_by_have_are_fetched() -> None:
    class Late(Stranger):
        def greet(self) -> None:
            for piece in range(self.metainfo.pieces):
                self.send(message(HAVE, piece.to_bytes(4, "big")))

    download_from(Late)


def test_a_choke_ends_the_requests_until_the_unchoke() -> None:
    class Moody(Stranger):
        choking = False
        asked_while_choking = 0

        def answer(self, index: int, begin: int, length: int) -> None:
            if self.choking:
                self.asked_while_choking += 1
            elif len(self.requests) == 4:
                # what was asked before is dropped with it
                self.choking = True
                self.send(message(CHOKE))
            else:
                super().answer(index, begin, length)

    data = payload(40 * PIECE)
    torrent = create("thing", data, version="v1", piece_length=PIECE)
    world = World()
    leech = world.host()
    ours = leech.engine.add_torrent(0, torrent, "anywhere")
    world.run(lambda: bool(leech.disk.paths) and not leech.drain())
    moody = Moody(world, leech, torrent, data)
    world.run(lambda: moody.choking)
    leech.drain()
    moody.asked_while_choking = 0
    end = world.now + 20
    leech.engine.handle_timeout(world.now)
    while world.now < end:
        world.now += 1.0
        leech.engine.handle_timeout(world.now)
        leech.drain()
    assert moody.asked_while_choking == 0 and not moody.gone
    moody.choking = False
    moody.send(message(UNCHOKE))
    world.run(lambda: Completed(ours) in leech.events)
    assert leech.disk.files["thing"] == data


def test_keep_alives_between_messages_are_no_messages() -> None:
    class Lively(Stranger):
        def send(self, data: bytes) -> None:
            super().send((bytes(8) if self.shaken else b"") + data)

    download_from(Lively)


def test_a_handshake_about_another_torrent_ends_the_link() -> None:
    class Confused(Stranger):
        def handshake(self) -> bytes:
            return b"\x13BitTorrent protocol" + bytes(8) + b"x" * 20 + b"-XX0000-strangerpeer"

    world = World()
    leech = world.host()
    torrent = create("thing", payload(PIECE), version="v1", piece_length=PIECE)
    leech.engine.add_torrent(0, torrent, "anywhere")
    stranger = Confused(world, leech, torrent, b"")
    world.run(lambda: stranger.gone)
    assert not stranger.shaken, "nobody answered"


def test_a_peer_id_is_drawn_by_chance_and_the_tracker_hears_the_same() -> None:
    assert len({Engine(seed).peer_id for seed in range(20)}) == 20
    torrent = create("thing", payload(PIECE), version="v1", trackers=[["http://host/announce"]])
    url, engine, _ = announce(torrent)
    assert parse_qs(urlsplit(url).query, encoding="latin-1")["peer_id"][0].encode("latin-1") == engine.peer_id


def announce(torrent: bytes) -> tuple[str, Engine, int]:
    """The first announce of an engine that has a torrent: its URL, and its job."""
    engine = Engine(1)
    engine.bound(0, 1, ("10.0.0.1", 6881), "tcp")
    engine.add_torrent(0, torrent, "anywhere")
    host = Host(World(), 9, World().host().disk)
    for _ in range(10):
        for effect in engine.poll_effects():
            match effect:
                case Job(job, Http(url)):
                    return url, engine, job
                case Job(job, work):
                    engine.done(0, job, host.disk.carry_out(work))
                case _:
                    pass
    raise AssertionError("nothing was announced")


def test_a_trackers_peers_as_dictionaries_are_called_too() -> None:
    torrent = create("thing", payload(PIECE), version="v1", trackers=[["http://host/announce"]])
    _, engine, job = announce(torrent)
    peers = b"ld2:ip11:192.0.2.1237:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881eee"
    engine.done(0, job, HttpAnswer(200, b"d8:intervali1800e5:peers" + peers + b"e"))
    called = [effect.to for effect in engine.poll_effects() if isinstance(effect, Connect)]
    assert called == [("192.0.2.123", 6881)]


def test_a_tracker_that_never_answers_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    async def story() -> None:
        open_ones: list[asyncio.StreamWriter] = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_ones.append(writer)

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        torrent = create("thing", payload(PIECE), trackers=[[f"http://127.0.0.1:{port}/announce"]])
        settings: dict[str, Any] = {"listen": [("127.0.0.1", 0)], "keep_resume": False, "dht": False, "lsd": False}
        longest = 0.0
        async with Session(driver="asyncio", folder=tmp_path, close_timeout=0.2, **settings) as session:
            await session.add(torrent)
            rounds, end = 0, time.monotonic() + 30
            while rounds < 50 or not open_ones:
                assert time.monotonic() < end, "it was asked"
                rounds, before = rounds + 1, time.monotonic()
                await asyncio.sleep(0.005)
                longest = max(longest, time.monotonic() - before)
        for writer in open_ones:
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        assert longest < 5.0

    asyncio.run(story())


def test_a_piece_may_span_many_files() -> None:
    files = {f"{n}.bin": payload(900 + n, n) for n in range(100)}
    torrent = create("many", files, version="v1", piece_length=PIECE)
    world = World()
    seed, leech = world.host({f"many/{name}": data for name, data in files.items()}), world.host()
    seed.engine.add_torrent(0, torrent, "anywhere")
    ours = leech.engine.add_torrent(0, torrent, "anywhere", peers=[seed.address])
    world.run(lambda: Completed(ours) in leech.events)
    assert {path: bytes(data) for path, data in leech.disk.files.items()} == {
        f"many/{name}": data for name, data in files.items()
    }


@pytest.mark.parametrize("name", [b"..", b"/etc/passwd", b"../../escaped", b"a/../../b", b""])
def test_a_path_that_would_leave_the_folder_does_not(name: bytes) -> None:
    good = create("many", {"aaaa/bbbb": payload(10)}, version="v1")
    hostile = good.replace(b"4:aaaa", b"%d:%s" % (len(name), name))
    try:
        metainfo = Metainfo.parse(hostile)
    except MetainfoError:
        return
    for file in metainfo.files:
        assert not {"..", "", "."} & set(file.path) and not any("/" in part for part in file.path)
        assert name in file.raw_path, "and what it said is at hand"


def test_a_download_goes_on_after_a_long_silence() -> None:
    data = payload(5 * PIECE)
    torrent = create("thing", data, version="v1", piece_length=PIECE)
    world = World()
    leech = world.host()
    ours = leech.engine.add_torrent(0, torrent, "anywhere")
    world.run(lambda: bool(leech.disk.paths) and not leech.drain())
    world.now += 3600.0
    Stranger(world, leech, torrent, data)
    world.run(lambda: Completed(ours) in leech.events)
    assert leech.disk.files["thing"] == data


def test_a_message_that_nobody_knows_ends_nothing() -> None:
    class Inventive(Stranger):
        def greet(self) -> None:
            super().greet()
            self.send(message(159, b"whatever"))
            self.send(message(255))

    download_from(Inventive)


def test_what_fails_is_told_and_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert issubclass(MetainfoError, MillstreamError) and not issubclass(MillstreamError, RuntimeError)
    data = payload(5 * PIECE)
    torrent = create("thing", data, version="v1", piece_length=PIECE)
    world = World()
    seed, leech = world.host({"thing": data}), world.host()
    seed.engine.add_torrent(0, torrent, "anywhere")
    carry_out = leech.disk.carry_out

    def full(work: Work) -> Outcome:
        return Failed("full", "no space left on device") if isinstance(work, Write) else carry_out(work)

    leech.disk.carry_out = full  # type: ignore[method-assign]
    ours = leech.engine.add_torrent(0, torrent, "anywhere", peers=[seed.address])
    world.run(lambda: bool(told(leech, TorrentFailed)))
    failed = told(leech, TorrentFailed)[0]
    assert isinstance(failed, TorrentFailed) and "no space" in failed.reason
    assert leech.engine.status(ours).state == "failed" and not told(leech, Banned)
    assert capsys.readouterr() == ("", "")


# ---- the ancestor's three properties, of torrents by chance


def downloads() -> Iterator[tuple[int, list[tuple[int, int, int]], list[int]]]:
    """Sizes, what was requested of an honest peer, and which pieces were verified."""
    for seed in range(25):
        size = random.Random(seed).randrange(1, 12 * PIECE)
        stranger, leech = download_from(Stranger, size)
        verified = [event.piece for event in leech.events if isinstance(event, PieceVerified)]
        yield size, stranger.requests, verified


def test_all_pairs_of_piece_and_block_are_unique() -> None:
    for _, requests, verified in downloads():
        pairs = [(index, begin) for index, begin, _ in requests]
        assert len(set(pairs)) == len(pairs) and len(set(verified)) == len(verified)


def test_every_block_lies_in_its_piece() -> None:
    for size, requests, _ in downloads():
        for index, begin, length in requests:
            assert begin % BLOCK == 0 and 0 < length <= BLOCK
            assert begin + length <= min(PIECE, size - index * PIECE)


def test_every_block_is_requested_once() -> None:
    for size, requests, verified in downloads():
        blocks = [(at // PIECE, at % PIECE) for at in range(0, size, BLOCK)]
        assert sorted((index, begin) for index, begin, _ in requests) == blocks
        assert sorted(verified) == list(range(-(-size // PIECE)))
