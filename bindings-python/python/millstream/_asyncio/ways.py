"""The ways out of a session on a loop: direct, from a chosen interface or address, or through a proxy. Whoever needs a
link, a name's addresses or a socket for datagrams asks here, so that there is one place where a way can be closed: with
a proxy, none leads anywhere but to the proxy itself and to its relay. What is closed, and a proxy's words, are
Rust's."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from .._millstream import Tunnel, Ways as Rules
from .._values import Address, FailureKind
from .names import look_up

log = logging.getLogger("millstream")

ADDRESSES_MAX = 8
"""Addresses of one host that are tried."""

CONNECT_TIMEOUT = 10.0
"""Seconds that one address may take before the next is tried."""

TUNNEL_TIMEOUT = 30.0
"""Seconds that a proxy may take for its side of an opening, the way behind it included."""

RESOLVE_TIMEOUT = 20.0
"""Seconds that a look-up of a name may take."""


class Unanswered(Exception):
    """A server gave no answer that is of use; `kind` says whom the engine is to blame."""

    def __init__(self, message: str, kind: FailureKind = "other") -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


@dataclass(frozen=True, slots=True)
class Opened:
    """A link that is open, and its other end: None behind a proxy that looked up its name."""

    socket: socket.socket
    remote: Address | None


class Ways:
    """All of them."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._proxy = rules.proxy
        # asked often, and the same for ever
        self._is_bound = rules.interface is not None or _is_bound(rules)

    @property
    def is_proxied(self) -> bool:
        """Whether everything goes through a proxy or not at all."""
        return self._proxy is not None

    @property
    def relays(self) -> bool:
        """Whether datagrams have a way through it."""
        return self._rules.relays

    async def connect(self, factory: Callable[[], asyncio.BaseProtocol], to: Address) -> None:
        """Opens a link to a peer for a protocol. Raises OSError."""
        loop = asyncio.get_running_loop()
        if not self.is_proxied and not self._is_bound:
            await loop.create_connection(factory, *to)
            return
        if self.is_proxied:
            target = self._rules.target(to)
            if target is None:
                raise OSError(errno.EHOSTUNREACH, "the name that this address stood for was forgotten")
            made = await self._tunnel(*target)
        else:
            made = await self._dial(to, None)
        try:
            await loop.create_connection(factory, sock=made)
        except BaseException:
            made.close()
            raise

    async def open(
        self, host: str, port: int, *, ours: str | None = None, only: Callable[[str], bool] | None = None
    ) -> Opened:
        """A link to a server: from an address of ours and so over its family, if one is given; to addresses that pass
        `only`. The addresses that are judged are those that are used, so that a name can't change its meaning in
        between. A name that a proxy looks up can't be judged here, and leads into the proxy's network, not into ours.
        Raises Unanswered, OSError."""
        if self.is_proxied:
            remote = (host, port) if _is_address(host) else None
            if remote is not None and only is not None and not only(host):
                raise Unanswered(f"{host} leads into a private network", "permission")
            return Opened(await self._tunnel(host, port), remote)
        addresses = await self.resolve(host, port)
        if only is not None:
            addresses = [it for it in addresses if only(it[0])]
            if not addresses:
                raise Unanswered(f"{host} leads into a private network", "permission")
        if ours is not None:
            addresses = [it for it in addresses if (":" in it[0]) == (":" in ours)]
        return await self._first(addresses, ours)

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a host. Behind a proxy a name gets a stand-in that only this process knows: the name itself
        is given to the proxy when something goes there. Raises Unanswered."""
        try:
            if self.is_proxied:
                return [self._rules.stand_in(host, port)]
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                return await look_up(host.removeprefix("[").removesuffix("]"), port)
        except TimeoutError:
            raise Unanswered(f"{host}: nobody knew it in time", "timed_out") from None
        except OSError as error:
            raise Unanswered(f"{host}: {error}", "not_found") from error

    async def associate(self) -> tuple[socket.socket, socket.socket]:
        """A relay for datagrams: the link to the proxy that it lives by, and the socket that speaks to it and to nobody
        else. Raises OSError."""
        async with asyncio.timeout(TUNNEL_TIMEOUT):
            link = await self._to_proxy()
            try:
                opening = self._rules.associate()
                await _converse(link, opening)
                relay = opening.relay(link.getpeername()[0])
                datagrams = self.made_for(relay, socket.SOCK_DGRAM)
                try:
                    # connected: the kernel drops what comes from anybody else
                    datagrams.connect(relay)
                except BaseException:
                    datagrams.close()
                    raise
            except BaseException:
                link.close()
                raise
        return link, datagrams

    def made_for(self, to: Address, kind: socket.SocketKind, ours: str | None = None) -> socket.socket:
        """A socket that leads there from where it has to come from. Raises OSError."""
        v6 = ":" in to[0]
        source = self._rules.source(not v6)
        if source is None and ours is not None and _leads(ours, to[0]):
            source = ours
        protocol = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
        made = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind, protocol)
        try:
            made.setblocking(False)
            self.attach(made)
            if source is not None:
                made.bind((source, 0))
        except BaseException:
            made.close()
            raise
        return made

    def attach(self, made: socket.socket) -> None:
        """Keeps a socket to the interface that was chosen, where the system lets us; an address alone lets packets
        leave by another."""
        name = self._rules.interface
        if name is None or not hasattr(socket, "SO_BINDTODEVICE"):
            return
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        except PermissionError:
            log.debug("the system keeps sockets to their address only, not to %s", name)

    async def _tunnel(self, host: str, port: int) -> socket.socket:
        opening = self._rules.tunnel(host, port)
        async with asyncio.timeout(TUNNEL_TIMEOUT):
            link = await self._to_proxy()
            try:
                await _converse(link, opening)
            except BaseException:
                link.close()
                raise
        return link

    async def _to_proxy(self) -> socket.socket:
        """A link to the proxy: the only direct way where one is set. Its own name, if it has one, is the only one that
        is looked up here."""
        assert self._proxy is not None
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                addresses = await look_up(*self._proxy)
            return (await self._first(addresses, None)).socket
        except OSError as error:
            raise _named(error, f"{self._rules.proxy_url}: {error}") from error

    async def _first(self, addresses: list[Address], ours: str | None) -> Opened:
        """To the first that answers."""
        last = OSError(errno.EADDRNOTAVAIL, "no address of a family that can be used")
        for to in addresses[:ADDRESSES_MAX]:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return Opened(await self._dial(to, ours), to)
            except TimeoutError:
                last = TimeoutError(f"{to[0]} didn't answer in time")
            except OSError as error:
                last = error
        raise last

    async def _dial(self, to: Address, ours: str | None) -> socket.socket:
        made = self.made_for(to, socket.SOCK_STREAM, ours)
        try:
            await asyncio.get_running_loop().sock_connect(made, to)
        except BaseException:
            made.close()
            raise
        return made


async def _converse(link: socket.socket, opening: Tunnel) -> None:
    """Carries an opening on until the proxy agrees. Not a byte of what follows is taken. Raises OSError."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(link, opening.hello)
    while wants := opening.wants:
        said = bytearray()
        while len(said) < wants:
            data = await loop.sock_recv(link, wants - len(said))
            if not data:
                raise ConnectionResetError("the proxy hung up")
            said += data
        if answer := opening.take(said):
            await loop.sock_sendall(link, answer)


def _named(error: OSError, message: str) -> OSError:
    """The same kind of error, in other words."""
    kind = next((it for it in (TimeoutError, ConnectionRefusedError) if isinstance(error, it)), OSError)
    return kind(message) if error.errno is None else kind(error.errno, message)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_bound(rules: Rules) -> bool:
    """Whether everything is to come from an address: one that lacks a family says so."""
    try:
        return rules.source(True) is not None
    except OSError:
        return True


def _leads(ours: str, to: str) -> bool:
    """Whether a link from our address may get there. Nothing but this host is reached from its loopback, and who
    listens there alone may still ask others."""
    ip = ipaddress.ip_address(ours)
    return not ip.is_unspecified and (not ip.is_loopback or ipaddress.ip_address(to.split("%")[0]).is_loopback)
