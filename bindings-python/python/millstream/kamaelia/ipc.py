"""Messages beyond those that Kamaelia has, in its manner: keyword arguments, plain attributes, a text for people.

Only who opts in is sent them (`TorrentPatron(extended=True)`, `TorrentClient(extended=True)`): older programs don't
expect them. Everyone may send them.
"""

from __future__ import annotations

from typing import Any

from .TorrentIPC import IPC, TIPCServiceAdd

__all__ = [
    "TIPCAddMagnet",
    "TIPCChunkPublished",
    "TIPCCreateTorrentIn",
    "TIPCDataServed",
    "TIPCEpisodeReady",
    "TIPCFeedNamed",
    "TIPCMetadata",
    "TIPCOpenTorrent",
    "TIPCPause",
    "TIPCQueryStatus",
    "TIPCResume",
    "TIPCSeeding",
    "TIPCSeedingEnded",
    "TIPCServeData",
    "TIPCServiceAddExtended",
    "TIPCSetRate",
    "TIPCSetTrackers",
    "TIPCTorrentComplete",
    "TIPCTorrentError",
    "TIPCTorrentOpened",
    "TIPCTrackerAllow",
    "TIPCTrackerDeny",
    "TIPCTrackerError",
    "TIPCTrackerStarted",
    "TIPCTrackerStats",
]


# ---- to TorrentClient and TorrentPatron


class TIPCAddMagnet(IPC):
    "Create a new torrent from a magnet link"

    # uri: the link, a str. Answered as TIPCCreateNewTorrent is.
    Parameters = ["uri"]
    uri: Any


class TIPCCreateTorrentIn(IPC):
    "Create a new torrent in %(savefolder)s"

    # rawmetainfo: contents of a .torrent file, or a magnet link. Answered as TIPCCreateNewTorrent is.
    Parameters = ["rawmetainfo", "savefolder"]
    rawmetainfo: Any
    savefolder: Any


class TIPCSetRate(IPC):
    "Set rates of torrent %(torrentid)s"

    # torrentid: an id, or None for all together; down, up: bytes a second, or None for no limit.
    # No answer but TIPCTorrentError.
    Parameters = ["torrentid", "?down", "?up"]
    torrentid: Any
    down: Any
    up: Any


class TIPCSetTrackers(IPC):
    "Set trackers of torrent %(torrentid)s"

    # trackers: lists of URLs, a list for each tier, in place of those that it has. No answer but TIPCTorrentError.
    Parameters = ["torrentid", "trackers"]
    torrentid: Any
    trackers: Any


class TIPCPause(IPC):
    "Pause torrent %(torrentid)s"

    # No answer but TIPCTorrentError.
    Parameters = ["torrentid"]
    torrentid: Any


class TIPCResume(IPC):
    "Resume torrent %(torrentid)s"

    # No answer but TIPCTorrentError.
    Parameters = ["torrentid"]
    torrentid: Any


class TIPCQueryStatus(IPC):
    "Query the status of torrent %(torrentid)s"

    # Answered at once by TIPCTorrentStatusUpdate, or by TIPCTorrentError.
    Parameters = ["torrentid"]
    torrentid: Any


class TIPCOpenTorrent(IPC):
    "Open torrent %(torrentid)s"

    # Answered by TIPCTorrentOpened, or by TIPCTorrentError.
    Parameters = ["torrentid"]
    torrentid: Any


# ---- from TorrentClient, to who opts in


class TIPCTorrentComplete(IPC):
    "Torrent %(torrentid)d complete in %(savefolder)s"

    # Once, when all of it is verified and written; also when it was so from the start.
    Parameters = ["torrentid", "savefolder"]
    torrentid: Any
    savefolder: Any


class TIPCMetadata(IPC):
    "Metadata of torrent %(torrentid)d"

    # rawmetainfo: a .torrent file made of what peers told of a magnet link.
    Parameters = ["torrentid", "rawmetainfo"]
    torrentid: Any
    rawmetainfo: Any


class TIPCTorrentError(IPC):
    "Torrent %(torrentid)s error: %(message)s"

    # torrentid: an id as it was given, or None if it is about a torrent that could not be started.
    Parameters = ["torrentid", "message"]
    torrentid: Any
    message: Any


