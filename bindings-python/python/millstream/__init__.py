"""millstream: a sans-IO BitTorrent engine. Its doors are in `millstream.sansio`."""

from ._millstream import Magnet, Metainfo, __version__
from .errors import (
    CommandError,
    CreateError,
    DriverError,
    DuplicateTorrent,
    MagnetError,
    MetainfoError,
    MillstreamError,
    Refused,
    TorrentNotFound,
)
from .sansio import create

__all__ = [
    "CommandError",
    "CreateError",
    "DriverError",
    "DuplicateTorrent",
    "Magnet",
    "MagnetError",
    "Metainfo",
    "MetainfoError",
    "MillstreamError",
    "Refused",
    "TorrentNotFound",
    "__version__",
    "create",
]
