"""millstream: a sans-IO BitTorrent engine."""

from ._millstream import __version__

__all__ = ["__version__"]
