"""Looking up names. The system's look-up may hang for as long as it likes: it has threads that nobody waits for, so
that no program hangs with it at its end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from weakref import WeakKeyDictionary

from .._values import Address

LOOKUPS_MAX = 8
"""Look-ups of one loop at once; others wait."""

_turnstiles: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def look_up(host: str, port: int) -> list[Address]:
    """The addresses of a host. Raises OSError if it has none."""
    with contextlib.suppress(ValueError):
        return [(str(ipaddress.ip_address(host)), port)]
    loop = asyncio.get_running_loop()
    turnstile = _turnstiles.setdefault(loop, asyncio.Semaphore(LOOKUPS_MAX))
    async with turnstile:
        found: asyncio.Future[list[Address]] = loop.create_future()
        ask = threading.Thread(target=_ask, args=(loop, found, host, port), name="millstream-name", daemon=True)
        ask.start()
        return await found


def _ask(loop: asyncio.AbstractEventLoop, found: asyncio.Future[list[Address]], host: str, port: int) -> None:
    addresses: list[Address] = []
    error: OSError = socket.gaierror(socket.EAI_NONAME, "it has no address")
    try:
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            addresses.append((str(address[0]).split("%")[0], int(address[1])))
    except OSError as failed:
        error = failed
    except UnicodeError as failed:
        error = socket.gaierror(socket.EAI_NONAME, str(failed))

    def tell() -> None:
        if found.done():
            return
        if addresses:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    # the loop may be closed by now
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(tell)
