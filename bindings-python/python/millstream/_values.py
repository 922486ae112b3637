"""What crosses the doors of the engine: effects, work, outcomes, events. Frozen values, made to be matched on.

An address is a pair of an IP address in text and a port. Bytes that the engine hands out are read-only memoryviews of
its own memory: no copy is made, and they stay good for as long as they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypedDict

from ._millstream import (
    Banned as Banned,
)
from ._millstream import (
    Checked as Checked,
)
from ._millstream import (
    Completed as Completed,
)
from ._millstream import (
    KeyFollowed as KeyFollowed,
)
from ._millstream import (
    Lagged as Lagged,
)
from ._millstream import (
    Listening as Listening,
)
from ._millstream import (
    Metadata as Metadata,
)
from ._millstream import (
    PeerJoined as PeerJoined,
)
from ._millstream import (
    PeerLeft as PeerLeft,
)
from ._millstream import (
    PieceVerified as PieceVerified,
)
from ._millstream import (
    PoolChanged as PoolChanged,
)
from ._millstream import (
    Progress as Progress,
)
from ._millstream import (
    Removed as Removed,
)
from ._millstream import (
    ResumeSaved as ResumeSaved,
)
from ._millstream import (
    Scraped as Scraped,
)
from ._millstream import (
    SessionWarned as SessionWarned,
)
from ._millstream import (
    Status as Status,
)
from ._millstream import (
    Stopped as Stopped,
)
from ._millstream import (
    TorrentFailed as TorrentFailed,
)
from ._millstream import (
    TrackerAnswered as TrackerAnswered,
)
from ._millstream import (
    TrackerFailed as TrackerFailed,
)
from ._millstream import (
    UpdateAvailable as UpdateAvailable,
)
from ._millstream import (
    Warned as Warned,
)
from ._settings import (
    AddOptions as AddOptions,
)
from ._settings import (
    Address as Address,
)
from ._settings import (
    Allocation as Allocation,
)
from ._settings import (
    BytesLike as BytesLike,
)
from ._settings import (
    SessionSettings as SessionSettings,
)
from ._settings import (
    Settings as Settings,
)

FailureKind: TypeAlias = Literal["full", "permission", "not_found", "timed_out", "other"]
"""Failures of the host that the engine treats differently."""

LinkEnd: TypeAlias = Literal["finished", "reset", "refused", "timed_out", "unreachable", "no_room", "host"]
"""Why a link ended; `no_room` and `host` are failures of our own, for which no peer is to blame."""

State: TypeAlias = Literal["metadata", "checking", "leeching", "seeding", "paused", "failed", "stopping"]
"""What a torrent is doing."""

Version: TypeAlias = Literal["v1", "v2", "hybrid"]
"""Which protocol versions a torrent speaks (BEP 52)."""


# ---- parts of work


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of one file of a torrent; `file` counts `FilesOpen.files`."""

    file: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Pad:
    """So many zeros that are stored nowhere (BEP 47)."""

    length: int


Part: TypeAlias = Extent | Pad


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file as it should be stored: safe path components under the folder, the torrent's name first."""

    path: tuple[str, ...]
    length: int
    pad: bool
    executable: bool
    symlink: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class FileNow:
    """A file as it is: its length if it is there, and when it changed, in nanoseconds since 1970."""

    length: int | None
    modified_ns: int = 0


# ---- work: what a job asks for


@dataclass(frozen=True, slots=True)
class FilesOpen:
    """Get to know a torrent's files. Answered by `Files`."""

    torrent: int
    folder: str
    files: tuple[FileSpec, ...]
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class FilesSync:
    """Bring all that was written onto the medium. Answered by `Files`, read after the sync."""

    torrent: int


@dataclass(frozen=True, slots=True)
class FilesClose:
    """Forget a torrent's files. Answered by `Files()`."""

    torrent: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read these parts, in order, as one run of bytes. Answered by `BytesRead`."""

    torrent: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Write `data`, one run of bytes, over these extents, in order. Answered by `Written`."""

    torrent: int
    extents: tuple[Extent, ...]
    data: tuple[memoryview, ...]


@dataclass(frozen=True, slots=True)
class Hash:
    """Digest one run of bytes. `sha1` covers `pad` zeros behind them too; `leaves` are the SHA-256 of each 16 KiB.
    Answered by `Digests`."""

    data: tuple[memoryview, ...]
    pad: int
    sha1: bool
    leaves: bool


@dataclass(frozen=True, slots=True)
class HashStored:
    """Digest stored bytes as `Hash` does. Answered by `Digests`, or by `Absent` if not all are stored."""

    torrent: int
    parts: tuple[Part, ...]
    pad: int
    sha1: bool
    leaves: bool


@dataclass(frozen=True, slots=True)
class Save:
    """Keep the torrent's resume data, atomically and durably. Answered by `Saved`."""

    torrent: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Http:
    """GET a URL within these bounds; `timeout` in seconds. If `local` is given, from that socket's address, and so over
    its family. Answered by `HttpAnswer`."""

    url: str
    bytes_max: int
    redirects_max: int
    timeout: float
    local: int | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Exchange keys for an encrypted link, as `exchange` does. `theirs` is the other side's public key, if the secret
    is wanted. Answered by `Exchanged`."""

    private: bytes = field(repr=False)
    public: bool
    theirs: bytes | None


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look up a host's addresses; `port` goes into the answers. Answered by `Resolved`."""

    host: str
    port: int


Work: TypeAlias = (
    FilesOpen | FilesSync | FilesClose | Read | Write | Hash | HashStored | Save | Http | Exchange | Resolve
)
"""What a job asks for. Each is also answered by `Failed`, and by `Cancelled` after a `Cancel`."""


# ---- outcomes: the answer to a job


@dataclass(frozen=True, slots=True)
class BytesRead:
    """The bytes of a `Read`, in one piece or in several."""

    data: BytesLike | Sequence[BytesLike]


@dataclass(frozen=True, slots=True)
class Written:
    """All is written."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that were wanted, and only those."""

    sha1: bytes | None = None
    leaves: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """Not all of the bytes are stored."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files as they are, in order; empty after `FilesClose`."""

    files: Sequence[FileNow] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """The resume data is kept, durably."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the server answered."""

    status: int
    body: BytesLike


@dataclass(frozen=True, slots=True)
class Exchanged:
    """Our public key and the secret, 96 bytes each; only what was wanted."""

    public: bytes | None = None
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The host's addresses, at least one."""

    addresses: Sequence[Address]


@dataclass(frozen=True, slots=True)
class Failed:
    """It couldn't be done: the host's fault, not a peer's."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was cancelled before it was done."""


Outcome: TypeAlias = (
    BytesRead | Written | Digests | Absent | Files | Saved | HttpAnswer | Exchanged | Resolved | Failed | Cancelled
)
"""The answer to a job."""


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
    trackers: Sequence[Sequence[str]]
    web_seeds: Sequence[str]
    comment: str | None
    creation_date: int | None
