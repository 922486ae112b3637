"""What a `Tracker` tells, as frozen values, and its settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Literal, TypedDict

from ._values import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolStatistics:
    """What was asked over one protocol."""

    connects: int
    """Connection ids given out; 0 but for UDP."""
    announces: Mapping[str, int]
    """Announces answered: `regular`, `started`, `completed`, `stopped`."""
    scrapes: int
    scraped: int
    """Torrents that scrapes asked about."""
    relayed: int
    """Offers and answers passed on; 0 but for WebSockets."""
    faults: Mapping[str, int]
    """What was not done, by reason: `malformed`, `connection_id`, `not_served`, `torrents_full`, `peers_full` ..."""
    bytes_in: int
    bytes_out: int
    """Without headers of HTTP and below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerStatistics:
    """What a tracker holds and has done."""

    torrents: int
    """Torrents with a peer."""
    peers: int
    """Addresses held of all torrents: a peer of two families has two."""
    leeches: int
    seeds: int
    """Peers of all torrents, counted once for each torrent."""
    announces: int
    scraped: int
    completed: int
    """Downloads that became whole."""
    refused: int
    expired: int
    """Peers forgotten since they were not heard any more."""
    protocols: Mapping[Literal["udp", "http", "websocket"], ProtocolStatistics]


class TrackerSettings(TypedDict, total=False):
    """How a tracker behaves and what it may hold."""

    interval_s: int
    """Seconds between a peer's announces, 1800 unless told. Who was not heard for twice as long is forgotten."""
    min_interval_s: int
    """Seconds before which a peer is asked not to announce again: 60."""
    signal_interval_s: int
    """Seconds between announces of a peer over a WebSocket, each of which brings fresh offers: 120."""
    torrents_max: int
    """Torrents held: 1,000,000, about 400 bytes each. An announce of one more is refused."""
    peers_max: int
    """Peers held of all torrents: 20,000,000, about 40 bytes each. One more is told of others, but not remembered."""
    peers_per_torrent_max: int
    peers_per_source_max: int
    """Peers held of one torrent and one IPv4 address or IPv6 /64: 64. Without it one host fills a swarm."""
    offers_per_socket_max: int
    """Offers that a WebSocket was handed in one torrent and may answer: 64, 48 bytes each. An older one can't be
    answered any more."""
    sockets_max: int
    """WebSockets open: 10,000. One more is refused."""
    torrents_per_socket_max: int
    """Torrents that one WebSocket may announce: 1000, about 100 bytes each. One more is refused to it."""
    numwant_default: int
    """Peers given to who doesn't say how many it wants: 50."""
    numwant_max: int
    """Peers given at the most: 200."""


class TrackerServerSettings(TypedDict, total=False):
    """What a tracker on threads of its own serves, and where: `udp`, `http`, `ws` and `stats` are the addresses of
    each. `allow` and `deny` are lists of info-hashes in text, `state` is the file that survives it. Intervals in
    seconds; what is held at the most is as in `TrackerSettings`."""

    udp: Iterable[Address | str]
    http: Iterable[Address | str]
    ws: Iterable[Address | str]
    stats: Iterable[Address | str]
    workers: int
    allow: str | None
    deny: str | None
    state: str | PathLike[str] | None
    interval: int
    min_interval: int
    max_torrents: int
    max_peers: int
    max_peers_per_source: int
