"""millstream: a sans-IO BitTorrent engine. Its doors are in `millstream.sansio`."""

from ._millstream import Magnet, Metainfo, __version__
from .errors import (
    BencodeError,
    CommandError,
    CreateError,
    DriverError,
    DuplicateTorrent,
    LocalProtocolError,
    MagnetError,
    MetainfoError,
    MillstreamError,
    ProtocolError,
    Refused,
    RemoteProtocolError,
    TorrentNotFound,
)
from .sansio import create

__all__ = [
    "BencodeError",
    "CommandError",
    "CreateError",
    "DriverError",
    "DuplicateTorrent",
    "LocalProtocolError",
    "Magnet",
    "MagnetError",
    "Metainfo",
    "MetainfoError",
    "MillstreamError",
    "ProtocolError",
    "Refused",
    "RemoteProtocolError",
    "TorrentNotFound",
    "__version__",
    "create",
]
