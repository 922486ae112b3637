"""Puts our torrent components in the place of Kamaelia's, whose engine no longer exists, as soon as this is imported.

Programs then run as they are: `from Kamaelia.Protocol.Torrent.TorrentPatron import TorrentPatron` gets ours. Needs
Kamaelia, whose TorrentIPC stays.
"""

from __future__ import annotations

import importlib
import sys

from . import TorrentClient, TorrentMaker, TorrentPatron, TorrentService

for _module in (TorrentClient, TorrentMaker, TorrentPatron, TorrentService):
    _name = _module.__name__.rpartition(".")[2]
    sys.modules[f"Kamaelia.Protocol.Torrent.{_name}"] = _module
    setattr(importlib.import_module("Kamaelia.Protocol.Torrent"), _name, _module)
