"""The asyncio driver over real sockets of the loopback: on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import uvloop
from servers import HttpServer, UdpTracker, WebSocketTracker
from test_exchange import payload

from millstream import Metainfo, TorrentNotFound, create
from millstream._asyncio import AsyncioBackend
from millstream._asyncio.links import TRANSMIT_BYTES
from millstream.errors import FetchError
from millstream.sansio import (
    Address,
    Banned,
    Bitfield,
    Checked,
    Completed,
    Event,
    Handshake,
    Interested,
    PeerConnection,
    PeerJoined,
    Piece,
    Request,
    TrackerAnswered,
    Unchoke,
)

PIECE = 64 << 10
WITHIN = 60.0
"""How long a story may take at the most. Seconds."""

SPARE = 8.0
"""More than anything takes that is bounded, beyond its bound, on a busy machine, and far less than what hangs would."""

Story = Callable[[], Awaitable[None]]


def on_asyncio(story: Story) -> None:
    """Runs a story on asyncio's own loop."""
    asyncio.run(_bounded(story))


def on_uvloop(story: Story) -> None:
    """Runs a story on uvloop."""
    uvloop.run(_bounded(story))


async def _bounded(story: Story) -> None:
    try:
        await asyncio.wait_for(story(), WITHIN)
    except BaseException:
        # a story that failed leaves things open, and uvloop never comes to its end where that raises
        warnings.simplefilter("ignore", ResourceWarning)
        raise


E = TypeVar("E", bound=Event)
loops = pytest.mark.parametrize("run", [on_asyncio, on_uvloop])


@dataclass(frozen=True)
class Things:
    """A torrent and its files."""

    torrent: bytes
    files: dict[str, bytes]

    @property
    def magnet(self) -> str:
        """The info-hash, and nothing else."""
        info_hash = Metainfo.parse(self.torrent).info_hash_v1
        assert info_hash is not None
        return f"magnet:?xt=urn:btih:{info_hash.hex()}"

    @property
    def length(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))

    def store(self, folder: Path) -> Path:
        """Writes the files under a folder."""
        for name, data in self.files.items():
            path = folder / "things" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    def are_in(self, folder: Path) -> bool:
        """Whether all files are there, byte by byte."""
        return all((folder / "things" / name).read_bytes() == data for name, data in self.files.items())


def things(trackers: Sequence[Sequence[str]] = ()) -> Things:
    """Several files; the last piece is short."""
    files = {"first.bin": payload(13 * PIECE + 77), "sub/second.bin": payload(15 * PIECE + 12_345, 8), "empty": b""}
    return Things(create("things", files, version="v1", piece_length=PIECE, trackers=trackers), files)


