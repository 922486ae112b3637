"""BEncoder, BDecoder, MetainfoParser, MagnetParser: components that change what comes into what it means. They own no
parser: those are the package's.

Of each:

    inbox    what is to be changed, one message after the other
    control  producerFinished ends it when all is changed, shutdown and shutdownMicroprocess at once; other messages are
             logged
    outbox   for each message, in order, what became of it, or an Unusable that says why nothing did
    signal   producerFinished when it has ended
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import bencode
from .._millstream import KeyLink, Magnet, Metainfo
from ._worker import Transformer

__all__ = ["BDecoder", "BEncoder", "MagnetParser", "MetainfoParser", "Unusable"]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Nothing can be made of this message. `error` is a ValueError, also one of `millstream.errors`, or a TypeError."""

    message: Any
    error: Exception


class _Parser(Transformer):
    def unusable(self, message: Any, error: Exception) -> object:
        """What is told of it."""
        return Unusable(message, error)


class BEncoder(_Parser):
    """BEncoder() -> a component that turns values into bencode (BEP 3).

    int, bytes, str (as UTF-8), lists and dicts of them become bytes.
    """

    Inboxes = {"inbox": "Values", "control": "Shut me down"}
    Outboxes = {"outbox": "bytes, or Unusable", "signal": "producerFinished when I've shutdown"}

    def transform(self, message: Any) -> bytes:
        """The bencoding."""
        return bencode.encode(message)


class BDecoder(_Parser):
    """BDecoder([strict]) -> a component that turns bencode (BEP 3) into values.

    bytes become int, bytes, lists and dicts by bytes. Each message is one whole value. `strict`: whether keys out of
    order are refused.
    """

    Inboxes = {"inbox": "bytes", "control": "Shut me down"}
    Outboxes = {"outbox": "Values, or Unusable", "signal": "producerFinished when I've shutdown"}

    def __init__(self, *, strict: bool = True) -> None:
        super().__init__()
        self._strict = strict

    def transform(self, message: Any) -> object:
        """The value."""
        return bencode.decode(message, strict=self._strict)


class MetainfoParser(_Parser):
    """MetainfoParser() -> a component that turns the contents of .torrent files into `millstream.Metainfo`.

    As for a TorrentClient, a str counts as its latin-1 bytes.
    """

    Inboxes = {"inbox": "Contents of .torrent files", "control": "Shut me down"}
    Outboxes = {"outbox": "Metainfo, or Unusable", "signal": "producerFinished when I've shutdown"}

    def transform(self, message: Any) -> Metainfo:
        """What the torrent file says."""
        return Metainfo.parse(message.encode("latin-1") if isinstance(message, str) else message)


class MagnetParser(_Parser):
    """MagnetParser() -> a component that turns magnet links (BEP 9) into `millstream.Magnet`, those that name a key
    (BEP 46) into `millstream.KeyLink`. A link is a str, or its bytes."""

    Inboxes = {"inbox": "Magnet links", "control": "Shut me down"}
    Outboxes = {"outbox": "Magnet, KeyLink or Unusable", "signal": "producerFinished when I've shutdown"}

    def transform(self, message: Any) -> Magnet | KeyLink:
        """What the link says."""
        link = message.decode() if isinstance(message, bytes) else message
        try:
            return Magnet.parse(link)
        except ValueError:
            if "urn:btpk:" not in link:
                raise
            return KeyLink.parse(link)


__kamaelia_components__ = (BEncoder, BDecoder, MetainfoParser, MagnetParser)
