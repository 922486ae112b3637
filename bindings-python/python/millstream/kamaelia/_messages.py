"""The messages of Kamaelia's torrent components, for where Kamaelia isn't installed. With it, its own classes are used.

Their texts are part of the contract: programs split what `str` gives.
"""

from __future__ import annotations

from typing import Any, ClassVar


class IPC:
    """explanation %(foo)s did %(bar)s"""

    Parameters: ClassVar[list[str]] = []
    """The names of what must be given; of what may be given, with a question mark before them."""

    def __init__(self, **given: Any) -> None:
        for parameter in self.Parameters:
            name = parameter.removeprefix("?")
            if name not in given and name == parameter:
                raise ValueError(f"{name} not given as a parameter to {type(self).__name__}")
            setattr(self, name, given.pop(name, None))
        for name in given:
            raise ValueError(f"Unknown parameter {name} to {type(self).__name__}")

    def __str__(self) -> str:
        return (type(self).__doc__ or "") % vars(self)


# ---- to TorrentMaker


class TIPCMakeTorrent(IPC):
    "Create a .torrent file"

    Parameters = ["trackerurl", "log2piecesizebytes", "title", "comment", "srcfile"]
    trackerurl: Any
    log2piecesizebytes: Any
    title: Any
    comment: Any
    srcfile: Any


# ---- from TorrentPatron to TorrentService


class TIPCServicePassOn(IPC):
    "Add a client to TorrentService"

    Parameters = ["replyService", "message"]
    replyService: Any
    message: Any


class TIPCServiceAdd(IPC):
    "Add a client to TorrentService"

    Parameters = ["replyService"]
    replyService: Any


class TIPCServiceRemove(IPC):
    "Remove a client from TorrentService"

    Parameters = ["replyService"]
    replyService: Any


# ---- from TorrentClient


class TIPCNewTorrentCreated(IPC):
    "New torrent %(torrentid)d created in %(savefolder)s"

    Parameters = ["torrentid", "savefolder"]
    torrentid: Any
    savefolder: Any


class TIPCTorrentAlreadyDownloading(IPC):
    "That torrent is already downloading!"

    Parameters = ["torrentid"]
    torrentid: Any


class TIPCTorrentStartFail:
    "Torrent failed to start!"

    Parameters: ClassVar[list[str]] = []


class TIPCTorrentStatusUpdate(IPC):
    "Current status of a single torrent"

    def __init__(self, torrentid: Any, statsdictionary: Any) -> None:
        super().__init__()
        self.torrentid = torrentid
        self.statsdictionary = statsdictionary

    def __str__(self) -> str:
        percent = int(self.statsdictionary.get("fractionDone", 0) * 100)
        return f"Torrent {self.torrentid:d} status : {percent}%"


# ---- to TorrentClient


class TIPCCreateNewTorrent(IPC):
    "Create a new torrent"

    Parameters = ["rawmetainfo"]
    rawmetainfo: Any


class TIPCCloseTorrent(IPC):
    "Close torrent %(torrentid)d"

    Parameters = ["torrentid"]
    torrentid: Any