class Peer:
    """A backend with what it told."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        self.events: list[Event] = []
        self._told = asyncio.Event()
        alone: dict[str, object] = {"dht": False, "lsd": False, "pex": False, "utp": "off"}
        own = {"listen": [("127.0.0.1", 0)], "state_folder": str(home / "state")}
        self.backend = AsyncioBackend(**{**alone, **own, **settings})  # type: ignore[arg-type]

    async def start(self) -> Peer:
        """Begins."""
        await self.backend.start(self._on_news)
        return self

    async def told(self, kind: type[E]) -> E:
        """The first event of a kind, told already or to come."""
        while True:
            found = next((event for event in self.events if isinstance(event, kind)), None)
            if found is not None:
                return found
            self._told.clear()
            await self._told.wait()

    def _on_news(self, events: Sequence[Event]) -> None:
        self.events += events
        self._told.set()

    @property
    def files(self) -> Path:
        """Where its torrents lie."""
        return self.home / "files"

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.backend.listening[0]

    async def seed(self, what: Things) -> int:
        """Has it all, and has looked at it."""
        torrent = await self.backend.add(what.torrent, str(what.store(self.files)))
        await self.told(Checked)
        return torrent


async def close(*peers: Peer) -> None:
    """Ends them all."""
    await asyncio.gather(*(peer.backend.close(5) for peer in peers))


@loops
def test_two_backends_transfer_a_torrent_of_several_files(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech").start()
        theirs = await seed.seed(what)
        ours = await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        status = leech.backend.status(ours)
        assert (status.state, status.downloaded) == ("seeding", what.length)
        assert seed.backend.status(theirs).uploaded == what.length
        await close(leech, seed)
        assert list((leech.home / "state").glob("*.resume")), "what is verified is remembered"

    run(story)


@loops
def test_of_three_peers_one_lies_and_a_magnet_is_fetched_all_the_same(
    run: Callable[[Story], None], tmp_path: Path
) -> None:
    async def story() -> None:
        what = things()
        assert len(what.files) > 1
        assert what.length % PIECE, "the last piece is short"
        # honest ones are slow, so that the liar is asked much
        honest = [await Peer(tmp_path / name, upload_rate=400_000).start() for name in ("one", "two")]
        liar, leech = await Peer(tmp_path / "liar").start(), await Peer(tmp_path / "leech").start()
        theirs = [await peer.seed(what) for peer in (*honest, liar)]
        for name, data in what.files.items():
            # a bit in each block, after all was found to be whole
            wrong = bytearray(data)
            for at in range(0, len(wrong), 16 << 10):
                wrong[at] ^= 1
            with (liar.files / "things" / name).open("r+b") as file:
                file.write(wrong)
        peers = [peer.address for peer in (liar, *honest)]
        ours = await leech.backend.add(what.magnet, str(leech.files), peers=peers)
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert leech.backend.status(ours).wasted > 0, "lies were heard"
        joined = {event.address for event in leech.events if isinstance(event, PeerJoined)}
        assert joined == set(peers), "the magnet names no tracker: these are all that there are"
        for peer, torrent in zip((*honest, liar), theirs, strict=True):
            assert peer.backend.status(torrent).uploaded >= 16 << 10, "each was asked"
        assert {event.address for event in leech.events if isinstance(event, Banned)} <= {liar.address}
        await close(leech, liar, *honest)

    run(story)


@loops
def test_a_session_goes_on_where_it_was_and_fetches_nothing_twice(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech").start()
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        await close(leech, seed)
        again = await Peer(tmp_path / "leech").start()
        ours = await again.backend.add(what.torrent, str(again.files))
        await again.told(Completed)
        assert again.backend.status(ours).checked == (0, 0), "what was remembered is believed"
        await close(again)

    run(story)


@loops
def test_who_reads_slowly_gets_all_and_little_waits_for_it(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed = await Peer(tmp_path / "seed", upload_slots=1).start()
        await seed.seed(what)
        pieces = await Reader.open(seed.address, what)
        assert seed.backend._turns is not None
        (link,) = seed.backend._turns.links.open.values()
        assert link._transport is not None
        link._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
        for piece in range(20):
            for begin in range(0, PIECE, 16 << 10):
                pieces.ask(Request(piece, begin, 16 << 10))
        while not link._blocked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        waits = link._transport.get_write_buffer_size()
        assert 0 < waits <= TRANSMIT_BYTES + (16 << 10), "no more is handed out until the socket takes it"
        span = b"".join(what.files.values())
        got = await pieces.read(20 * PIECE)
        assert got == span[: 20 * PIECE]
        pieces.close()
        await close(seed)

    run(story)


@loops
def test_a_peer_that_sends_garbage_costs_nothing_but_its_link(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech").start()
        await seed.seed(what)
        greeting = PeerConnection(client=True, peer_id=b"-XX0000-123456789012", info_hash=what_hash(what), pieces=28)
        for noise in (
            payload(100_000, 3),
            b"\x13BitTorrent protocol" + bytes(100),
            greeting.handshake() + b"\xff" * 999,
        ):
            reader, writer = await asyncio.open_connection(*seed.address)
            writer.write(noise)
            try:
                async with asyncio.timeout(20):
                    while await reader.read(65536):
                        pass
            except ConnectionError:
                pass
            writer.close()
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        await close(leech, seed)

    run(story)


@loops
def test_closing_is_bounded_whoever_doesnt_answer(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        server = HttpServer()
        server.deaf = True
        what = things([[await server.start() + "/announce"]])
        seed = await Peer(tmp_path / "seed").start()
        await seed.seed(what)
        pieces = await Reader.open(seed.address, what)
        for piece in range(20):
            pieces.ask(Request(piece, 0, 16 << 10))
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await seed.backend.close(1.0)
        assert loop.time() - began < 1.0 + SPARE
        await seed.backend.close(1.0)
        assert loop.time() - began < 1.0 + SPARE, "again, it does nothing"
        server.stop()
        pieces.close()
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if "millstream" in repr(task.get_coro())]
        assert not left, "nothing of it is left on the loop"

    run(story)


@loops
def test_an_add_that_is_cancelled_leaves_no_torrent(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        peer = await Peer(tmp_path / "one").start()
        adding = asyncio.ensure_future(peer.backend.add(what.torrent, str(peer.files)))
        await asyncio.sleep(0)
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        with pytest.raises(TorrentNotFound):
            peer.backend.status(1)
        assert await peer.backend.add(what.torrent, str(peer.files)), "it can be added as ever"
        await close(peer)

    run(story)


@loops
@pytest.mark.parametrize("kind", ["http", "udp"])
def test_peers_are_found_by_a_tracker(run: Callable[[Story], None], tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        seed, leech = await Peer(tmp_path / "seed").start(), await Peer(tmp_path / "leech").start()
        http, udp = HttpServer([seed.address]), UdpTracker([seed.address])
        url = await http.start() + "/announce" if kind == "http" else await udp.start()
        what = things([[url]])
        await seed.seed(what)
        ours = await leech.backend.add(what.torrent, str(leech.files))
        assert (await leech.told(TrackerAnswered)).peers == 1
        await leech.told(Completed)
        assert what.are_in(leech.files)
        assert [(it.url, it.error) for it in await leech.backend.trackers(ours)] == [(url, None)]
        await close(leech, seed)
        assert udp.announces if kind == "udp" else any("event=stopped" in it for it in http.asked)
        http.stop()
        udp.stop()

    run(story)


@loops
def test_a_tracker_is_asked_over_a_websocket_and_told_of_the_end(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        tracker = WebSocketTracker()
        url = await tracker.start()
        what = things([[url]])
        peer = await Peer(tmp_path / "one").start()
        ours = await peer.backend.add(what.torrent, str(what.store(peer.files)))
        assert (await peer.told(TrackerAnswered)).url == url
        (status,) = await peer.backend.trackers(ours)
        assert (status.seeds, status.leeches, status.error) == (5, 2, None)
        await close(peer)
        assert [it.get("event") for it in tracker.announces][-1] == "stopped"
        tracker.stop()

    run(story)


@loops
def test_bep_0019_a_web_seed_gives_all(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        server = HttpServer(files={f"/things/{name}": data for name, data in what.files.items()})
        leech = await Peer(tmp_path / "leech").start()
        ours = await leech.backend.add(what.torrent, str(leech.files))
        await leech.backend.add_web_seeds(ours, [await server.start() + "/"])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        (web_seed,) = await leech.backend.web_seeds(ours)
        assert web_seed.downloaded == what.length
        await close(leech)
        server.stop()

    run(story)


@loops
def test_bep_0029_links_go_over_utp(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        seed, leech = (
            await Peer(tmp_path / "seed", utp="only").start(),
            await Peer(tmp_path / "leech", utp="only").start(),
        )
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files), peers=[seed.address])
        await leech.told(Completed)
        assert what.are_in(leech.files)
        await close(leech, seed)

    run(story)


@loops
def test_a_torrent_file_is_fetched_within_bounds(run: Callable[[Story], None], tmp_path: Path) -> None:
    async def story() -> None:
        what = things()
        server = HttpServer(files={"/a.torrent": what.torrent, "/long": bytes(100_000)})
        url = await server.start()
        peer = await Peer(tmp_path / "one", torrent_file_bytes_max=50_000).start()
        assert await peer.backend.fetch(f"{url}/a.torrent") == what.torrent
        assert await peer.backend.fetch(f"{url}/moved?/a.torrent") == what.torrent
        for wrong in ("/long", "/missing", "/moved?/moved?/moved"):
            with pytest.raises(FetchError):
                await peer.backend.fetch(url + wrong)
        with pytest.raises(FetchError):
            await peer.backend.fetch("file:///etc/passwd")
        await close(peer)
        server.stop()

    run(story)


def what_hash(what: Things) -> bytes:
    """The torrent's v1 info-hash."""
    info_hash = Metainfo.parse(what.torrent).info_hash_v1
    assert info_hash is not None
    return info_hash


