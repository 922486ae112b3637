"""Small routers on addresses of the loopback that speak NAT-PMP (RFC 6886), PCP (RFC 6887) or UPnP (IGD 1), and
remember what they were asked."""

from __future__ import annotations

import asyncio
import re
import struct
from typing import Self, cast

from millstream.sansio import Address

PORT = 5351
SSDP_PORT = 1900
UNSUPPORTED = 1
OUTSIDE = bytes([81, 2, 3, 4])
PROTOCOLS = {6: "tcp", 17: "udp"}


class Router(asyncio.DatagramProtocol):
    """Gives the port outside that is `shift` beyond the one inside; or nothing at all. It speaks NAT-PMP."""

    def __init__(self, host: str, *, shift: int = 1000, deaf: bool = False) -> None:
        self.host = host
        self.shift = shift
        self.asked: list[tuple[str, int, int]] = []
        """Protocol, port inside, and for how many seconds: 0 gives it back."""

        self.came = asyncio.Event()
        self._deaf = deaf
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> Self:
        """Listens."""
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, PORT))
        return self

    def stop(self) -> None:
        """Listens no more."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It listens."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """A question."""
        self.came.set()
        if not self._deaf and self._transport is not None:
            self._transport.sendto(self.answer(data), addr)

    def answer(self, asked: bytes) -> bytes:
        """What is said to it."""
        version, what = asked[0], asked[1]
        if version != 0:
            return struct.pack(">BBHI", 0, 128 + what, UNSUPPORTED, 9)
        head = struct.pack(">BBHI", 0, 128 + what, 0, 9)
        if what == 0:
            return head + OUTSIDE
        inside, _, lifetime = struct.unpack(">HHI", asked[4:12])
        self.asked.append(({1: "udp", 2: "tcp"}[what], inside, lifetime))
        return head + struct.pack(">HHI", inside, self.outside(inside) if lifetime else 0, lifetime)

    def outside(self, inside: int) -> int:
        """The port that it gives."""
        return (inside + self.shift) & 0xFFFF

    async def asked_of(self, count: int) -> None:
        """It was asked so often."""
        while len(self.asked) < count:
            self.came.clear()
            await self.came.wait()


class PcpRouter(Router):
    """One that speaks PCP."""

    def answer(self, asked: bytes) -> bytes:
        """What is said to it."""
        version, what, lifetime = struct.unpack(">BBxxI", asked[:8])
        assert (version, what) == (2, 1), "it asks for a port, and in no older language"
        protocol, inside = struct.unpack(">12xB3xH", asked[24:42])
        self.asked.append((PROTOCOLS[protocol], inside, lifetime))
        head = struct.pack(">BBHII12x", 2, 128 + what, 0, lifetime, 9)
        # the question's nonce, protocol and port; the port outside; the address as IPv6 has it
        return head + asked[24:42] + struct.pack(">H", self.outside(inside)) + b"\0" * 10 + b"\xff\xff" + OUTSIDE


SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
ARGUMENTS = (
    *("RemoteHost", "ExternalPort", "Protocol", "InternalPort", "InternalClient", "Enabled"),
    *("PortMappingDescription", "LeaseDuration"),
)
IN_USE = 718
ONLY_FOR_EVER = 725


def _device(kind: str, inside: str) -> str:
    return f"<device><deviceType>urn:schemas-upnp-org:device:{kind}:1</deviceType>{inside}</device>"


def _action(name: str, arguments: tuple[str, ...]) -> str:
    told = "".join(f"<argument><name>New{it}</name><direction>in</direction></argument>" for it in arguments)
    return f"<action><name>{name}</name><argumentList>{told}</argumentList></action>"


class UpnpRouter(Router):
    """One that speaks UPnP, and gives the port that is wished for. `taken`: somebody has that one already;
    `only_for_ever`: it knows no leases; `chooses`: it can be asked for any port, as those of IGD 2."""

    def __init__(self, host: str, *, taken: bool = False, only_for_ever: bool = False, chooses: bool = False) -> None:
        super().__init__(host)
        self.taken = taken
        self.only_for_ever = only_for_ever
        self.chooses = chooses
        self.given: dict[tuple[str, int], int] = {}
        """The ports that are open now: protocol and port outside, to which port inside."""

        self.clients: set[str] = set()
        self._server: asyncio.Server | None = None
        self._location = ""

    async def start(self) -> Self:
        """Listens."""
        self._server = await asyncio.start_server(self._serve, self.host, 0)
        host, port = self._server.sockets[0].getsockname()
        self._location = f"http://{host}:{port}/root.xml"
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, local_addr=(self.host, SSDP_PORT))
        return self

    def stop(self) -> None:
        """Listens no more."""
        super().stop()
        if self._server is not None:
            self._server.close()

    def answer(self, asked: bytes) -> bytes:
        """Where it is described."""
        kind = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
        return f"HTTP/1.1 200 OK\r\nST: {kind}\r\nLOCATION: {self._location}\r\n\r\n".encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
        body = (await reader.readexactly(int(length[1]))).decode() if length else ""
        status, said = self._say(head, body)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n{said}".encode())
        writer.close()

    def _say(self, head: str, body: str) -> tuple[str, str]:
        if head.startswith("GET /root.xml"):
            service = (
                f"<serviceList><service><serviceType>{SERVICE}</serviceType><controlURL>/control</controlURL>"
                "<SCPDURL>/scpd.xml</SCPDURL></service></serviceList>"
            )
            inner = f"<deviceList>{_device('WANConnectionDevice', service)}</deviceList>"
            outer = f"<deviceList>{_device('WANDevice', inner)}</deviceList>"
            return "200 OK", (
                f'<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0">'
                f"{_device('InternetGatewayDevice', outer)}</root>"
            )
        if head.startswith("GET /scpd.xml"):
            actions = (
                _action("AddPortMapping", ARGUMENTS)
                + _action("DeletePortMapping", ARGUMENTS[:3])
                + _action("GetExternalIPAddress", ())
                + (_action("AddAnyPortMapping", ARGUMENTS) if self.chooses else "")
            )
            return "200 OK", (
                f'<?xml version="1.0"?><scpd xmlns="urn:schemas-upnp-org:service-1-0">'
                f"<actionList>{actions}</actionList></scpd>"
            )
        action = re.search(r"#(\w+)\"", head)
        assert action is not None, head
        error, said = self._do(action[1], {name: told for name, told in re.findall(r"<New(\w+)>([^<]*)<", body)})
        if error:
            said = (
                "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
                f'<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>{error}</errorCode>'
                "<errorDescription>no</errorDescription></UPnPError></detail></s:Fault>"
            )
        else:
            said = f'<u:{action[1]}Response xmlns:u="{SERVICE}">{said}</u:{action[1]}Response>'
        return (
            "500 Internal Server Error" if error else "200 OK",
            f'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f"{said}</s:Body></s:Envelope>",
        )

    def _do(self, action: str, told: dict[str, str]) -> tuple[int, str]:
        """An error, and what it says."""
        if action == "GetExternalIPAddress":
            return 0, "<NewExternalIPAddress>81.2.3.4</NewExternalIPAddress>"
        protocol, outside = told["Protocol"].lower(), int(told["ExternalPort"])
        self.came.set()
        if action == "DeletePortMapping":
            self.asked.append((protocol, self.given.pop((protocol, outside)), 0))
            return 0, ""
        inside, lease = int(told["InternalPort"]), int(told["LeaseDuration"])
        if self.only_for_ever and lease:
            return ONLY_FOR_EVER, ""
        if action == "AddAnyPortMapping":
            outside = self.outside(inside)
        elif self.taken and (self.chooses or outside == inside):
            return IN_USE, ""
        self.asked.append((protocol, inside, lease or -1))
        self.given[protocol, outside] = inside
        self.clients.add(told["InternalClient"])
        return 0, f"<NewReservedPort>{outside}</NewReservedPort>" if action == "AddAnyPortMapping" else ""
