"""A careful HTTP client: GET, over the loop's streams, parsed by h11. Servers are strangers: heads, bodies, redirects,
time and what a gzip unpacks to are bounded, and a server of the open Internet leads nobody into a private network."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import zlib
from collections import deque
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

import h11

from .._millstream import __version__
from .._values import Address
from .ways import Unanswered, Ways

HEAD_BYTES_MAX = 64 << 10
"""A longer head breaks the exchange."""

READ_BYTES = 256 << 10
"""The most that is read at once."""

TLS_TIMEOUT = 10.0
"""Seconds that a server may take to agree on TLS."""

PIECE_BYTES = 16 << 10
"""Packed bytes that are unpacked at once."""

UNPACKED_AT_ONCE = 64 << 10
"""Packed bytes that the loop waits for."""

EVENTS_AT_ONCE = 64
"""Parts of answers that are taken in before others on the loop get their turn."""

NEWS_MAX = 16
"""Preliminary answers (1xx) that a server may give before it answers."""

CRUMBS_MAX = 1000
"""Chunks of a body after which it is broken if they hold fewer than `CRUMB_BYTES` each: they cost more than they
are."""

CRUMB_BYTES = 16

KEPT_MAX = 64
"""Links to servers that are kept to be used again."""

KEPT_FOR = 20.0
"""Seconds that one is kept unused."""

TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Where addresses of IPv4 are reached over IPv6 (RFC 6052)."""

REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    url: str
    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, schemes: tuple[str, str] = ("http", "https")) -> Target:
        """From a URL of one of these schemes, the second of which is over TLS."""
        # what strangers write into URLs though it doesn't belong there is escaped, and the fragment left away
        clean = quote(url.split("#")[0], safe="!$%&'()*+,-./:;=?@[]_~")
        try:
            parts = urlsplit(clean)
            port = parts.port
        except ValueError:
            raise Unanswered(f"{url!r} is no URL") from None
        if parts.scheme not in schemes or not parts.hostname:
            raise Unanswered(f"{url!r} is no URL of {' or '.join(schemes)}")
        secure = parts.scheme == schemes[1]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        usual = 443 if secure else 80
        return cls(clean, secure, parts.hostname, usual if port is None else port, path)

    def join(self, location: str) -> Target:
        """Where a `Location` leads from here. Raises Unanswered."""
        try:
            return Target.parse(urljoin(self.url, location.strip()))
        except ValueError:
            raise Unanswered(f"{location!r} is no URL to be led to") from None

    @property
    def host_header(self) -> str:
        """No user, and the port only if it isn't the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


class Link:
    """A link to a server."""

    def __init__(
        self,
        target: Target,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        remote: Address | None,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.place = (target.secure, target.host, target.port)
        # the other end; None behind a proxy that looked up its name
        self.remote = remote
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._events = 0
        self._chunks = 0
        self._chunk_bytes = 0

    async def ask(self, target: Target, headers: list[tuple[str, str]]) -> h11.Response:
        """Sends a GET; the head of its answer."""
        ours = [("Host", target.host_header), ("User-Agent", f"millstream/{__version__}")]
        request = h11.Request(method="GET", target=target.path, headers=ours + headers)
        self.writer.write(self.http.send(request) or b"")
        self.writer.write(self.http.send(h11.EndOfMessage()) or b"")
        await self.writer.drain()
        self._chunks = self._chunk_bytes = 0
        for _ in range(NEWS_MAX + 1):
            event = await self.next(READ_BYTES)
            if isinstance(event, h11.Response):
                return event
            if event is None:
                raise ConnectionResetError("the server hung up")
        raise ConnectionResetError("the server has much to say and answers nothing")

    async def next(self, most: int) -> h11.Event | None:
        """What the server says next, after reading `most` bytes at the most; None if it has hung up."""
        self._events += 1
        if self._events % EVENTS_AT_ONCE == 0:
            # what was read may hold many, and reading waits for nothing while something lies there
            await asyncio.sleep(0)
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.reader.read(max(1, min(most, READ_BYTES))))
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return None
            else:
                assert not isinstance(event, type)
                if isinstance(event, h11.Data):
                    self._weigh(event)
                return event

    def _weigh(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._chunk_bytes += len(data.data)
        if self._chunks > CRUMBS_MAX and self._chunk_bytes < self._chunks * CRUMB_BYTES:
            raise ConnectionResetError("the body comes in crumbs")

    def close(self) -> None:
        """Ends it at once."""
        self.writer.transport.abort()


class Kept:
    """Links that wait to be used again, since a web seed is asked for one range after the other."""

    def __init__(self) -> None:
        self._links: deque[tuple[float, Link]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, target: Target) -> Link | None:
        """One that leads there."""
        self._forget()
        for at in self._links:
            if at[1].place == (target.secure, target.host, target.port) and not at[1].reader.at_eof():
                self._links.remove(at)
                return at[1]
        return None

    def put(self, link: Link) -> None:
        """One whose answer was read whole, if it may be used again."""
        if link.http.our_state is not h11.DONE or link.http.their_state is not h11.DONE:
            link.close()
            return
        link.http.start_next_cycle()
        self._links.append((asyncio.get_running_loop().time() + KEPT_FOR, link))
        self._forget()

    def close(self) -> None:
        """Ends all."""
        if self._timer is not None:
            self._timer.cancel()
        while self._links:
            self._links.popleft()[1].close()

    def _forget(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._links and (self._links[0][0] <= now or len(self._links) > KEPT_MAX):
            self._links.popleft()[1].close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._links[0][0], self._forget) if self._links else None


class Client:
    """Asks servers. Links are its own."""

    def __init__(self, ways: Ways) -> None:
        self.kept = Kept()
        self._ways = ways
        self._tls: ssl.SSLContext | None = None

    async def get(self, url: str, *, bytes_max: int, redirects_max: int, timeout: float, ours: str | None) -> Answer:
        """What is there, from an address of ours and so over its family, or over any. Raises Unanswered."""
        try:
            async with asyncio.timeout(timeout):
                link, head = await self._follow(url, redirects_max, [("Accept-Encoding", "gzip")], ours)
                try:
                    body = await _read(link, bytes_max)
                finally:
                    link.close()
        except TimeoutError:
            raise Unanswered("there was no answer in time", "timed_out") from None
        except (OSError, h11.ProtocolError) as error:
            raise Unanswered(f"{url}: {error}") from error
        packing = _header(head, b"content-encoding")
        if packing is not None and packing.lower() in ("gzip", "x-gzip"):
            body = await _unpacked(body, bytes_max)
        return Answer(head.status_code, body)

    async def open(self, url: str, span: tuple[int, int] | None, redirects_max: int) -> tuple[Link, h11.Response]:
        """Asks for a body that is read by and by. Raises Unanswered, OSError."""
        # ranges count the bytes as they are
        headers = [("Accept-Encoding", "identity")]
        if span is not None:
            headers.append(("Range", f"bytes={span[0]}-{span[1]}"))
        try:
            link, head = await self._follow(url, redirects_max, headers, None, keep=True)
        except h11.ProtocolError as error:
            raise Unanswered(f"{url}: {error}") from error
        if _header(head, b"content-encoding") not in (None, "identity"):
            link.close()
            raise Unanswered("the answer is compressed, though that wasn't asked for")
        return link, head

    async def connect(self, target: Target, *, ours: str | None = None, only_public: bool = False) -> Link:
        """A link to a server. Raises Unanswered, OSError."""
        only = is_public if only_public else None
        opened = await self._ways.open(target.host, target.port, ours=ours, only=only)
        try:
            tls = await self._context() if target.secure else None
            async with asyncio.timeout(TLS_TIMEOUT if tls is not None else None):
                reader, writer = await asyncio.open_connection(
                    sock=opened.socket,
                    limit=READ_BYTES,
                    ssl=tls,
                    server_hostname=target.host if target.secure else None,
                )
        except BaseException as error:
            opened.socket.close()
            if isinstance(error, ValueError) and not isinstance(error, OSError):
                raise Unanswered(f"{target.host!r} is no name for TLS: {error}") from error
            raise
        return Link(target, reader, writer, opened.remote)

    async def _follow(
        self,
        url: str,
        redirects_max: int,
        headers: list[tuple[str, str]],
        ours: str | None,
        *,
        keep: bool = False,
    ) -> tuple[Link, h11.Response]:
        target, from_public = Target.parse(url), False
        for _ in range(redirects_max + 1):
            link = self.kept.take(target) if keep and not from_public else None
            if link is None:
                link = await self.connect(target, ours=ours, only_public=from_public)
                head = await _ask(link, target, headers if keep else [*headers, ("Connection", "close")])
            else:
                try:
                    head = await _ask(link, target, headers)
                except (OSError, h11.ProtocolError):
                    # the server had closed it before it heard us
                    link = await self.connect(target, ours=ours)
                    head = await _ask(link, target, headers)
            location = _header(head, b"location")
            if head.status_code not in REDIRECTS or location is None:
                return link, head
            # a name that a proxy looked up is taken for one of the Internet: it leads nobody to an address of ours
            from_public = from_public or link.remote is None or is_public(link.remote[0])
            link.close()
            target = target.join(location)
        raise Unanswered(f"more than {redirects_max} redirects")

    async def _context(self) -> ssl.SSLContext:
        tls = self._tls
        if tls is None:
            # it reads the authorities from files
            tls = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
            self._tls = tls
        return tls


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes


def is_public(host: str) -> bool:
    """Whether an address is one of the open Internet."""
    ip = ipaddress.ip_address(host.split("%")[0])
    if ip.version == 6:
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in TRANSLATED:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        # 2000::/3 is all that was ever given out
        return int(ip) >> 125 == 1
    return ip.is_global and not ip.is_multicast


def length_of(head: h11.Response) -> int | None:
    """How long the body is, if the server says."""
    text = _header(head, b"content-length")
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else None


def range_of(head: h11.Response) -> tuple[int, int, int | None] | None:
    """`bytes FIRST-LAST/TOTAL`, where the total may be unknown (`*`)."""
    text = _header(head, b"content-range") or ""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    first, _, last = span.partition("-")
    numbers = [first.strip(), last.strip()] + ([] if total.strip() == "*" else [total.strip()])
    if unit.lower() != "bytes" or not all(it.isascii() and it.isdigit() and len(it) < 19 for it in numbers):
        return None
    return int(first), int(last), None if total.strip() == "*" else int(total)


def retry_after_of(head: h11.Response) -> int | None:
    """Seconds after which the server wants to be asked again."""
    text = _header(head, b"retry-after")
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else None


def _header(head: h11.Response, name: bytes) -> str | None:
    found = (value for key, value in head.headers if key == name)
    return next((value.decode("latin-1").strip() for value in found), None)


async def _ask(link: Link, target: Target, headers: list[tuple[str, str]]) -> h11.Response:
    try:
        return await link.ask(target, headers)
    except BaseException:
        link.close()
        raise


async def _read(link: Link, bytes_max: int) -> bytes:
    body = bytearray()
    while True:
        event = await link.next(READ_BYTES)
        if isinstance(event, h11.Data):
            body += event.data
            if len(body) > bytes_max:
                raise Unanswered(f"the body is longer than {bytes_max} bytes")
        elif event is None or isinstance(event, h11.EndOfMessage):
            return bytes(body)


async def _unpacked(packed: bytes, bytes_max: int) -> bytes:
    """Long ones are unpacked beside the loop."""
    if len(packed) <= UNPACKED_AT_ONCE:
        return _unpack(packed, bytes_max)
    return await asyncio.get_running_loop().run_in_executor(None, _unpack, packed, bytes_max)


def _unpack(packed: bytes, bytes_max: int) -> bytes:
    """Unpacks no more than is allowed, whatever the packed bytes claim. They are given piece by piece: what is left of
    a member is copied, and there may be many members."""
    out = bytearray()
    rest = memoryview(packed)
    member = zlib.decompressobj(wbits=31)
    try:
        while rest:
            piece, rest = bytes(rest[:PIECE_BYTES]), rest[PIECE_BYTES:]
            while piece:
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                out += member.decompress(piece, bytes_max + 1 - len(out))
                if len(out) > bytes_max:
                    raise Unanswered(f"the body unpacks to more than {bytes_max} bytes")
                piece = member.unused_data or member.unconsumed_tail
    except zlib.error as error:
        raise Unanswered(f"the packed body is broken: {error}") from error
    if packed and not member.eof:
        raise Unanswered("the packed body breaks off")
    return bytes(out)
