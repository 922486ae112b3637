"""A node of the DHT on an asyncio loop: for who wants peers, items or samples and no torrents. The machine is
`millstream.sansio.DhtNode`; this file owns its sockets, its timer and its names.

>>> import asyncio
>>> from millstream.sansio import DhtItem
>>> async def story():
...     async with Node(listen=[("127.0.0.1", 0)], bootstrap_nodes=[]) as first:
...         entry = "127.0.0.1:%d" % first.listening[0][1]
...         async with Node(listen=[("127.0.0.1", 0)], bootstrap_nodes=[entry], enforce_node_ids=False) as second:
...             return await second.joined()
>>> asyncio.run(story())
True
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterable
from types import TracebackType
from typing import Any, Self, Unpack
from weakref import ref

from ._asyncio.names import look_up
from ._dht import (
    DhtDone,
    DhtEvent,
    DhtExternal,
    DhtItem,
    DhtItemFound,
    DhtJoined,
    DhtPeers,
    DhtResolve,
    DhtSamples,
    DhtSettings,
    DhtStatus,
)
from ._millstream import DhtNode, is_public, read_address
from ._values import Address, BytesLike
from .errors import SessionClosed, StartError, StateError

__all__ = ["Lookup", "Node"]

log = logging.getLogger("millstream")

RESOLVE_TIMEOUT = 10.0
"""How long a name of a bootstrap node may take to be looked up. Seconds."""

EVERYWHERE: tuple[Address, ...] = (("0.0.0.0", 0), ("::", 0))
"""Any port on all addresses of both families."""

ENDED = "the DHT node has ended"


class Lookup(AsyncIterator[DhtEvent]):
    """A look-up under way. Iterate over what it finds, `DhtDone` last; or await it, for that alone. Dropping it, or
    `cancel`, ends it unheard."""

    def __init__(self, node: Node, number: int) -> None:
        self._node: Node | None = node
        self._number = number
        self._news: deque[DhtEvent] = deque()
        self._last: DhtDone | None = None
        self._wake: asyncio.Event = asyncio.Event()

    def cancel(self) -> None:
        """Ends it: nothing more comes."""
        node, self._node = self._node, None
        if node is not None:
            node._cancel(self._number)
        self._wake.set()

    async def __anext__(self) -> DhtEvent:
        while not self._news:
            if self._node is None:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._news.popleft()

    def __await__(self) -> Generator[Any, None, DhtDone]:
        return self._done().__await__()

    async def _done(self) -> DhtDone:
        async for _ in self:
            pass
        if self._last is None:
            raise SessionClosed(ENDED)
        return self._last

    def _tell(self, event: DhtEvent) -> None:
        self._news.append(event)
        if isinstance(event, DhtDone):
            self._last, self._node = event, None
        self._wake.set()

    def _end(self) -> None:
        self._node = None
        self._wake.set()

    def __del__(self) -> None:
        if self._node is not None:
            self._node._cancel(self._number)


class Node:
    """A node of the mainline DHT with sockets of the running loop. Use it as a context manager.

    `listen` has one address of each family at most; port 0 lets the system choose, and a family that the host hasn't is
    passed over as long as the other is there. `saved` is what `save` gave; what is damaged of it is passed over with a
    warning. Settings are those of `DhtSettings`; if all of `bootstrap_nodes` are private addresses, such addresses are
    taken into the tables.
    """

    def __init__(
        self,
        *,
        listen: Iterable[Address | str] = EVERYWHERE,
        saved: BytesLike | None = None,
        **settings: Unpack[DhtSettings],
    ) -> None:
        self._listen = [read_address(address) for address in listen]
        self._saved = saved
        self._settings = settings
        self._node: DhtNode | None = None
        self._transports: dict[bool, asyncio.DatagramTransport] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None
        self._lookups: dict[int, ref[Lookup]] = {}
        self._resolving: set[asyncio.Task[None]] = set()
        self._joining: list[asyncio.Future[bool]] = []
        self._listening: tuple[Address, ...] = ()

    # ---- its life

    async def start(self) -> Self:
        """Binds its sockets and begins to join. `async with` does it. Raises `StartError`."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        failed: OSError = OSError("no address to listen at was given")
        for host, port in self._listen:
            try:
                bound = _bind(host, port)
            except OSError as error:
                failed = error
                continue
            transport, _ = await loop.create_datagram_endpoint(lambda: _Wire(self), sock=bound)
            if self._transports.setdefault(":" in host, transport) is not transport:
                transport.close()
        if not self._transports:
            reason = f"{failed.strerror} (os error {failed.errno})" if failed.errno else str(failed)
            refusal = StartError(f"none of the listening addresses could be bound: {reason}")
            refusal.setting, refusal.reason = "listen", reason
            raise refusal
        named = (transport.get_extra_info("sockname") for transport in self._transports.values())
        self._listening = tuple((str(name[0]), int(name[1])) for name in named)
        settings = self._settings.copy()
        if _is_of_ones_own(settings.get("bootstrap_nodes", ())):
            settings["private_addresses"] = True
        try:
            self._node = self._made(self._saved, settings)
        except BaseException:
            await self.close()
            raise
        self._flush()
        return self

    async def close(self) -> None:
        """Ends it, and all look-ups. Again, it does nothing."""
        self._node = None
        for transport in self._transports.values():
            transport.close()
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        for task in self._resolving:
            task.cancel()
        for link in self._lookups.values():
            if (lookup := link()) is not None:
                lookup._end()
        self._lookups.clear()
        for future in self._joining:
            if not future.done():
                future.set_result(False)
        self._joining.clear()
        # sockets are closed by the loop's next turn
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def listening(self) -> tuple[Address, ...]:
        """Where it is reached."""
        return self._listening

    async def joined(self) -> bool:
        """Waits until the table has nodes, or the first attempt to join found none: look-ups are better after it.
        Whether there are nodes."""
        self._begun()
        future = asyncio.get_running_loop().create_future()
        self._joining.append(future)
        self._touch()
        joined: bool = await future
        return joined

    def status(self) -> DhtStatus:
        """How it is."""
        return self._begun().status(self._loop.time())

    def save(self) -> bytes:
        """Its table, for the next start."""
        return self._begun().save()

    # ---- look-ups. Each raises CommandError if too many are under way

    def get_peers(self, info_hash: BytesLike) -> Lookup:
        """Peers of a torrent: `DhtPeers`, then `DhtFoundPeers`."""
        return self._look_up(self._begun().get_peers(info_hash, self._loop.time()))

    def announce(self, info_hash: BytesLike, *, port: int | None = None, seed: bool = False) -> Lookup:
        """Tells the nodes nearest to a torrent that there is a peer of it here, at this port, or at the port of our
        datagrams: `DhtAnnounced`."""
        return self._look_up(self._begun().announce(info_hash, self._loop.time(), port=port, seed=seed))

    def scrape(self, info_hash: BytesLike) -> Lookup:
        """Counts who is in a swarm (BEP 33): `DhtScraped`."""
        return self._look_up(self._begun().scrape(info_hash, self._loop.time()))

    def get(self, target: BytesLike, *, salt: BytesLike = b"") -> Lookup:
        """An item (BEP 44): `DhtGot`."""
        return self._look_up(self._begun().get(target, self._loop.time(), salt=salt))

    def put(self, item: DhtItem, *, cas: int | None = None) -> Lookup:
        """Stores an item (BEP 44), with `cas` only over this version: `DhtStored`. Raises `ItemError` for one that no
        node would store."""
        return self._look_up(self._begun().put(item, self._loop.time(), cas=cas))

    def sample(self, target: BytesLike) -> Lookup:
        """Torrents that nodes on the way to a point know of (BEP 51): `DhtSamples`, then `DhtSampled`."""
        return self._look_up(self._begun().sample(target, self._loop.time()))

    def find_node(self, target: BytesLike) -> Lookup:
        """The nodes nearest to a point: `DhtFoundNodes`."""
        return self._look_up(self._begun().find_node(target, self._loop.time()))

    # ---- its inside

    def _made(self, saved: BytesLike | None, settings: DhtSettings) -> DhtNode:
        v4, v6 = False in self._transports, True in self._transports
        seed, now = secrets.token_bytes(32), self._loop.time()
        try:
            return DhtNode(seed, now=now, saved=saved, ipv4=v4, ipv6=v6, **settings)
        except StateError as error:
            log.warning("the saved table is passed over, and the node begins anew: %s", error)
            return self._made(None, settings)

    def _begun(self) -> DhtNode:
        if self._node is None:
            raise SessionClosed(ENDED if self._listening else "the DHT node hasn't started")
        return self._node

    def _look_up(self, number: int) -> Lookup:
        lookup = Lookup(self, number)
        self._lookups[number] = ref(lookup)
        self._touch()
        return lookup

    def _cancel(self, number: int) -> None:
        if self._node is not None and self._lookups.pop(number, None) is not None:
            self._node.cancel(number)

    def _receive(self, data: bytes, addr: Address) -> None:
        if self._node is not None:
            self._node.receive_datagram(data, addr, self._loop.time())
            self._touch()

    def _touch(self) -> None:
        """Lets out what it has to say, after all that waits was taken in."""
        if self._soon is None:
            self._soon = self._loop.call_soon(self._flush)

    def _due(self) -> None:
        if self._node is not None:
            self._node.handle_timer(self._loop.time())
            self._flush()

    def _flush(self) -> None:
        self._soon = None
        node = self._node
        if node is None:
            return
        for to, data in node.datagrams_to_send(self._loop.time()):
            transport = self._transports.get(":" in to[0])
            if transport is not None:
                transport.sendto(data, to)
        for event in node.events():
            self._on_event(event)
        if self._timer is not None:
            self._timer.cancel()
        at = node.get_timer()
        self._timer = None if at is None else self._loop.call_at(at, self._due)
        self._tell_joined(node)

    def _tell_joined(self, node: DhtNode) -> None:
        if not self._joining:
            return
        status = node.status(self._loop.time())
        nodes = any(family.nodes for family in status.families)
        # its own look-ups are over, and no name is asked for
        if nodes or (not self._resolving and status.lookups == len(self._lookups)):
            for future in self._joining:
                if not future.done():
                    future.set_result(nodes)
            self._joining.clear()

    def _on_event(self, event: DhtEvent) -> None:
        match event:
            case DhtResolve(host, port):
                task = self._loop.create_task(self._resolve(host, port))
                self._resolving.add(task)
            case DhtPeers(number) | DhtItemFound(number) | DhtSamples(number) | DhtDone(number):
                link = self._lookups.get(number)
                if isinstance(event, DhtDone):
                    self._lookups.pop(number, None)
                lookup = None if link is None else link()
                if lookup is not None:
                    lookup._tell(event)
            case DhtJoined(family):
                log.info("joined the DHT over %s", family)
            case DhtExternal(address):
                log.debug("others see us at %s", address)

    async def _resolve(self, host: str, port: int) -> None:
        found: list[Address] = []
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await look_up(host.removeprefix("[").removesuffix("]"), port)
        except OSError as error:
            # also when the time is over
            log.debug("%s can't be looked up: %s", host, error)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._resolving.discard(task)
        if self._node is not None:
            self._node.resolved(found, self._loop.time())
            self._touch()


class _Wire(asyncio.DatagramProtocol):
    """A socket of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._node._receive(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """News of an earlier datagram's fate: its query will run out of time."""


def _bind(host: str, port: int) -> socket.socket:
    is_v6 = ":" in host
    bound = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if is_v6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _is_of_ones_own(bootstrap: Iterable[str]) -> bool:
    """Whether the DHT that is entered by these is one of a host's or a network's own: all have private addresses."""
    nodes = list(bootstrap)

    def private(node: str) -> bool:
        host = node.rpartition(":")[0].removeprefix("[").removesuffix("]")
        try:
            return not is_public(host)
        except ValueError:
            return False

    return bool(nodes) and all(private(node) for node in nodes)
