"""`PeerConnection` face to face with others, plain and encrypted: the engine in memory, libtorrent over a socket."""

from __future__ import annotations

import random
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from millstream import RemoteProtocolError, sansio as s

PIECE, SIZE = 32 * 1024, 200_001
DATA = random.Random(5).randbytes(SIZE)
TORRENT = s.create("thing", DATA, piece_length=PIECE, version="v1")
METAINFO = s.Metainfo.parse(TORRENT)
PATIENCE = 60.0
BLOCKS = [(at // PIECE, at % PIECE, min(16384, SIZE - at)) for at in range(0, SIZE, 16384)]
Encryption = Literal["off", "prefer", "require"]
LEVELS: dict[Encryption, str | None] = {"off": None, "prefer": "plaintext", "require": "rc4"}


class Side:
    """A connection of one that has everything, or wants it."""

    def __init__(self, *, client: bool, seeds: bool, encryption: Encryption) -> None:
        self.seeds, self.data = seeds, bytearray(SIZE)
        self.missing = set() if seeds else set(BLOCKS)
        self.peer = s.PeerConnection(
            client=client,
            peer_id=b"-MSTEST-" + random.randbytes(12),
            info_hash=METAINFO.info_hash,
            pieces=METAINFO.pieces,
            encryption=encryption,
            seed=random.randbytes(32),
        )

    def on_data(self, data: bytes) -> bytes:
        """What is to be written now."""
        out = b"".join(map(self._on_message, self.peer.receive_data(data)))
        return out + self.peer.data_to_send()

    def _on_message(self, message: s.Message) -> bytes:
        peer = self.peer
        match message:
            case s.Handshake():
                hello = b"" if peer.client else peer.handshake()
                return hello + peer.send(s.HaveAll() if self.seeds else s.HaveNone(), s.Unchoke(), s.Interested())
            case s.Unchoke() if self.missing:
                return peer.send(*(s.Request(*block) for block in sorted(self.missing)))
            case s.Request(index, begin, length) if self.seeds:
                at = index * PIECE + begin
                return peer.send(s.Piece(index, begin, memoryview(DATA)[at : at + length]))
            case s.Piece(index, begin, block):
                self.data[index * PIECE + begin : index * PIECE + begin + block.nbytes] = block
                self.missing.discard((index, begin, block.nbytes))
        return b""


class Facing:
    """An engine in memory with one link, to a `PeerConnection`."""

    def __init__(self, side: Side, encryption: Encryption) -> None:
        self.side, self.engine, self.disk = side, s.Engine(3, encryption=encryption, utp="off"), bytearray(SIZE)
        self.disk[:] = bytes(SIZE) if side.seeds else DATA
        self.now, self.conn, self.to_side = 0.0, -1, deque[bytes]()
        self.engine.bound(0, 1, ("10.0.0.1", 6881), "tcp")
        peers = [] if side.peer.client else [("10.0.0.2", 6881)]
        self.torrent = self.engine.add_torrent(0, TORRENT, "anywhere", peers=peers)
        self.drain()
        if side.peer.client:
            self.conn = self.engine.accept(0, 1, ("10.0.0.1", 6881), ("10.0.0.2", 40000))
            self.hand(side.peer.handshake())

    def hand(self, data: bytes) -> None:
        """Bytes for the engine."""
        if data:
            self.engine.handle_received(self.now, self.conn, data)

    def answer(self, work: s.Work) -> s.Outcome:
        match work:
            case s.FilesOpen() | s.FilesSync():
                return s.Files([s.FileNow(SIZE)])
            case s.Read(_, parts):
                return s.BytesRead(b"".join(self.disk[e.offset : e.offset + e.length] for e in extents(parts)))
            case s.HashStored(_, parts, pad, sha1, leaves):
                data = b"".join(self.disk[e.offset : e.offset + e.length] for e in extents(parts))
                return s.digest([data], pad, want_sha1=sha1, want_leaves=leaves)
            case s.Write(_, parts, data):
                whole = b"".join(data)
                for extent in parts:
                    self.disk[extent.offset : extent.offset + extent.length] = whole[: extent.length]
                    whole = whole[extent.length :]
                return s.Written()
            case s.Hash(data, pad, sha1, leaves):
                return s.digest(data, pad, want_sha1=sha1, want_leaves=leaves)
            case s.Exchange():
                return s.exchange(work)
            case s.Save():
                return s.Saved()
            case _:
                return s.Failed("not_found", "not here")

    def drain(self) -> None:
        while effects := self.engine.poll_effects():
            for effect in effects:
                match effect:
                    case s.Connect(conn, to):
                        self.conn = conn
                        self.engine.opened(self.now, conn, ("10.0.0.1", 40000), to)
                    case s.Job(job, work):
                        self.engine.done(self.now, job, self.answer(work))
                    case s.Close(conn, _):
                        self.engine.drained(self.now, conn)
        while self.conn >= 0 and (views := self.engine.poll_transmit(self.now, self.conn)):
            data = b"".join(views)
            self.engine.wrote(self.now, self.conn, len(data))
            self.to_side.append(data)

    def run(self, until: Callable[[], bool]) -> None:
        for _ in range(3000):
            self.drain()
            if until():
                return
            if self.to_side:
                self.hand(self.side.on_data(self.to_side.popleft()))
            else:
                self.now = max(self.now, self.engine.poll_timeout() or self.now + 1)
                self.engine.handle_timeout(self.now)
        raise AssertionError(f"{self.engine.status(self.torrent)}, {self.side.peer}")


def extents(parts: tuple[s.Part, ...]) -> list[s.Extent]:
    return [part for part in parts if isinstance(part, s.Extent)]


@pytest.mark.parametrize("seeds", [False, True], ids=["it leeches", "it seeds"])
@pytest.mark.parametrize("client", [False, True], ids=["it is called", "it calls"])
@pytest.mark.parametrize("encryption", LEVELS)
def test_the_engine_and_a_connection_exchange_a_torrent(encryption: Encryption, client: bool, seeds: bool) -> None:
    side = Side(client=client, seeds=seeds, encryption=encryption)
    facing = Facing(side, encryption)
    if seeds:
        facing.run(lambda: facing.engine.status(facing.torrent).state == "seeding")
        assert facing.disk == DATA
    else:
        facing.run(lambda: not side.missing)
        assert side.data == DATA
    assert side.peer.encryption_level == LEVELS[encryption]
    assert (side.peer.our_state, side.peer.their_state) == ("open", "open")


def test_the_engine_refuses_a_plain_call_where_it_requires_encryption() -> None:
    side = Side(client=True, seeds=True, encryption="off")
    facing = Facing(side, "require")
    for _ in range(5):
        facing.drain()
    assert not facing.to_side and side.peer.their_state == "greeting"


# ---- libtorrent


def rival(folder: Path, encryption: Encryption, *, seeds: bool) -> tuple[Any, Any]:
    """A session of libtorrent on the loopback, with the torrent; only what is encrypted so, or not."""
    # here, so that where there is none of it all the rest is tested
    import libtorrent as lt

    if seeds:
        (folder / "thing").write_bytes(DATA)
    policy = {"off": 2, "prefer": 0, "require": 0}[encryption]
    session = lt.session(
        {
            "listen_interfaces": "127.0.0.1:0",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "out_enc_policy": policy,
            "in_enc_policy": policy,
            "allowed_enc_level": 1 if encryption == "prefer" else 2,
            "allow_multiple_connections_per_ip": True,
        }
    )
    params = lt.add_torrent_params()
    (folder / "thing.torrent").write_bytes(TORRENT)
    params.ti = lt.torrent_info(str(folder / "thing.torrent"))
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    params.save_path = str(folder)
    handle = session.add_torrent(params)
    wait(lambda: session.listen_port() != 0 and handle.status().state in (3, 4, 5))
    return session, handle


def wait(until: Callable[[], bool]) -> None:
    """libtorrent tells by being asked."""
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "not so in time"
        time.sleep(0.02)


def talk(side: Side, sock: socket.socket, done: Callable[[], bool]) -> None:
    """Over a socket, until it is done or the peer leaves."""
    sock.settimeout(0.1)
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"not so in time: {side.peer}"
        try:
            data = sock.recv(65536)
        except TimeoutError:
            continue
        if not data:
            side.peer.receive_eof()
            return
        sock.sendall(side.on_data(data))


@pytest.mark.parametrize("seeds", [False, True], ids=["it leeches", "it seeds"])
@pytest.mark.parametrize("client", [False, True], ids=["it is called", "it calls"])
@pytest.mark.parametrize("encryption", LEVELS)
def test_libtorrent_and_a_connection_exchange_a_torrent(
    encryption: Encryption, client: bool, seeds: bool, tmp_path: Path
) -> None:
    side = Side(client=client, seeds=seeds, encryption=encryption)
    session, handle = rival(tmp_path, encryption, seeds=not seeds)

    def done() -> bool:
        return bool(handle.status().is_seeding) if seeds else not side.missing

    if client:
        with socket.create_connection(("127.0.0.1", session.listen_port()), PATIENCE) as sock:
            sock.sendall(side.peer.handshake())
            talk(side, sock, done)
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE)
            handle.connect_peer(listener.getsockname())
            sock, _ = listener.accept()
            with sock:
                talk(side, sock, done)
    assert done() and side.peer.encryption_level == LEVELS[encryption]
    del session  # which ends it, and writes what it still held
    assert ((tmp_path / "thing").read_bytes() if seeds else side.data) == DATA


def test_libtorrent_that_takes_no_encryption_leaves_and_is_called_plain(tmp_path: Path) -> None:
    session, _ = rival(tmp_path, "off", seeds=True)
    to = ("127.0.0.1", session.listen_port())
    side = Side(client=True, seeds=False, encryption="prefer")
    with pytest.raises(RemoteProtocolError) as caught, socket.create_connection(to, PATIENCE) as sock:
        sock.sendall(side.peer.handshake())
        talk(side, sock, lambda: False)
    assert caught.value.reason == "encryption"
    again = Side(client=True, seeds=False, encryption="off")
    with socket.create_connection(to, PATIENCE) as sock:
        sock.sendall(again.peer.handshake())
        talk(again, sock, lambda: not again.missing)
    assert again.data == DATA
