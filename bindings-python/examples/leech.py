"""A leech of one peer over a plain socket: `python leech.py FILE.torrent HOST:PORT FOLDER`.

It asks for every piece in order, a window of blocks ahead, and writes what is verified. Everything that is BitTorrent
is `PeerConnection`'s; what is left is a socket, a loop and a file.
"""

from __future__ import annotations

import secrets
import socket
import sys
from collections import deque
from hashlib import sha1
from pathlib import Path

from millstream import sansio as s

BLOCK, WINDOW = 16 * 1024, 64


class Leech:
    """What is missing, what was asked for, and what came."""

    def __init__(self, torrent: s.Metainfo, sock: socket.socket) -> None:
        self.torrent, self.sock = torrent, sock
        self.digests = digests_of(torrent)
        self.peer = s.PeerConnection(
            client=True,
            peer_id=b"-MS0100-" + secrets.token_bytes(12),
            info_hash=torrent.info_hash,
            pieces=torrent.pieces,
        )
        self.data = bytearray(torrent.length)
        self.wanted = deque(self.blocks())
        self.missing = {index: self.piece_length(index) for index in range(torrent.pieces)}
        self.asked = 0

    def piece_length(self, index: int) -> int:
        return min(self.torrent.piece_length, self.torrent.length - index * self.torrent.piece_length)

    def blocks(self) -> list[s.Request]:
        return [
            s.Request(index, begin, min(BLOCK, self.piece_length(index) - begin))
            for index in range(self.torrent.pieces)
            for begin in range(0, self.piece_length(index), BLOCK)
        ]

    def run(self) -> bytes:
        """Everything, verified."""
        self.sock.sendall(self.peer.handshake())
        self.sock.sendall(self.peer.send(s.Interested()))
        while self.missing:
            n = self.sock.recv_into(self.peer.get_buffer())
            if n == 0:
                self.peer.receive_eof()
                raise ConnectionError("the peer left")
            for message in self.peer.buffer_updated(n):
                self.on_message(message)
            self.ask()
        return bytes(self.data)

    def on_message(self, message: s.Message) -> None:
        match message:
            case s.Piece(index, begin, block):
                at = index * self.torrent.piece_length + begin
                self.data[at : at + block.nbytes] = block
                self.asked -= 1
                self.missing[index] -= block.nbytes
                if self.missing[index] == 0:
                    self.verify(index)
            case s.RejectRequest(index, begin, length):
                self.asked -= 1
                self.wanted.append(s.Request(index, begin, length))
            case s.Choke() if not self.peer.fast:
                raise ConnectionError("choked; a better leech would wait and ask again")
            case _:
                pass  # one seed has everything: what it tells besides doesn't matter

    def verify(self, index: int) -> None:
        start = index * self.torrent.piece_length
        piece = self.data[start : start + self.piece_length(index)]
        if sha1(piece).digest() != self.digests[index]:
            raise ValueError(f"piece {index} is not what the torrent says")
        del self.missing[index]

    def ask(self) -> None:
        requests = []
        while self.wanted and self.asked < WINDOW and not self.peer.peer_choking:
            requests.append(self.wanted.popleft())
            self.asked += 1
        if requests:
            self.sock.sendall(self.peer.send(*requests))


def digests_of(torrent: s.Metainfo) -> list[bytes]:
    pieces: bytes = s.bencode.decode(torrent.info_bytes, strict=False)[b"pieces"]
    return [pieces[at : at + 20] for at in range(0, len(pieces), 20)]


if __name__ == "__main__":
    if len(sys.argv) != 4 or ":" not in sys.argv[2]:
        sys.exit(__doc__)
    metainfo = s.Metainfo.from_file(sys.argv[1])
    host, port = sys.argv[2].rsplit(":", 1)
    with socket.create_connection((host, int(port))) as connection:
        (Path(sys.argv[3]) / metainfo.name).write_bytes(Leech(metainfo, connection).run())