class Reader:
    """A peer that asks, and reads when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: PeerConnection) -> None:
        self._reader, self._writer, self._peer = reader, writer, peer

    @classmethod
    async def open(cls, address: Address, what: Things) -> Reader:
        """Is unchoked."""
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        bound.setblocking(False)
        await asyncio.get_running_loop().sock_connect(bound, address)
        reader, writer = await asyncio.open_connection(sock=bound, limit=4096)
        peer = PeerConnection(client=True, peer_id=b"-XX0000-123456789012", info_hash=what_hash(what), pieces=29)
        self = cls(reader, writer, peer)
        writer.write(peer.handshake())
        asked = False
        while True:
            for message in peer.receive_data(await reader.read(4096)):
                if isinstance(message, Unchoke):
                    return self
                if isinstance(message, Handshake | Bitfield) and not asked:
                    asked = True
                    writer.write(peer.send(Interested()))

    def ask(self, request: Request) -> None:
        """Asks for a block."""
        self._writer.write(self._peer.send(request))

    async def read(self, count: int) -> bytes:
        """Blocks until there are so many bytes, in the order of their places."""
        blocks: dict[tuple[int, int], bytes] = {}
        while sum(map(len, blocks.values())) < count:
            for message in self._peer.receive_data(await self._reader.read(65536)):
                if isinstance(message, Piece):
                    blocks[message.index, message.begin] = bytes(message.block)
        return b"".join(data for _, data in sorted(blocks.items()))

    def close(self) -> None:
        """Leaves."""
        self._writer.close()
