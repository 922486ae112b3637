"""The examples do what they say, over the loopback or in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import runpy
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import wsproto

from millstream import sansio as s

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def seed(sock: socket.socket, data: bytes, torrent: s.Metainfo) -> None:
    """Serves one leech until it leaves; it chokes once in between and rejects what it dropped."""
    peer = s.PeerConnection(client=False, peer_id=b"-SEED00-000000000000", info_hash=torrent.info_hash)
    served = 0
    while chunk := sock.recv(65536):
        for message in peer.receive_data(chunk):
            match message:
                case s.Handshake():
                    sock.sendall(peer.handshake() + peer.send(s.HaveAll(), s.ExtensionHandshake(v="seed")))
                case s.Interested():
                    sock.sendall(peer.send(s.Unchoke()))
                case s.Request(index, begin, length) if served == 3:
                    served += 1
                    sock.sendall(peer.send(s.Choke(), s.RejectRequest(index, begin, length), s.Unchoke()))
                case s.Request(index, begin, length):
                    served += 1
                    at = index * torrent.piece_length + begin
                    sock.sendall(peer.send(s.Piece(index, begin, memoryview(data)[at : at + length])))
                case _:
                    pass


def serve(sock: socket.socket, data: bytes, torrent: s.Metainfo) -> None:
    with contextlib.suppress(ConnectionError):
        seed(sock, data, torrent)


@pytest.mark.parametrize("lie", [False, True])
def test_the_leech_fetches_a_file_and_believes_no_liar(lie: bool) -> None:
    data = random.Random(3).randbytes(1_000_003)
    torrent = s.Metainfo.parse(s.create("thing", data, piece_length=65536, version="v1"))
    ours, theirs = socket.socketpair()
    told = data[:500_000] + b"!" + data[500_001:] if lie else data
    thread = threading.Thread(target=serve, args=(theirs, told, torrent), daemon=True)
    thread.start()
    ours.settimeout(20)
    leech = load("leech.py")["Leech"](torrent, ours)
    if lie:
        with pytest.raises(ValueError, match="piece 7"):
            leech.run()
    else:
        assert leech.run() == data
    ours.close()
    thread.join(20)
    assert not thread.is_alive()
    theirs.close()


def test_the_tracker_answers_over_a_socket() -> None:
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with own, ask:
        own.bind(("127.0.0.1", 0))
        ask.settimeout(20)
        serve = load("udp_tracker.py")["serve"]
        thread = threading.Thread(target=serve, args=(own, s.Tracker(1)), kwargs={"datagrams": 2}, daemon=True)
        thread.start()
        ask.sendto(b"garbage", own.getsockname())
        ask.sendto(struct.pack(">QII", 0x41727101980, 0, 7), own.getsockname())
        assert struct.unpack_from(">II", ask.recv(100)) == (0, 7)
        thread.join(20)
        assert not thread.is_alive()


def test_the_tracker_hands_an_offer_over_a_websocket() -> None:
    example = load("websocket_tracker.py")

    async def client(port: int) -> tuple[Any, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ws = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        writer.write(ws.send(wsproto.events.Request(host="127.0.0.1", target="/")))
        return ws, reader, writer

    async def next_text(ws: Any, reader: asyncio.StreamReader) -> Any:
        while True:
            for event in ws.events():
                if isinstance(event, wsproto.events.TextMessage):
                    return json.loads(event.data)
            ws.receive_data(await reader.read(4096))

    async def meet() -> None:
        server = example["Server"](s.Tracker(1, now=0.0))
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            said: dict[str, Any] = {"action": "announce", "info_hash": "h" * 20, "left": 5}
            offers = [{"offer_id": "o" * 20, "offer": {"type": "offer", "sdp": "v=0"}}]
            ours, theirs = await client(port), await client(port)
            for (ws, reader, writer), more in ((ours, {"peer_id": "a" * 20}), (theirs, {"peer_id": "b" * 20})):
                if ws is theirs[0]:
                    more |= {"offers": offers}  # type: ignore[dict-item]
                while ws.state.name != "OPEN":
                    ws.receive_data(await reader.read(4096))
                    list(ws.events())
                writer.write(ws.send(wsproto.events.TextMessage(json.dumps(said | more))))
                assert (await next_text(ws, reader))["interval"] == 120
            handed = await next_text(ours[0], ours[1])
            assert handed["offer"]["sdp"] == "v=0" and handed["peer_id"] == "b" * 20
            for _, _, writer in (ours, theirs):
                writer.close()
            while server.tracker.statistics.peers:
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(meet(), 20))


def test_the_look_up_finds_who_announced() -> None:
    events = load("dht_lookup.py")["main"]()
    (peers,) = [event for event in events if isinstance(event, s.DhtPeers)]
    assert peers.peers == (("10.0.0.5", 7000),)
    assert isinstance(events[-1], s.DhtDone) and events[-1].outcome == s.DhtFoundPeers(1)


def run(name: str, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *given], capture_output=True, text=True, timeout=30, check=False
    )


def test_the_leech_says_how_it_is_used() -> None:
    for given in ((), ("a.torrent",), ("a.torrent", "localhost", ".")):
        said = run("leech.py", *given)
        assert said.returncode == 1 and "python leech.py FILE.torrent HOST:PORT FOLDER" in said.stderr
        assert "Traceback" not in said.stderr


@pytest.mark.parametrize("name, scheme", [("udp_tracker.py", "udp"), ("websocket_tracker.py", "ws")])
@pytest.mark.parametrize("given, host", [((), "127.0.0.1"), (("127.0.83.2",), "127.0.83.2")])
def test_a_tracker_says_where_it_listens_and_does_so_on_this_machine(
    name: str, scheme: str, given: tuple[str, ...], host: str
) -> None:
    command = [sys.executable, str(EXAMPLES / name), "0", *given]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        bound = threading.Timer(30, running.kill)
        bound.start()
        assert running.stdout is not None
        said = running.stdout.readline()
        bound.cancel()
        running.kill()
    assert re.fullmatch(rf"listening at {scheme}://{re.escape(host)}:[1-9]\d*\n", said), said