class TIPCTorrentOpened(IPC):
    "Torrent %(torrentid)d opened"

    # torrent: what the engine has for it, a `millstream.sync.Torrent`. Components of the same process share it.
    Parameters = ["torrentid", "torrent"]
    torrentid: Any
    torrent: Any


# ---- to and from TorrentReader


class TIPCServeData(IPC):
    "Serve %(file)s of torrent %(torrentid)s"

    # file: its path in the torrent, or its number; offset and length: bytes of it, all from there on if length is None.
    Parameters = ["torrentid", "?file", "?offset", "?length"]
    torrentid: Any
    file: Any
    offset: Any
    length: Any


class TIPCDataServed(IPC):
    "Served %(count)d bytes of torrent %(torrentid)s"

    # request: the message that asked; count: bytes that were sent; error: why not all were, or None.
    Parameters = ["torrentid", "request", "count", "?error"]
    torrentid: Any
    request: Any
    count: Any
    error: Any


# ---- from TorrentPatron to TorrentService


class TIPCServiceAddExtended(TIPCServiceAdd):
    "Add a client to TorrentService"

    # Like TIPCServiceAdd, of one who also expects the messages above.


# ---- to and from TorrentTracker


class TIPCTrackerAllow(IPC):
    "Serve %(infohash)s"

    # infohash: 20 bytes, 32 of v2, or hexadecimal digits. From the first one on, only those that are allowed are
    # served.
    Parameters = ["infohash"]
    infohash: Any


class TIPCTrackerDeny(IPC):
    "Don't serve %(infohash)s"

    # infohash: 20 bytes, 32 of v2, or hexadecimal digits.
    Parameters = ["infohash"]
    infohash: Any


class TIPCTrackerStarted(IPC):
    "Tracker at %(announce)s"

    # announce: its HTTP announce URL; udp: its UDP announce URL.
    Parameters = ["announce", "udp"]
    announce: Any
    udp: Any


class TIPCTrackerStats(IPC):
    "Tracker: %(torrents)d torrents, %(peers)d peers, %(seeds)d seeds, %(completed)d completed, %(announces)d announces"

    # How many there are now; completed and announces since it started, announcespersecond since the last of these.
    Parameters = ["torrents", "peers", "seeds", "completed", "announces", "announcespersecond"]
    torrents: Any
    peers: Any
    seeds: Any
    completed: Any
    announces: Any
    announcespersecond: Any


class TIPCTrackerError(IPC):
    "Tracker error: %(message)s"

    Parameters = ["message"]
    message: Any


# ---- from SeedingController


class TIPCSeeding(IPC):
    "Seeding %(path)s"

    Parameters = ["path", "torrentid", "rawmetainfo", "magnet"]
    path: Any
    torrentid: Any
    rawmetainfo: Any
    magnet: Any


class TIPCSeedingEnded(IPC):
    "Seeding of %(path)s ended: %(reason)s"

    # ratio: bytes uploaded for each byte of the file.
    Parameters = ["path", "torrentid", "reason", "ratio"]
    path: Any
    torrentid: Any
    reason: Any
    ratio: Any


# ---- from StreamPublisher


class TIPCChunkPublished(IPC):
    "Chunk %(number)d published as %(path)s"

    Parameters = ["number", "path", "torrentid", "rawmetainfo", "magnet"]
    number: Any
    path: Any
    torrentid: Any
    rawmetainfo: Any
    magnet: Any


class TIPCFeedNamed(IPC):
    "A feed is named by %(link)s"

    # link: of the key, which a StreamSubscriber takes for a URL; infohash: of the feed's torrent; seq: its version.
    Parameters = ["link", "infohash", "seq"]
    link: Any
    infohash: Any
    seq: Any


# ---- from TorrentFeedSubscriber


class TIPCEpisodeReady(IPC):
    "Episode ready: %(title)s in %(path)s"

    # link: where the feed said that it is; published: when, as the feed said it.
    Parameters = ["title", "path", "link", "published", "torrentid"]
    title: Any
    path: Any
    link: Any
    published: Any
    torrentid: Any
