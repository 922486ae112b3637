"""Sockets that don't block, and a bell that wakes who waits for them. It owns no connection."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import ipaddress
import socket
import threading
from typing import Literal


class Bell(threading.Event):
    """An event that a selector hears too, at its `ear`: for the place of a component's `threadWakeUp`."""

    def __init__(self) -> None:
        super().__init__()
        self.ear, self._hand = socket.socketpair()
        self.ear.setblocking(False)
        self._hand.setblocking(False)

    def set(self) -> None:
        """Rings."""
        super().set()
        # a full one rings already; a closed one has nobody to wake
        with contextlib.suppress(OSError):
            self._hand.send(b"\1")

    def clear(self) -> None:
        """Is silent again."""
        super().clear()
        with contextlib.suppress(OSError):
            while self.ear.recv(4096):
                pass

    def close(self) -> None:
        """Wakes nobody any more."""
        self.ear.close()
        self._hand.close()


def take_address(address: object) -> tuple[str, int]:
    """A host and a port, or ValueError, or TypeError."""
    if not isinstance(address, tuple | list) or len(address) < 2:
        raise TypeError("an address is a pair of a host and a port")
    host, port = address[:2]
    if not isinstance(host, str) or not isinstance(port, int) or isinstance(port, bool):
        raise TypeError("an address is a pair of a host and a port")
    if not host or "\0" in host or not 0 < port < 1 << 16:
        raise ValueError(f"{host!r}, {port} is no address")
    return host, port


def is_ip(host: str) -> bool:
    """Whether it is an address already, and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def addresses_of(address: tuple[str, int]) -> list[tuple[str, int]]:
    """The addresses of a host's name. May take long. Raises OSError."""
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host!r} is no name: {error}") from error
    return [(str(place[0]), port) for *_, place in found]


def host_number(host: str) -> int:
    """A number that stands for a host."""
    return int.from_bytes(hashlib.blake2b(host.lower().encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def start_connecting(address: tuple[str, int]) -> socket.socket:
    """A socket that is about to be connected: it can be written to when it is, or when it can't be. Raises OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        sock.close()
        raise OSError(code, f"{address[0]} can't be reached")
    return sock


def blame(error: OSError) -> Literal["timed_out", "refused", "unreachable", "no_room"]:
    """What an error says of the network, as a ConnectionPool wants to hear it."""
    match error.errno:
        case errno.ETIMEDOUT:
            return "timed_out"
        case errno.ENETUNREACH | errno.EHOSTUNREACH | errno.EHOSTDOWN | errno.ENETDOWN:
            return "unreachable"
        case errno.EMFILE | errno.ENFILE | errno.ENOBUFS | errno.ENOMEM | errno.EADDRNOTAVAIL:
            return "no_room"
        case _:
            return "refused"
