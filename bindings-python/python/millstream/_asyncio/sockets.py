"""Which sockets are bound: a listener and one for datagrams beside it at each address. What they carry is not its
own."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .._values import Address
from ..errors import StartError
from .ways import Ways

BACKLOG = 1024
"""Links that the kernel accepts ahead of us."""

KERNEL_BYTES = 4 << 20
"""What the kernel may hold of datagrams that came, and of those that go. The host's limit counts if it is lower."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What is bound to one address."""

    tcp: socket.socket | None
    udp: socket.socket | None

    def close(self) -> None:
        """Gives both back."""
        for it in (self.tcp, self.udp):
            if it is not None:
                it.close()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be bound."""

    addresses: Sequence[Address]
    tries_max: int
    what: Literal["links", "held", "datagrams", "nothing"]
    """Links are taken; or their ports are only held; or nobody is to reach us; or no socket may be but those to a
    proxy."""

    ways: Ways

    @property
    def takes_links(self) -> bool:
        """Whether who calls is answered."""
        return self.what == "links"


def bind_all(wanted: Wanted) -> tuple[list[Pair], list[str]]:
    """Binds all addresses, to the next free port where one is taken. What the host can't do at all is a warning, as
    long as something is bound. Raises StartError."""
    if wanted.what == "nothing":
        return [], []
    if wanted.what == "datagrams":
        # nobody can reach us, but trackers that speak UDP can be asked
        return _datagrams_alone(wanted), []
    last: OSError = OSError(errno.EADDRINUSE, "the address is taken")
    for step in range(wanted.tries_max + 1):
        pairs: list[Pair] = []
        warnings: list[str] = []
        try:
            failed = _bind_once(wanted, step, pairs, warnings)
        except OSError as error:
            for pair in pairs:
                pair.close()
            last = error
            continue
        if not pairs and failed is not None:
            last = failed
            break
        return pairs, warnings
    raise _refused(last.errno, f"nothing can be listened at: {last}") from last


def _bind_once(wanted: Wanted, step: int, pairs: list[Pair], warnings: list[str]) -> OSError | None:
    """Raises OSError where a port is taken; gives what the host can't do at all."""
    failed: OSError | None = None
    chosen = 0
    for host, port in wanted.addresses:
        # all that let the system choose get the same port
        address = (host, chosen if port == 0 else min(port + step, 65535))
        try:
            tcp = _bind(wanted, address, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            warnings.append(f"{address} can't be listened at: {error}")
            failed = error
            continue
        at = tcp.getsockname()
        pairs.append(Pair(tcp, None))
        if port == 0:
            chosen = at[1]
        try:
            pairs[-1] = Pair(tcp, _bind(wanted, (host, at[1]), socket.SOCK_DGRAM))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            warnings.append(f"no datagrams at {at}: {error}")
    return failed


def _datagrams_alone(wanted: Wanted) -> list[Pair]:
    pairs = []
    for address in wanted.addresses:
        try:
            pairs.append(Pair(None, _bind(wanted, address, socket.SOCK_DGRAM)))
        except OSError:
            # a host without this family
            continue
    return pairs


def _bind(wanted: Wanted, address: Address, kind: socket.SocketKind) -> socket.socket:
    try:
        is_v6 = ipaddress.ip_address(address[0]).version == 6
    except ValueError as error:
        raise _refused(errno.EINVAL, f"{address[0]!r} is no IP address to listen at") from error
    # asyncio keeps links from waiting for more (TCP_NODELAY) only where the protocol is named
    protocol = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
    bound = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, kind, protocol)
    try:
        bound.setblocking(False)
        wanted.ways.attach(bound)
        if is_v6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # a listener that was here before leaves links behind that linger; they must not block the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        bound.bind(address)
        if kind == socket.SOCK_STREAM and wanted.takes_links:
            bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _refused(number: int | None, reason: str) -> StartError:
    error = StartError(number, reason)
    error.setting, error.reason = "listen", reason
    return error
