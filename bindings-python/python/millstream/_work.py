"""Work: what a job asks for, and the outcome that answers it. Frozen values, made to be matched on; what else crosses
the doors is in `_values`, which has these too.

Bytes that the engine hands out are read-only memoryviews of its own memory: no copy is made, and they stay good for as
long as they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ._settings import Address, Allocation, BytesLike

FailureKind: TypeAlias = Literal["full", "permission", "not_found", "timed_out", "other"]
"""Failures of the host that the engine treats differently."""


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
    """A file as it should be stored: safe path components under the folder, the torrent's name first. A link or a file
    of no length is made at once if it is `wanted`; others are made when they are first written to."""

    path: tuple[str, ...]
    length: int
    pad: bool
    executable: bool
    symlink: tuple[str, ...] | None
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class FileNow:
    """A file as it is: its length if it is there, and when it changed, in nanoseconds since 1970."""

    length: int | None
    modified_ns: int = 0


# ---- work: what a job asks for


@dataclass(frozen=True, slots=True)
class FilesOpen:
    """Get to know a torrent's files. May come again when other files are wanted. Answered by `Files`."""

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
