"""Live streams of Icecast and SHOUTcast servers: the stream, and what is audio of it. In place of Kamaelia's components
of these names; their messages stay Kamaelia's.

IcecastClient(url)
    control  shutdown, shutdownMicroprocess and producerFinished end it; other messages are logged
    outbox   ParsedHTTPHeader, then ParsedHTTPBodyChunk until ParsedHTTPEnd; then it connects again
    signal   producerFinished when it has ended
    inbox    not used; what comes is logged

IcecastDemux()
    inbox    what an IcecastClient tells; anything else is logged
    control  shutdown, shutdownMicroprocess and producerFinished end it
    outbox   IceIPCHeader, IceIPCDataChunk (bytes), IceIPCMetadata (a dict of str), IceIPCDisconnected
    signal   producerFinished when it has ended
"""

from __future__ import annotations

import importlib
import logging
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ._axon import Component, ThreadedComponent, producerFinished
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import ignore, is_a, told

if TYPE_CHECKING:
    from ._axon import Main

log = logging.getLogger("millstream")

TIMEOUT = 30.0
"""Seconds that a server may be silent."""

AGAIN = 1.0
"""Seconds until a server is called again."""

HEAD_BYTES_MAX = 64 << 10
"""A head that is longer is none. Bytes."""

READ_BYTES = 64 << 10
"""At most so many bytes are in one message."""

AHEAD = 64
"""So many messages may lie before the reader; then the stream waits."""

_http: Any = importlib.import_module("Kamaelia.Protocol.HTTP.HTTPParser")
_ice: Any = importlib.import_module("Kamaelia.Protocol.HTTP.IcecastClient")


class IcecastClient(ThreadedComponent):
    """IcecastClient(starturl) -> a component that gets a live stream."""

    Inboxes = {"inbox": "NOT USED", "control": "Shut me down"}
    Outboxes = {"outbox": "The stream", "signal": "producerFinished when I've shutdown", "debug": "NOT USED"}

    def __init__(self, starturl: str) -> None:
        super().__init__()
        self.starturl = starturl
        self._out = Outgoing(self)

    def main(self) -> None:
        """In a thread of its own."""
        try:
            while not self._told_to_stop():
                try:
                    self._stream()
                except (OSError, ValueError) as error:
                    log.warning("a stream ended: %s: %s", self.starturl, error)
                if not self._told_to_stop():
                    self.pause(AGAIN)
        finally:
            self.send(producerFinished(self), "signal")

    def _stream(self) -> None:
        url = urlsplit(self.starturl)
        if url.scheme != "http" or not url.hostname:
            raise ValueError("it is no HTTP URL")
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        # of HTTP/1.0 answers come in no chunks
        request = (
            f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\nUser-Agent: millstream (Kamaelia)\r\nIcy-MetaData: 1\r\n\r\n"
        )
        with socket.create_connection((url.hostname, url.port or 80), TIMEOUT) as connection:
            connection.sendall(request.encode("latin-1", "replace"))
            head, rest = _head(connection)
            if head["responsecode"] != "200":
                raise ValueError(f"the server answers {head['responsecode']}")
            self._tell(_http.ParsedHTTPHeader(head))
            while (rest or (rest := connection.recv(READ_BYTES))) and not self._told_to_stop():
                self._tell(_http.ParsedHTTPBodyChunk(rest))
                rest = b""
            self._tell(_http.ParsedHTTPEnd())

    def _tell(self, message: object) -> None:
        """Waits until there is room, or until it is told to stop."""
        self._out.put(message)
        while (len(self.outboxes["outbox"]) >= AHEAD or not self._out.flush()) and not self._stopped:
            self.pause(0.05)
            self._told_to_stop()

    _stopped = False

    def _told_to_stop(self) -> bool:
        while self.dataReady("inbox"):
            ignore(self, self.recv("inbox"), "inbox")
        self._stopped = self._stopped or bool(told(self))
        return self._stopped


class IcecastDemux(Component):
    """IcecastDemux() -> a component that parts a live stream into audio and what is said of it."""

    Inboxes = {"inbox": "What an IcecastClient tells", "control": "Shut me down"}
    Outboxes = {"outbox": "Audio, and what is said of it", "signal": "producerFinished when I've shutdown"}

    def __init__(self) -> None:
        super().__init__()
        self._out = Outgoing(self)
        # bytes between two pieces of metadata, 0 if there are none; bytes until the next
        self._interval = 0
        self._left = 0
        self._meta = bytearray()

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        while True:
            while len(self._out) < MESSAGES_MAX and self.dataReady("inbox"):
                self._attempt(self.recv("inbox"))
            flushed = self._out.flush()
            if told(self):
                self.send(producerFinished(self), "signal")
                return
            if not flushed or not self.anyReady():
                self.pause()
            yield 1

    def _attempt(self, message: Any) -> None:
        try:
            self._on_message(message)
        except Exception as error:
            log.warning("an IcecastDemux can't use a %s", type(message).__name__, exc_info=error)

    def _on_message(self, message: Any) -> None:
        if is_a(message, _http.ParsedHTTPHeader):
            headers = message.header["headers"]
            interval = str(headers.get("icy-metaint", "0"))
            self._interval = int(interval) if interval.isdecimal() and len(interval) < 12 else 0
            self._left = self._interval
            self._meta.clear()
            self._out.put(_ice.IceIPCHeader(contenttype=headers.get("content-type")))
        elif is_a(message, _http.ParsedHTTPBodyChunk):
            self._on_data(_bytes(message.bodychunk))
        elif is_a(message, _http.ParsedHTTPEnd):
            self._out.put(_ice.IceIPCDisconnected())
        else:
            ignore(self, message, "inbox")

    def _on_data(self, data: bytes) -> None:
        while data:
            if not self._interval:
                self._out.put(_ice.IceIPCDataChunk(data=data))
                return
            if self._left:
                audio, data = data[: self._left], data[self._left :]
                self._left -= len(audio)
                self._out.put(_ice.IceIPCDataChunk(data=audio))
                continue
            # a byte that counts 16 each, and so much text
            wanted = 1 if not self._meta else 1 + self._meta[0] * 16 - len(self._meta)
            self._meta += data[:wanted]
            data = data[wanted:]
            if len(self._meta) == 1 + self._meta[0] * 16:
                self._out.put(_ice.IceIPCMetadata(metadata=_said(bytes(self._meta[1:]))))
                self._meta.clear()
                self._left = self._interval


def _head(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The head of an answer in the form of Kamaelia's parser, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_BYTES_MAX:
            raise ValueError("the server's answer has no end of its head")
        more = connection.recv(4096)
        if not more:
            raise ValueError("the server hung up")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    words = status.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return {
        "protocol": "ICY" if words[0] == "ICY" else "HTTP",
        "responsecode": (words + [""])[1],
        "headers": headers,
    }, rest


def _said(text: bytes) -> dict[str, str]:
    """`StreamTitle='singer, title';StreamUrl='..';` as a dict."""
    said = {}
    for part in text.rstrip(b"\0").decode("utf-8", "replace").split(";"):
        name, equals, value = part.strip("\n").partition("=")
        if equals:
            said[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] == "'" else value
    return said


def _bytes(data: Any) -> bytes:
    return data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)
