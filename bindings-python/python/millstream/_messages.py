"""Messages between peers that come seldom, as frozen values. Those that come by the thousand are native.

An address is a pair of an IP address in text and a port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ._millstream import (
    AllowedFast,
    CancelRequest,
    Choke,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    NotInterested,
    Piece,
    Port,
    RejectRequest,
    Request,
    SuggestPiece,
    Unchoke,
)
from ._values import Address


@dataclass(frozen=True, slots=True)
class Handshake:
    """What opens a connection: 8 reserved bytes, 20 of the info-hash, 20 of the peer's id (BEP 3)."""

    reserved: bytes
    info_hash: bytes
    peer_id: bytes

    @property
    def extensions(self) -> bool:
        """Whether the sender speaks extensions (BEP 10)."""
        return bool(self.reserved[5] & 0x10)

    @property
    def fast(self) -> bool:
        """Whether the sender speaks the fast extension (BEP 6)."""
        return bool(self.reserved[7] & 0x04)

    @property
    def dht(self) -> bool:
        """Whether the sender has a DHT node (BEP 5)."""
        return bool(self.reserved[7] & 0x01)

    @property
    def v2(self) -> bool:
        """Whether the sender speaks v2 as well (BEP 52)."""
        return bool(self.reserved[7] & 0x10)


@dataclass(frozen=True, slots=True)
class Bitfield:
    """The pieces the sender has: the most significant bit of the first byte is piece 0."""

    bits: bytes

    @classmethod
    def of(cls, pieces: int, have: Iterator[int] | Sequence[int] | set[int] | range) -> Bitfield:
        """That of a torrent of so many pieces, of which these are there."""
        bits = bytearray((pieces + 7) // 8)
        for index in have:
            if not 0 <= index < pieces:
                raise ValueError(f"piece {index} does not exist")
            bits[index // 8] |= 0x80 >> index % 8
        return cls(bytes(bits))

    def __contains__(self, index: int) -> bool:
        return 0 <= index < 8 * len(self.bits) and bool(self.bits[index // 8] & 0x80 >> index % 8)

    def __iter__(self) -> Iterator[int]:
        return (index for index in range(8 * len(self.bits)) if index in self)


@dataclass(frozen=True, slots=True)
class HashRequest:
    """Send these hashes of a file's tree: `length` from `index` on of the layer `base_layer`, counted from the leaves,
    and `proof_layers` layers of proof above (BEP 52)."""

    pieces_root: bytes
    base_layer: int
    index: int
    length: int
    proof_layers: int


@dataclass(frozen=True, slots=True)
class Hashes:
    """Hashes of 32 bytes each, the proof last (BEP 52)."""

    pieces_root: bytes
    base_layer: int
    index: int
    length: int
    proof_layers: int
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HashReject:
    """Hashes that will not be sent (BEP 52)."""

    pieces_root: bytes
    base_layer: int
    index: int
    length: int
    proof_layers: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that no BEP here defines."""

    id: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionHandshake:
    """What a side tells about itself (BEP 10). It may come again; then what it doesn't tell stays as it was."""

    m: Mapping[str, int] | None = None
    """Each extension with the sender's number for it, 0 to turn it off. When sent, `None` names those that the
    connection was made with."""
    v: str | None = None
    """The sender's client and version."""
    p: int | None = None
    """The port the sender listens on."""
    reqq: int | None = None
    """How many requests the sender keeps without dropping any."""
    yourip: str | None = None
    """The receiver's address as the sender sees it."""
    ipv4: str | None = None
    ipv6: str | None = None
    metadata_size: int | None = None
    """Bytes of the info dictionary (BEP 9); unchecked."""
    upload_only: bool | None = None
    """Whether the sender wants nothing more (BEP 21)."""
    encrypts: bool | None = None
    """Whether the sender takes encrypted links: `e`."""

    def __hash__(self) -> int:
        return hash((self.v, self.p, self.reqq, self.metadata_size))


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """Send this piece of 16 KiB of the info dictionary (BEP 9)."""

    piece: int


@dataclass(frozen=True, slots=True)
class MetadataData:
    """A piece of the info dictionary, which has `total_size` bytes as the sender says. Verify it before use (BEP 9)."""

    piece: int
    total_size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MetadataReject:
    """This piece of the info dictionary will not be sent (BEP 9)."""

    piece: int


@dataclass(frozen=True, slots=True)
class PexPeer:
    """A peer, as another one tells of it; `flags` are BEP 11's: 1 encrypts, 2 seeds, 4 speaks uTP, 8 holepunch, 16 can
    be reached."""

    addr: Address
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Pex:
    """Whom the sender is connected to now and wasn't when it wrote last, and who is gone (BEP 11)."""

    added: tuple[PexPeer, ...] = ()
    dropped: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Holepunch:
    """Bring me together with the peer at `addr`, open a uTP link to it now, or: that can't be had, why says `error`
    (BEP 55)."""

    kind: Literal["rendezvous", "connect", "failed"]
    addr: Address
    error: int = 0


@dataclass(frozen=True, slots=True)
class DontHave:
    """The sender lost this piece (BEP 54)."""

    index: int


@dataclass(frozen=True, slots=True)
class UploadOnly:
    """Whether the sender wants nothing more (BEP 21)."""

    on: bool


@dataclass(frozen=True, slots=True)
class Extended:
    """A message of an extension that has no class here, by its name."""

    name: str
    payload: bytes


Outgoing: TypeAlias = (
    KeepAlive
    | Choke
    | Unchoke
    | Interested
    | NotInterested
    | Have
    | Bitfield
    | Request
    | Piece
    | CancelRequest
    | Port
    | SuggestPiece
    | HaveAll
    | HaveNone
    | RejectRequest
    | AllowedFast
    | HashRequest
    | Hashes
    | HashReject
    | Unknown
    | ExtensionHandshake
    | MetadataRequest
    | MetadataData
    | MetadataReject
    | Pex
    | Holepunch
    | DontHave
    | UploadOnly
    | Extended
)
"""What `PeerConnection.send` takes."""

Message: TypeAlias = Handshake | Outgoing
"""What `PeerConnection.receive_data` gives."""
