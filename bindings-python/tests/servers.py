"""Small servers for drivers with real sockets: trackers over HTTP, UDP and WebSockets, a web server that knows ranges,
and a node of the DHT."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request as WsRequest, TextMessage

from millstream.sansio import Address, DhtNode


def compact(peers: Sequence[Address]) -> bytes:
    """Peers as trackers send them (BEP 23)."""
    return b"".join(socket.inet_aton(host) + struct.pack(">H", port) for host, port in peers)


class HttpServer:
    """Answers GET: announces at /announce, files by their path, redirects at /moved. Remembers what it was asked."""

    def __init__(self, peers: Sequence[Address] = (), files: dict[str, bytes] | None = None) -> None:
        self.peers = peers
        self.files = files or {}
        self.asked: list[str] = []
        self.came_from: set[str] = set()
        self.deaf = False
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> str:
        """Its URL, without a slash at its end."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        host, port = self._server.sockets[0].getsockname()
        return f"{'http' if tls is None else 'https'}://{host}:{port}"

    def stop(self) -> None:
        """No more answers."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came_from.add(writer.get_extra_info("peername")[0])
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                target = head.split(" ")[1]
                self.asked.append(target)
                if self.deaf:
                    await asyncio.sleep(3600)
                span = re.search(r"range: bytes=(\d+)-(\d+)", head, re.IGNORECASE)
                writer.write(self._answer(target, span))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str, span: re.Match[str] | None) -> bytes:
        parts = urlsplit(target)
        if parts.path == "/moved":
            return f"HTTP/1.1 302 Found\r\nLocation: {parts.query}\r\nContent-Length: 0\r\n\r\n".encode()
        if parts.path == "/announce":
            assert len(parse_qs(parts.query, encoding="latin-1")["info_hash"][0]) == 20
            peers = compact(self.peers)
            body = b"d8:intervali1800e5:peers%d:%be" % (len(peers), peers)
        elif parts.path in self.files:
            body = self.files[parts.path]
        else:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        if span is None:
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        first, last = int(span[1]), int(span[2])
        part = body[first : last + 1]
        content_range = f"bytes {first}-{last}/{len(body)}".encode()
        head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: %d\r\nContent-Range: %b\r\n\r\n"
        return head % (len(part), content_range) + part


class UdpTracker(asyncio.DatagramProtocol):
    """Answers announces (BEP 15)."""

    def __init__(self, peers: Sequence[Address]) -> None:
        self.peers = peers
        self.announces = 0
        self.came_from: set[str] = set()
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> str:
        """Its URL."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"udp://{host}:{port}"

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Connects and announces."""
        self.came_from.add(addr[0])
        assert self._transport is not None
        if data[8:12] == b"\0\0\0\0":
            self._transport.sendto(struct.pack(">I4sQ", 0, data[12:16], 7), addr)
        elif data[8:12] == b"\0\0\0\x01":
            assert data[:8] == struct.pack(">Q", 7), "the connection's id is the one that was given"
            self.announces += 1
            head = struct.pack(">I4sIII", 1, data[12:16], 1800, 0, len(self.peers))
            self._transport.sendto(head + compact(self.peers), addr)

    def stop(self) -> None:
        """No more answers."""
        if self._transport is not None:
            self._transport.close()


class WebSocketTracker:
    """Answers the announces of WebTorrent: how many are in the swarm, and nobody's offer."""

    def __init__(self) -> None:
        self.announces: list[dict[str, object]] = []
        self.farewells = 0
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> str:
        """Its URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        host, port = self._server.sockets[0].getsockname()
        return f"{'ws' if tls is None else 'wss'}://{host}:{port}/announce"

    def stop(self) -> None:
        """No more answers."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = WSConnection(ConnectionType.SERVER)
        try:
            while data := await reader.read(65536):
                server.receive_data(data)
                for event in server.events():
                    match event:
                        case WsRequest():
                            writer.write(server.send(AcceptConnection()) + server.send(Ping(payload=b"there?")))
                        case TextMessage(data=text):
                            asked = json.loads(text)
                            self.announces.append(asked)
                            answer = {"action": "announce", "info_hash": asked["info_hash"], "interval": 1800}
                            text = json.dumps({**answer, "complete": 5, "incomplete": 2})
                            writer.write(server.send(TextMessage(data=text)))
                        case CloseConnection():
                            self.farewells += 1
                            return
        except ConnectionError:
            pass
        finally:
            writer.close()


class FarNode(asyncio.DatagramProtocol):
    """A node of the DHT for which each socket of this host is a host of its own on the Internet, at the same port: what
    lies beyond a proxy tells of nobody's loopback. `beside` is another that it joins."""

    def __init__(self, beside: FarNode | None = None) -> None:
        self.address: Address = ("127.0.0.1", 0)
        self.came: Counter[Address] = Counter()
        """How many datagrams came, by where they really came from."""

        self._beside = beside
        self._hosts: dict[Address, str] = {} if beside is None else beside._hosts
        self._node: DhtNode | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> FarNode:
        """Begins."""
        self._loop = asyncio.get_running_loop()
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, local_addr=self.address)
        self.address = self._transport.get_extra_info("sockname")
        now = self._loop.time()
        self._node = DhtNode(self.address[1], now=now, bootstrap_nodes=[], enforce_node_ids=False)
        if self._beside is not None:
            self._node.add_node(self._beside.far, now)
        self._flush()
        return self

    def stop(self) -> None:
        """No more answers."""
        self._node = None
        if self._transport is not None:
            self._transport.close()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def far(self) -> Address:
        """Where others are told that it is."""
        return self._far(self.address)

    @property
    def peers(self) -> int:
        """How many peers were announced to it."""
        return 0 if self._node is None else self._node.status(self._loop.time()).stored_peers

    def announce(self, info_hash: bytes, port: int) -> None:
        """Tells the others that there is a peer where it is itself, at this port."""
        if self._node is not None:
            self._node.announce(info_hash, self._loop.time(), port=port)
            self._flush()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A question, or an answer."""
        self.came[addr] += 1
        if self._node is not None:
            self._node.receive_datagram(data, self._far(addr), self._loop.time())
            self._flush()

    def _far(self, near: Address) -> Address:
        return self._hosts.setdefault(near, f"203.0.113.{len(self._hosts) + 10}"), near[1]

    def _flush(self) -> None:
        if self._node is None or self._transport is None:
            return
        now = self._loop.time()
        if (due := self._node.get_timer()) is not None and due <= now:
            self._node.handle_timer(now)
        for to, data in self._node.datagrams_to_send(now):
            near = next((near for near in self._hosts if self._far(near) == to), None)
            if near is not None:
                self._transport.sendto(data, near)
        self._node.events()
        if self._timer is not None:
            self._timer.cancel()
        due = self._node.get_timer()
        self._timer = None if due is None else self._loop.call_at(due, self._flush)
