"""What a `DhtNode` tells and stores, as frozen values, and its settings.

A look-up is a number that the node gave when it was begun. An address is a pair of an IP address in text and a port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Literal, TypeAlias, TypedDict

from ._millstream import sign
from ._values import Address, BytesLike

Family: TypeAlias = Literal["ipv4", "ipv6"]
"""Which of the two DHTs (BEP 32)."""


@dataclass(frozen=True, slots=True)
class DhtItem:
    """What the DHT stores (BEP 44): a bencoded value of at most 1000 bytes, under its own digest; or one that the owner
    of a key signed, who may put another with a higher `seq` in its place. `salt` tells items of one owner apart."""

    value: bytes
    key: bytes | None = None
    salt: bytes = b""
    seq: int | None = None
    signature: bytes | None = None

    @classmethod
    def signed(cls, secret: BytesLike, value: bytes, *, seq: int, salt: bytes = b"") -> DhtItem:
        """A signed item; `secret` is 32 random bytes, or 64 of the expanded form. Raises ItemError if no node would
        store it."""
        key, signature = sign(secret, value, seq, salt)
        return cls(value, key, salt, seq, signature)

    @property
    def target(self) -> bytes:
        """What it is found by."""
        return sha1(self.value if self.key is None else self.key + self.salt).digest()


@dataclass(frozen=True, slots=True)
class DhtCost:
    """What a look-up took: `hops` nodes had to be asked one after the other; `elapsed` in seconds."""

    hops: int
    queries: int
    answers: int
    timeouts: int
    elapsed: float


# ---- outcomes: what came of a look-up


@dataclass(frozen=True, slots=True)
class DhtFoundNodes:
    """The nodes nearest to the target, nearest first, each its id and address."""

    nodes: tuple[tuple[bytes, Address], ...]


@dataclass(frozen=True, slots=True)
class DhtFoundPeers:
    """So many peers were told of by `DhtPeers`."""

    found: int


@dataclass(frozen=True, slots=True)
class DhtAnnounced:
    """So many nodes took the announce, so many refused or didn't answer; `found` peers were told of on the way."""

    stored: int
    failed: int
    found: int


@dataclass(frozen=True, slots=True)
class DhtScraped:
    """About how many are in the swarm, as so many nodes said (BEP 33)."""

    seeds: int
    peers: int
    answers: int


@dataclass(frozen=True, slots=True)
class DhtGot:
    """The newest version of the item that was found."""

    item: DhtItem | None


@dataclass(frozen=True, slots=True)
class DhtStored:
    """So many nodes took the item; others refused by these codes, 0 for no answer, each with how many. `seq_before` is
    the highest sequence number that was found before."""

    stored: int
    refused: tuple[tuple[int, int], ...]
    seq_before: int | None


@dataclass(frozen=True, slots=True)
class DhtSampled:
    """So many nodes told so many torrents, with those told twice (BEP 51)."""

    nodes: int
    samples: int


DhtOutcome: TypeAlias = DhtFoundNodes | DhtFoundPeers | DhtAnnounced | DhtScraped | DhtGot | DhtStored | DhtSampled
"""What came of a look-up."""


# ---- events


@dataclass(frozen=True, slots=True)
class DhtResolve:
    """Look this name up, and come with `DhtNode.resolved`; `port` goes into the addresses."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DhtPeers:
    """A look-up found peers that it hadn't told of."""

    lookup: int
    peers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class DhtItemFound:
    """A look-up found an item, newer than any before. It is verified."""

    lookup: int
    item: DhtItem


@dataclass(frozen=True, slots=True)
class DhtSamples:
    """A node told some of the `num` torrents that it knows peers of; for `interval` seconds it gives no others
    (BEP 51)."""

    lookup: int
    addr: Address
    samples: tuple[bytes, ...]
    num: int
    interval: float


@dataclass(frozen=True, slots=True)
class DhtDone:
    """A look-up is over; each that was begun ends so, unless it was cancelled."""

    lookup: int
    outcome: DhtOutcome
    cost: DhtCost


@dataclass(frozen=True, slots=True)
class DhtJoined:
    """The table has its first nodes, or has some again after it had none."""

    family: Family


@dataclass(frozen=True, slots=True)
class DhtExternal:
    """Others agree on our IP address; our id follows it (BEP 42)."""

    address: str


DhtEvent: TypeAlias = DhtResolve | DhtPeers | DhtItemFound | DhtSamples | DhtDone | DhtJoined | DhtExternal
"""News of a node."""


# ---- state and settings


@dataclass(frozen=True, slots=True)
class DhtFamily:
    """One family's table: `good` of its `nodes` answered lately."""

    family: Family
    id: bytes
    external: str | None
    nodes: int
    good: int
    buckets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DhtStatus:
    """How a node is."""

    families: tuple[DhtFamily, ...]
    lookups: int
    transactions: int
    stored_hashes: int
    stored_peers: int
    stored_items: int
    stored_items_bytes: int
    queries_in: int
    queries_out: int
    answers_in: int
    answers_out: int
    bytes_in: int
    bytes_out: int
    dropped: Mapping[str, int]
    """Datagrams that were dropped, by reason."""


class DhtSettings(TypedDict, total=False):
    """Settings of a node. Those of time are seconds; `..._max` bounds what it holds or sends."""

    bootstrap_nodes: Sequence[str]
    """Where a node without contacts begins: `host:port`. Well-known ones, unless told."""
    read_only: bool
    """No query is answered, and nobody keeps us in a table (BEP 43)."""
    private_addresses: bool
    """Loopback and private addresses are taken into tables: for tests and networks of one's own."""
    enforce_node_ids: bool
    """Only nodes whose id suits their address store what we store (BEP 42). On, unless told."""
    bucket_nodes_max: int
    nodes_max: int
    lookup_parallel_max: int
    lookup_queries_max: int
    lookup_candidates_max: int
    lookup_peers_max: int
    lookups_max: int
    transactions_max: int
    address_queries_per_second_max: int
    dht_reply_bytes_per_second: int
    dht_proved_reply_bytes_per_second: int
    reply_bytes_per_second_max: int
    datagrams_max: int
    events_max: int
    stored_hashes_max: int
    stored_peers_per_hash_max: int
    stored_peers_max: int
    stored_peers_per_address_max: int
    stored_items_max: int
    stored_items_bytes_max: int
    stored_items_per_network_max: int
    stall_timeout: float
    query_timeout: float
    peer_lifetime: float
    item_lifetime: float
    sample_interval: float
