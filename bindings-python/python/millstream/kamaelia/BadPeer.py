"""BadPeer: a peer that breaks the rules in one of many ways, to see that what it meets stays up. For tests of your own
machines, and of those whose owners agree.

It owns its misdeeds, and nothing that a good peer would do.

    inbox    nothing; what comes is answered by a BadPeerRefused
    control  producerFinished, shutdown and shutdownMicroprocess end it at once; other messages are logged
    outbox   one BadPeerReport, when it has done its worst or was stopped
    signal   producerFinished when it has ended

Kinds: see `KINDS`.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .._millstream import Metainfo
from .._values import BytesLike
from ._signals import told
from ._sockets import take_address
from ._worker import FAREWELL, Worker

__all__ = ["KINDS", "BadPeer", "BadPeerRefused", "BadPeerReport"]

REQUEST_BYTES = 16 << 10
CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL = range(9)
EXTENDED = 20


@dataclass(frozen=True, slots=True)
class BadPeerReport:
    """How it went. `ended`: the other side ended the link or links (`dropped`), or didn't until time was up or all
    was said (`over`), or never answered (`refused`); or the peer was told to stop (`stopped`). Bytes it sent and got,
    of payload."""

    kind: str
    ended: Literal["dropped", "over", "refused", "stopped"]
    sent: int
    received: int


@dataclass(frozen=True, slots=True)
class BadPeerRefused:
    """A BadPeer listens to nobody: this message changed nothing."""

    message: Any
    error: Exception


class _Stopped(Exception):
    """It was told to end."""


class _Line:
    """A socket of a bad peer's, with an end in time."""

    def __init__(self, peer: BadPeer, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        self._peer = peer
        family = socket.AF_INET6 if ":" in peer.address[0] else socket.AF_INET
        self.sock = socket.socket(family, kind)
        peer.sockets.append(self.sock)
        self.sock.settimeout(5)
        if peer.source is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(peer.source)
        if kind == socket.SOCK_STREAM:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock.connect(peer.address)
        except TimeoutError as silent:
            raise ConnectionRefusedError("nobody answers") from silent
        self.sock.settimeout(0.1)

    def send(self, data: bytes) -> None:
        """Sends all of it; takes in meanwhile nothing."""
        view = memoryview(data)
        while view:
            self._peer.check()
            try:
                count = self.sock.send(view)
            except TimeoutError:
                continue
            self._peer.sent += count
            view = view[count:]

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """What comes after the handshake: ids and payloads. Ends with the link."""
        buffer = bytearray()
        skip = 68
        while True:
            data = self.receive()
            if data == b"":
                return
            buffer += data or b""
            if skip and len(buffer) >= skip:
                del buffer[:skip]
                skip = 0
            while not skip and len(buffer) >= 4 and len(buffer) >= 4 + (length := int.from_bytes(buffer[:4], "big")):
                if length:
                    yield buffer[4], bytes(buffer[5 : 4 + length])
                del buffer[: 4 + length]

    def receive(self) -> bytes | None:
        """What came; None if nothing did for a moment, nothing at all in the end."""
        self._peer.check()
        try:
            data = self.sock.recv(1 << 16)
        except TimeoutError:
            return None
        self._peer.received += len(data)
        return data

    def wait_for_end(self) -> None:
        """Takes in what comes until the other side has had enough."""
        while self.receive() != b"":
            pass


class BadPeer(Worker):
    """BadPeer(kind, address, torrent) -> a component that connects to a peer and does it wrong.

    `kind`: one of `KINDS`. `address`: the peer's; for kinds that begin with `dht_` that of its DHT node. `torrent`: the
    contents of a .torrent file that the peer has. `source`: the IP address and port to come from; port 0 for any.
    `seconds`: how long it goes on at most. `seed`: all its chance.
    """

    Inboxes = {"inbox": "Nothing", "control": "Shut me down"}
    Outboxes = {"outbox": "BadPeerReport", "signal": "producerFinished when I've shutdown"}

    def __init__(
        self,
        kind: str,
        address: tuple[str, int],
        torrent: BytesLike,
        *,
        source: tuple[str, int] | None = None,
        seconds: float = 10.0,
        seed: int = 0,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of bad peer; there are {', '.join(KINDS)}")
        super().__init__()
        self.kind = kind
        self.address = take_address(address)
        self.torrent = Metainfo.parse(torrent)
        self.source = source
        self.sent = self.received = 0
        self.random = random.Random(seed)
        self.sockets: list[socket.socket] = []
        self._seconds = seconds
        self._end = 0.0

    def main(self) -> None:
        """In a thread of its own."""
        self._end = time.monotonic() + self._seconds
        self.out.put(BadPeerReport(self.kind, self._done(), self.sent, self.received))
        self._hear()
        self.finish(FAREWELL)

    def check(self) -> None:
        """Raises what ends the misdeed, if it is time."""
        self._hear()
        if told(self):
            raise _Stopped
        if time.monotonic() >= self._end:
            raise TimeoutError

    def handshake(self, info_hash: bytes | None = None) -> bytes:
        """A greeting as it should be, about the torrent unless told otherwise."""
        reserved = b"\0\0\0\0\0\x10\0\0"
        return b"\x13BitTorrent protocol" + reserved + (info_hash or self.torrent.info_hash) + self.random.randbytes(20)

    def all_pieces(self) -> bytes:
        """The message that claims every piece."""
        pieces = self.torrent.pieces
        bits = bytearray(b"\xff" * (pieces // 8))
        if pieces % 8:
            bits.append(0xFF << (8 - pieces % 8) & 0xFF)
        return message(BITFIELD, bytes(bits))

    def _done(self) -> Literal["dropped", "over", "refused", "stopped"]:
        try:
            KINDS[self.kind](self)
        except _Stopped:
            return "stopped"
        except TimeoutError:
            return "over"
        except OSError:
            return "dropped" if self.sent else "refused"
        finally:
            for sock in self.sockets:
                sock.close()
        return "dropped"

    def _hear(self) -> None:
        while self.dataReady("inbox"):
            said = self.recv("inbox")
            self.out.put(BadPeerRefused(said, TypeError(f"a BadPeer takes no {type(said).__name__}")))
        self.out.flush()


def message(number: int, payload: bytes = b"") -> bytes:
    """A message of the peer protocol."""
    return struct.pack(">IB", 1 + len(payload), number) + payload


# ---- misdeeds: each goes on until the other side ends the link, or time is up


def _lying_bitfield(peer: BadPeer) -> None:
    """Has pieces that the torrent doesn't have."""
    line = _Line(peer)
    line.send(peer.handshake() + message(BITFIELD, b"\xff" * (peer.torrent.pieces // 8 + 2)))
    line.wait_for_end()


def _corrupt_blocks(peer: BadPeer) -> None:
    """Has all, and gives something else for every block."""
    line = _Line(peer)
    line.send(peer.handshake() + peer.all_pieces() + message(UNCHOKE))
    for number, payload in line.messages():
        if number == REQUEST and len(payload) == 12:
            length = min(int.from_bytes(payload[8:], "big"), 1 << 17)
            line.send(message(PIECE, payload[:8] + peer.random.randbytes(length)))


def _never_answers(peer: BadPeer) -> None:
    """Has all, and never gives any of it."""
    line = _Line(peer)
    line.send(peer.handshake() + peer.all_pieces() + message(UNCHOKE))
    line.wait_for_end()


def _one_byte_at_a_time(peer: BadPeer) -> None:
    """Says what it may say, in segments of one byte, over and over."""
    line = _Line(peer)
    for byte in peer.handshake() + peer.all_pieces():
        line.send(bytes((byte,)))
    while True:
        for byte in message(INTERESTED) + message(NOT_INTERESTED) + bytes(4):
            line.send(bytes((byte,)))


def _huge_length(peer: BadPeer) -> None:
    """Announces a message of 4 GiB, and begins to send it."""
    line = _Line(peer)
    line.send(peer.handshake() + b"\xff\xff\xff\xff\x07")
    while True:
        line.send(bytes(1 << 16))


def _flood(number: int, payload: Callable[[BadPeer], bytes]) -> Callable[[BadPeer], None]:
    def flood(peer: BadPeer) -> None:
        line = _Line(peer)
        line.send(peer.handshake() + message(BITFIELD, bytes(-(-peer.torrent.pieces // 8))) + message(INTERESTED))
        while True:
            line.send(b"".join(message(number, payload(peer)) for _ in range(1000)))

    return flood


def _block(peer: BadPeer) -> bytes:
    blocks = max(1, peer.torrent.piece_length // REQUEST_BYTES)
    begin = peer.random.randrange(blocks) * REQUEST_BYTES
    return struct.pack(">III", peer.random.randrange(peer.torrent.pieces), begin, REQUEST_BYTES)


def _piece(peer: BadPeer) -> bytes:
    return struct.pack(">I", peer.random.randrange(peer.torrent.pieces))


def _second_handshake(peer: BadPeer) -> None:
    """Greets twice."""
    line = _Line(peer)
    line.send(peer.handshake() + peer.handshake())
    line.wait_for_end()


def _other_info_hash(peer: BadPeer) -> None:
    """Greets again, about another torrent."""
    line = _Line(peer)
    line.send(peer.handshake() + peer.all_pieces())
    line.receive()
    line.send(peer.handshake(peer.random.randbytes(20)))
    line.wait_for_end()


def _unknown_info_hash(peer: BadPeer) -> None:
    """Wants a torrent that isn't there."""
    line = _Line(peer)
    line.send(peer.handshake(peer.random.randbytes(20)))
    line.wait_for_end()


def _slow_loris(peer: BadPeer) -> None:
    """Opens many links and never gets to the end of a greeting."""
    lines = [_Line(peer) for _ in range(30)]
    for byte in peer.handshake():
        for line in list(lines):
            line.sock.settimeout(0.01)
            try:
                line.send(bytes((byte,)))
                gone = line.receive() == b""
            except TimeoutError:
                raise
            except OSError:
                gone = True
            if gone:
                lines.remove(line)
        if not lines:
            return


def _bencode_bomb(peer: BadPeer) -> None:
    """Tells of its extensions in lists of lists of lists, and of metadata without end."""
    line = _Line(peer)
    line.send(peer.handshake())
    size = b"d1:md11:ut_metadatai1ee13:metadata_sizei9223372036854775807ee"
    for bomb in (b"l" * 500_000, size, b"d1:m" + b"d1:a" * 100_000, b"i" + b"9" * 100_000 + b"e"):
        line.send(message(EXTENDED, b"\0" + bomb))
    while True:
        line.send(message(EXTENDED, b"\x01" + b"d8:msg_typei0e5:piecei99999999ee"))


def _dht_spoof(peer: BadPeer) -> None:
    """Answers what nobody asked, with nodes that lead astray, and announces with tokens that nobody gave."""
    line = _Line(peer, socket.SOCK_DGRAM)
    chance = peer.random.randbytes
    while True:
        nodes = b"".join(chance(20) + bytes((127, 0, 0, 3)) + chance(2) for _ in range(8))
        answer = b"d1:rd2:id20:%b5:nodes%d:%be1:t2:%b1:y1:re" % (chance(20), len(nodes), nodes, chance(2))
        announce = b"d1:ad2:id20:%b9:info_hash20:%b4:porti1e5:token8:%be1:q13:announce_peer1:t2:%b1:y1:qe"
        announce %= chance(20), peer.torrent.info_hash, chance(8), chance(2)
        for datagram in (answer, announce, chance(200), b"d" * 1000, b""):
            _throw(line, datagram)


def _dht_amplify(peer: BadPeer) -> None:
    """Asks short questions whose answers are long."""
    line = _Line(peer, socket.SOCK_DGRAM)
    chance = peer.random.randbytes
    while True:
        question = b"d1:ad2:id20:%b9:info_hash20:%be1:q9:get_peers1:t2:%b1:y1:qe"
        _throw(line, question % (chance(20), peer.torrent.info_hash, chance(2)))


def _throw(line: _Line, datagram: bytes) -> None:
    line.sock.settimeout(0.0005)
    try:
        line.send(datagram)
        line.receive()
    except ConnectionRefusedError:
        # nobody listens there now, as somebody says; who throws doesn't care
        return


KINDS: Mapping[str, Callable[[BadPeer], None]] = {
    "lying_bitfield": _lying_bitfield,
    "corrupt_blocks": _corrupt_blocks,
    "never_answers": _never_answers,
    "one_byte_at_a_time": _one_byte_at_a_time,
    "huge_length": _huge_length,
    "have_flood": _flood(HAVE, _piece),
    "request_flood": _flood(REQUEST, _block),
    "cancel_flood": _flood(CANCEL, _block),
    "second_handshake": _second_handshake,
    "other_info_hash": _other_info_hash,
    "unknown_info_hash": _unknown_info_hash,
    "slow_loris": _slow_loris,
    "bencode_bomb": _bencode_bomb,
    "dht_spoof": _dht_spoof,
    "dht_amplify": _dht_amplify,
}
"""What a BadPeer can do wrong, by name."""

__kamaelia_components__ = (BadPeer,)
