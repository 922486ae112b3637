"""The sockets by which neighbours are told and heard (BEP 14): one that hears for each address family, and one that
speaks for each address that we can be called at, since whoever hears it calls where it came from."""

from __future__ import annotations

import logging
import socket
import struct

from .._millstream import Body
from .._values import Address

log = logging.getLogger("millstream")

PORT = 6771
GROUPS = {socket.AF_INET: "239.192.152.143", socket.AF_INET6: "ff15::efc0:988f"}

HOPS_MAX = 16
"""Routers that an announce may pass: the groups are wider than one link, and their scope ends at the site."""


class Neighbourhood:
    """One family's sockets."""

    def __init__(self, ears: socket.socket, mouths: list[socket.socket]) -> None:
        self.ears = ears
        self._mouths = mouths

    def send(self, data: bytes | memoryview, to: Address) -> None:
        """Says it once on each interface. One that is down now hears the next announce."""
        for mouth in self._mouths:
            try:
                mouth.sendto(data, to)
            except OSError as error:
                log.debug("an announce to neighbours wasn't sent: %s", error)

    def close(self) -> None:
        """Gives those that speak back; those that hear are the loop's."""
        for mouth in self._mouths:
            mouth.close()


def neighbourhoods(body: Body, listening: list[str]) -> list[Neighbourhood]:
    """What it takes to hear and be heard in each family that the host has. Nothing of it is needed to go on."""
    found = []
    for family in GROUPS:
        places = body.places(family == socket.AF_INET, listening)
        if not places:
            continue
        try:
            ears = _ears(family, {index for _, index in places})
        except OSError as error:
            log.debug("neighbours can't be heard: %s", error)
            continue
        mouths = [mouth for place in places if (mouth := _mouth(family, *place)) is not None]
        found.append(Neighbourhood(ears, mouths))
    return found


def _ears(family: socket.AddressFamily, interfaces: set[int]) -> socket.socket:
    ears = socket.socket(family, socket.SOCK_DGRAM)
    try:
        # several programs of one host hear the group
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ears.setblocking(False)
        group = socket.inet_pton(family, GROUPS[family])
        if family == socket.AF_INET6:
            ears.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        ears.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", PORT))
        joined = False
        for index in interfaces:
            try:
                if family == socket.AF_INET6:
                    it = struct.pack("@16sI", group, index)
                    ears.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, it)
                else:
                    it = struct.pack("@4s4si", group, bytes(4), index)
                    ears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, it)
                joined = True
            except OSError as error:
                log.debug("neighbours at interface %s can't be heard: %s", index, error)
        if not joined:
            raise OSError("no interface knows multicast")
    except BaseException:
        ears.close()
        raise
    return ears


def _mouth(family: socket.AddressFamily, host: str, index: int) -> socket.socket | None:
    mouth = socket.socket(family, socket.SOCK_DGRAM)
    try:
        mouth.setblocking(False)
        # an address of the link alone says of which
        mouth.bind((host, 0, 0, index) if family == socket.AF_INET6 else (host, 0))
        if family == socket.AF_INET6:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS_MAX)
        else:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS_MAX)
    except OSError as error:
        mouth.close()
        log.debug("no announces to neighbours from %s: %s", host, error)
        return None
    return mouth
