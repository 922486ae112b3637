"""What crosses the doors of the engine: effects, events, snapshots; work and outcomes are `_work`'s. Frozen values,
made to be matched on.

An address is a pair of an IP address in text and a port. Bytes that the engine hands out are read-only memoryviews of
its own memory: no copy is made, and they stay good for as long as they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from ._millstream import (
    Banned as Banned,
    Checked as Checked,
    Completed as Completed,
    KeyFollowed as KeyFollowed,
    Lagged as Lagged,
    Listening as Listening,
    Metadata as Metadata,
    PeerJoined as PeerJoined,
    PeerLeft as PeerLeft,
    PieceVerified as PieceVerified,
    PoolChanged as PoolChanged,
    Progress as Progress,
    Removed as Removed,
    ResumeSaved as ResumeSaved,
    Scraped as Scraped,
    SessionWarned as SessionWarned,
    Status as Status,
    Stopped as Stopped,
    TorrentFailed as TorrentFailed,
    TrackerAnswered as TrackerAnswered,
    TrackerFailed as TrackerFailed,
    UpdateAvailable as UpdateAvailable,
    Warned as Warned,
)
from ._settings import (
    AddOptions as AddOptions,
    Address as Address,
    Allocation as Allocation,
    BytesLike as BytesLike,
    FilePriority as FilePriority,
    SessionSettings as SessionSettings,
    Settings as Settings,
)
from ._work import (
    Absent as Absent,
    BytesRead as BytesRead,
    Cancelled as Cancelled,
    Digests as Digests,
    Exchange as Exchange,
    Exchanged as Exchanged,
    Extent as Extent,
    Failed as Failed,
    FailureKind as FailureKind,
    FileNow as FileNow,
    Files as Files,
    FilesClose as FilesClose,
    FilesOpen as FilesOpen,
    FileSpec as FileSpec,
    FilesSync as FilesSync,
    Hash as Hash,
    HashStored as HashStored,
    Http as Http,
    HttpAnswer as HttpAnswer,
    Outcome as Outcome,
    Pad as Pad,
    Part as Part,
    Read as Read,
    Resolve as Resolve,
    Resolved as Resolved,
    Save as Save,
    Saved as Saved,
    Work as Work,
    Write as Write,
    Written as Written,
)

LinkEnd: TypeAlias = Literal["finished", "reset", "refused", "timed_out", "unreachable", "no_room", "host"]
"""Why a link ended; `no_room` and `host` are failures of our own, for which no peer is to blame."""

State: TypeAlias = Literal["metadata", "checking", "leeching", "seeding", "paused", "failed", "stopping"]
"""What a torrent is doing."""

Version: TypeAlias = Literal["v1", "v2", "hybrid"]
"""Which protocol versions a torrent speaks (BEP 52)."""


# ---- effects: what the driver is to do


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a link. Answered by `opened` or `closed`."""

    conn: int
    to: Address


@dataclass(frozen=True, slots=True)
class ConnectHttp:
    """GET a URL as a link: `range` is its first and last byte. Answered by `opened` or `closed`."""

    conn: int
    url: str
    range: tuple[int, int] | None
    redirects_max: int


@dataclass(frozen=True, slots=True)
class ConnectWebSocket:
    """Open a WebSocket. Answered by `opened` or `closed`."""

    conn: int
    url: str


@dataclass(frozen=True, slots=True)
class Close:
    """End a link, after writing what was handed out if `flush`. Answered by `drained`, and by nothing else."""

    conn: int
    flush: bool


@dataclass(frozen=True, slots=True)
class Interest:
    """Read no byte beyond this offset of the link's incoming stream; if `write`, call `poll_transmit` until it is
    empty. The latest wins."""

    conn: int
    read_until: int
    write: bool


@dataclass(frozen=True, slots=True)
class DatagramsReady:
    """Call `poll_datagrams` until it gives `None`."""

    local: int


@dataclass(frozen=True, slots=True)
class Job:
    """Do this, and answer once with `done`."""

    job: int
    work: Work


@dataclass(frozen=True, slots=True)
class Cancel:
    """This job's answer isn't needed any more. It is owed all the same."""

    job: int


Effect: TypeAlias = Connect | ConnectHttp | ConnectWebSocket | Close | Interest | DatagramsReady | Job | Cancel


@dataclass(frozen=True, slots=True)
class Datagrams:
    """Datagrams for one address, one after the other; each but the last has `stride` bytes, if there are several."""

    to: Address
    data: memoryview
    stride: int | None


# ---- events: what the application is told. Their classes are native: they come by the thousand


Event: TypeAlias = (
    Metadata
    | Checked
    | Progress
    | PieceVerified
    | Completed
    | PeerJoined
    | PeerLeft
    | TrackerAnswered
    | TrackerFailed
    | Scraped
    | UpdateAvailable
    | Banned
    | Warned
    | TorrentFailed
    | ResumeSaved
    | Removed
    | Listening
    | KeyFollowed
    | SessionWarned
    | PoolChanged
    | Lagged
    | Stopped
)


# ---- snapshots


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer at a glance. `client` is safe to show, `raw_peer_id` is what it sent. Sizes in bytes, rates in bytes a
    second; `choked` by us, `choking` us; `encrypted` names the level of its link, if it is encrypted."""

    address: Address
    raw_peer_id: bytes
    client: str
    incoming: bool
    encrypted: Literal["plaintext", "rc4"] | None
    downloaded: int
    uploaded: int
    download_rate: int
    upload_rate: int
    pieces: int
    choked: bool
    choking: bool
    interested: bool
    interesting: bool


@dataclass(frozen=True, slots=True)
class TrackerStatus:
    """A tracker at a glance: its tier (BEP 12), what failed in the last exchange, whom it counts, and the seconds until
    it is asked again, if it is the next to be asked."""

    url: str
    tier: int
    error: str | None
    seeds: int | None
    leeches: int | None
    next_in: float | None = None


@dataclass(frozen=True, slots=True)
class WebSeedStatus:
    """A web seed at a glance (BEP 19). Sizes in bytes, rates in bytes a second."""

    url: str
    state: str
    error: str | None
    downloaded: int
    download_rate: int


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """Counts of a session since its start, by name, as `millstream::SessionStatistics` has them."""

    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class MetainfoFile:
    """A file of a torrent: its safe path, its length, and where it starts in the span that pieces cut. `raw_path` is
    the path as the torrent has it, which may lead anywhere; `symlink` is where a symbolic link points to (BEP 47)."""

    path: tuple[str, ...]
    length: int
    offset: int
    pad: bool
    raw_path: tuple[bytes, ...] = ()
    symlink: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CreateJob:
    """One piece of a torrent in the making: what to digest, as in `Hash`. `Extent.file` counts `Plan.files`."""

    piece: int
    extents: tuple[Extent, ...]
    pad: int
    sha1: bool
    leaves: bool


# ---- what is given by name


class PlanOptions(TypedDict, total=False):
    """What a torrent of given files is made like, by a `Plan` or by `create`: a hybrid unless told. `multi_file`: they
    lie in a folder of the torrent's name; `create` takes it from what it is given, unless told. `creation_date` in
    seconds since 1970, none unless told, so that the same files give the same torrent."""

    version: Version
    piece_length: int | None
    multi_file: bool
    private: bool
    source: str | None
    trackers: Sequence[Sequence[str] | str]
    web_seeds: Sequence[str]
    comment: str | None
    creation_date: int | None
