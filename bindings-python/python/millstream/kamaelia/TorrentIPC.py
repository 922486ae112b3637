"""The messages of the torrent components: Kamaelia's own classes where it is installed, so that programs' `isinstance`
holds, and classes of the same shape where it isn't."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _messages

__all__ = [
    "IPC",
    "TIPCCloseTorrent",
    "TIPCCreateNewTorrent",
    "TIPCMakeTorrent",
    "TIPCNewTorrentCreated",
    "TIPCServiceAdd",
    "TIPCServicePassOn",
    "TIPCServiceRemove",
    "TIPCTorrentAlreadyDownloading",
    "TIPCTorrentStartFail",
    "TIPCTorrentStatusUpdate",
]

if TYPE_CHECKING:
    upstream = _messages
else:
    try:
        from Kamaelia.Protocol.Torrent import TorrentIPC as upstream
    except ImportError:
        upstream = _messages

IPC = upstream.IPC
TIPCCloseTorrent = upstream.TIPCCloseTorrent
TIPCCreateNewTorrent = upstream.TIPCCreateNewTorrent
TIPCMakeTorrent = upstream.TIPCMakeTorrent
TIPCNewTorrentCreated = upstream.TIPCNewTorrentCreated
TIPCServiceAdd = upstream.TIPCServiceAdd
TIPCServicePassOn = upstream.TIPCServicePassOn
TIPCServiceRemove = upstream.TIPCServiceRemove
TIPCTorrentAlreadyDownloading = upstream.TIPCTorrentAlreadyDownloading
TIPCTorrentStartFail = upstream.TIPCTorrentStartFail
TIPCTorrentStatusUpdate = upstream.TIPCTorrentStatusUpdate
