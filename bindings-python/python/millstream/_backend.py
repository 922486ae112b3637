"""The door between a `Session` and what runs the engine for it: the tokio driver, or sockets of an asyncio loop.

Every method is called on the loop's thread and none of them blocks it. What has to wait for the engine is awaited; what
is a snapshot (`status`, `info`, `verified`, `listening`) is read at once, on any thread, and never older than the
events that were delivered and the commands that were answered. Each method raises of the tree in `errors`; a name that
it doesn't know is a `TypeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, Unpack

from ._values import (
    AddOptions,
    Address,
    Event,
    FilePriority,
    PeerStatus,
    SessionStatistics,
    Status,
    TrackerStatus,
    WebSeedStatus,
)

OnNews: TypeAlias = Callable[[Sequence[Event]], None]
"""Called on the loop's thread, once for a batch, in the order in which things happened. It raises nothing."""


class Backend(Protocol):
    """One engine with a body. Made with its settings; `start` first, `close` last, and neither twice."""

    async def start(self, on_news: OnNews) -> None:
        """Binds what it was told to bind: `StartError` if that can't be done."""

    async def close(self, timeout: float) -> None:
        """Announces that it stops, writes and saves what is open, and ends, within `timeout` seconds. Idempotent."""

    @property
    def listening(self) -> tuple[Address, ...]:
        """Where peers can reach us."""
        ...

    async def fetch(self, url: str) -> bytes:
        """The torrent file at an HTTP(S) URL: `FetchError`."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was amiss at the start and didn't stop it; `SessionWarned` tells what is amiss later."""
        ...

    @property
    def state_folder(self) -> Path | None:
        """Where resume data is kept, if it is."""
        ...

    async def look_up(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host, by the way that all else takes; stand-ins where a proxy looks names up:
        `OSError`."""
        ...

    async def follow(self, link: str) -> None:
        """Follows the key of a link (BEP 46): `KeyFollowed` tells which torrent it names: `CommandError`."""

    def unfollow(self, link: str) -> None:
        """Follows it no more."""

    async def add(self, source: bytes | str, folder: str, **options: Unpack[AddOptions]) -> int:
        """Takes on a torrent file's bytes, or a magnet link. Gives its id, which counts up and is never used again.
        Resume data that the session kept is found by itself. Errors: `MetainfoError`, `MagnetError`,
        `DuplicateTorrent`, `CommandError`."""
        ...

    # All of these: `TorrentNotFound`.

    async def remove(self, torrent: int) -> None:
        """Begins to: `Removed` tells the end. What is stored stays."""

    async def pause(self, torrent: int) -> None: ...
    async def resume(self, torrent: int) -> None: ...
    async def recheck(self, torrent: int) -> None: ...
    async def select(self, torrent: int, files: list[int] | None) -> None: ...

    async def set_priorities(self, torrent: int, priorities: dict[int, FilePriority]) -> None:
        """Those of other files stay."""

    async def set_sequential(self, torrent: int, on: bool) -> None: ...

    async def set_deadline(self, torrent: int, start: int, length: int, within: float) -> None:
        """These bytes of the torrent's span are wanted within so many seconds."""

    async def set_rates(self, torrent: int | None, download: int | None, upload: int | None) -> None:
        """Bytes a second, `None` for no limit; of one torrent, or of the session."""

    async def add_peers(self, torrent: int, peers: Iterable[Address | str]) -> None: ...
    async def add_web_seeds(self, torrent: int, urls: list[str]) -> None: ...

    async def set_trackers(self, torrent: int, tiers: list[list[str]]) -> None:
        """In place of those that it has: `OptionError`."""

    async def disconnect(self, torrent: int, peer: Address | str, *, ban: bool) -> None:
        """`NoSuchPeer`, unless it is to be banned."""

    async def announce(self, torrent: int) -> None: ...
    async def scrape(self, torrent: int) -> None: ...

    async def check_update(self, torrent: int) -> None:
        """Asks now whether there is a newer torrent (BEP 39): `UpdateAvailable` tells of one."""

    async def save(self, torrent: int) -> None:
        """Keeps resume data now: `ResumeSaved` tells the end."""

    async def refresh(self, torrent: int) -> None:
        """`status` after it is no older than this."""

    async def peers(self, torrent: int) -> tuple[PeerStatus, ...]: ...
    async def priorities(self, torrent: int) -> tuple[FilePriority | None, ...]: ...
    async def trackers(self, torrent: int) -> tuple[TrackerStatus, ...]: ...
    async def web_seeds(self, torrent: int) -> tuple[WebSeedStatus, ...]: ...
    async def statistics(self) -> SessionStatistics: ...

    def status(self, torrent: int) -> Status: ...

    def info(self, torrent: int) -> bytes | None:
        """The info dictionary as it is bencoded, once it is known."""
        ...

    def verified(self, torrent: int) -> bytes:
        """The bitfield of verified pieces, most significant bit first; empty until the metadata is known."""
        ...
