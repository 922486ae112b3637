"""BitTorrent without sockets, files, threads or a clock: bytes, moments and answers go in; bytes, jobs and events
come out.

- `Engine`: the whole client as one deterministic machine;
- `PeerConnection`: one connection to a peer, plain or encrypted, in h11's manners;
- `DhtNode`: a node of the DHT, in aioquic's;
- `Tracker`: a tracker over UDP, HTTP and WebSockets;
- `ConnectionPool`: how many connections a network bears, for any protocol;
- `Metainfo`, `Magnet`, `Plan`, `bencode`: torrent files and links, read and made.

The driver's law, as the engine has it:

- moments are seconds since whenever you like (`loop.time()`, `time.monotonic()`, a simulated clock) and never go back;
- after inputs and after `poll_transmit`, take `poll_effects`; then sleep until an input or `poll_timeout`;
- `Connect`, `ConnectHttp` and `ConnectWebSocket` are answered by `opened` or `closed`; after `Close` comes `drained`
  and nothing else;
- read no byte of a link beyond its `Interest.read_until`; one read of overrun is forgiven;
- one transmit at a time for each link, written whole and in order, and told by `wrote`;
- every `Job` gets one `done`, also after `Cancel`.

What breaks the law raises `DriverError`. What peers do never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha1, sha256
from typing import Unpack

from . import _known, bencode
from ._dht import (
    DhtAnnounced,
    DhtCost,
    DhtDone,
    DhtEvent,
    DhtExternal,
    DhtFamily,
    DhtFoundNodes,
    DhtFoundPeers,
    DhtGot,
    DhtItem,
    DhtItemFound,
    DhtJoined,
    DhtOutcome,
    DhtPeers,
    DhtResolve,
    DhtSampled,
    DhtSamples,
    DhtScraped,
    DhtSettings,
    DhtStatus,
    DhtStored,
)
from ._messages import (
    Bitfield,
    DontHave,
    Extended,
    ExtensionHandshake,
    Handshake,
    Hashes,
    HashReject,
    HashRequest,
    Holepunch,
    Message,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    Outgoing,
    Pex,
    PexPeer,
    Unknown,
    UploadOnly,
)
from ._millstream import (
    AllowedFast,
    CancelRequest,
    Choke,
    ConnectionPool,
    DhtNode,
    Engine,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    KeyLink,
    Magnet,
    Metainfo,
    NotInterested,
    PeerConnection,
    Piece,
    Plan,
    Port,
    RejectRequest,
    Request,
    SuggestPiece,
    Tracker,
    Unchoke,
    exchange,
)
from ._pool import PoolSettings, PoolStatus
from ._tracker import ProtocolStatistics, TrackerSettings, TrackerStatistics
from ._values import (
    Absent,
    AddOptions,
    Address,
    Allocation,
    Banned,
    BytesLike,
    BytesRead,
    Cancel,
    Cancelled,
    Checked,
    Close,
    Completed,
    Connect,
    ConnectHttp,
    ConnectWebSocket,
    CreateJob,
    Datagrams,
    DatagramsReady,
    Digests,
    Effect,
    Event,
    Exchange,
    Exchanged,
    Extent,
    Failed,
    FailureKind,
    FileNow,
    FilePriority,
    Files,
    FilesClose,
    FilesOpen,
    FileSpec,
    FilesSync,
    Hash,
    HashStored,
    Http,
    HttpAnswer,
    Interest,
    Job,
    KeyFollowed,
    Lagged,
    LinkEnd,
    Listening,
    Metadata,
    MetainfoFile,
    Outcome,
    Pad,
    Part,
    PeerJoined,
    PeerLeft,
    PieceVerified,
    PlanOptions,
    PoolChanged,
    Progress,
    Read,
    Removed,
    Resolve,
    Resolved,
    ResumeSaved,
    Save,
    Saved,
    Scraped,
    SessionWarned,
    Settings,
    State,
    Status,
    Stopped,
    TorrentFailed,
    TrackerAnswered,
    TrackerFailed,
    UpdateAvailable,
    Version,
    Warned,
    Work,
    Write,
    Written,
)

__all__ = [
    "Absent",
    "AddOptions",
    "Address",
    "Allocation",
    "AllowedFast",
    "Banned",
    "Bitfield",
    "BytesLike",
    "BytesRead",
    "Cancel",
    "CancelRequest",
    "Cancelled",
    "Checked",
    "Choke",
    "Close",
    "Completed",
    "Connect",
    "ConnectHttp",
    "ConnectWebSocket",
    "ConnectionPool",
    "CreateJob",
    "Datagrams",
    "DatagramsReady",
    "DhtAnnounced",
    "DhtCost",
    "DhtDone",
    "DhtEvent",
    "DhtExternal",
    "DhtFamily",
    "DhtFoundNodes",
    "DhtFoundPeers",
    "DhtGot",
    "DhtItem",
    "DhtItemFound",
    "DhtJoined",
    "DhtNode",
    "DhtOutcome",
    "DhtPeers",
    "DhtResolve",
    "DhtSampled",
    "DhtSamples",
    "DhtScraped",
    "DhtSettings",
    "DhtStatus",
    "DhtStored",
    "Digests",
    "DontHave",
    "Effect",
    "Engine",
    "Event",
    "Exchange",
    "Exchanged",
    "Extended",
    "ExtensionHandshake",
    "Extent",
    "Failed",
    "FailureKind",
    "FileNow",
    "FilePriority",
    "FileSpec",
    "Files",
    "FilesClose",
    "FilesOpen",
    "FilesSync",
    "Handshake",
    "Hash",
    "HashReject",
    "HashRequest",
    "HashStored",
    "Hashes",
    "Have",
    "HaveAll",
    "HaveNone",
    "Holepunch",
    "Http",
    "HttpAnswer",
    "Interest",
    "Interested",
    "Job",
    "KeepAlive",
    "KeyFollowed",
    "KeyLink",
    "Lagged",
    "LinkEnd",
    "Listening",
    "Magnet",
    "Message",
    "Metadata",
    "MetadataData",
    "MetadataReject",
    "MetadataRequest",
    "Metainfo",
    "MetainfoFile",
    "NotInterested",
    "Outcome",
    "Outgoing",
    "Pad",
    "Part",
    "PeerConnection",
    "PeerJoined",
    "PeerLeft",
    "Pex",
    "PexPeer",
    "Piece",
    "PieceVerified",
    "Plan",
    "PlanOptions",
    "PoolChanged",
    "PoolSettings",
    "PoolStatus",
    "Port",
    "Progress",
    "ProtocolStatistics",
    "Read",
    "RejectRequest",
    "Removed",
    "Request",
    "Resolve",
    "Resolved",
    "ResumeSaved",
    "Save",
    "Saved",
    "Scraped",
    "SessionWarned",
    "Settings",
    "State",
    "Status",
    "Stopped",
    "SuggestPiece",
    "TorrentFailed",
    "Tracker",
    "TrackerAnswered",
    "TrackerFailed",
    "TrackerSettings",
    "TrackerStatistics",
    "Unchoke",
    "Unknown",
    "UpdateAvailable",
    "UploadOnly",
    "Version",
    "Warned",
    "Work",
    "Write",
    "Written",
    "bencode",
    "create",
    "digest",
    "exchange",
]

BLOCK = 16 * 1024
"""Bytes of a block (BEP 3), which is a leaf of a v2 tree too (BEP 52)."""


def digest(data: Iterable[BytesLike], pad: int, *, want_sha1: bool, want_leaves: bool) -> Digests:
    """The answer to a `Hash` job over these bytes, computed here and now.

    `want_sha1` is the job's `sha1`, `want_leaves` its `leaves`.
    """
    whole = b"".join(data)
    return Digests(
        sha1=sha1(whole + bytes(pad)).digest() if want_sha1 else None,
        leaves=tuple(sha256(whole[at : at + BLOCK]).digest() for at in range(0, len(whole), BLOCK))
        if want_leaves
        else (),
    )


def create(name: str, files: Mapping[str, bytes] | bytes, **options: Unpack[PlanOptions]) -> bytes:
    """A torrent file of bytes in memory: of one file, or of several by their paths with slashes. Raises `CreateError`.

    What is on a disk is better made with a `Plan`, piece by piece.
    """
    _known.check("option", options, PlanOptions.__required_keys__ | PlanOptions.__optional_keys__)
    by_path: dict[tuple[str, ...], bytes]
    if isinstance(files, Mapping):
        by_path = {tuple(path.split("/")): data for path, data in files.items()}
    else:
        by_path = {(name,): files}
    multi_file = options.setdefault("multi_file", isinstance(files, Mapping))
    plan = Plan(name, [(path, len(data)) for path, data in by_path.items()], **options)
    # a file without a folder is the only one, and has the torrent's name
    order = [by_path[path] for path, _ in plan.files] if multi_file else list(by_path.values())
    while (job := plan.next_job()) is not None:
        data = [order[e.file][e.offset : e.offset + e.length] for e in job.extents]
        plan.on_digests(job.piece, digest(data, job.pad, want_sha1=job.sha1, want_leaves=job.leaves))
    return plan.finish()
