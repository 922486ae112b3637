"""Watching torrents until they are complete, fail, or a signal comes: news become lines and bars."""

from __future__ import annotations

import asyncio
import contextlib
import time

from .._events import News
from .._session import Session
from .._torrent import Torrent
from .._values import (
    Banned,
    KeyFollowed,
    Lagged,
    Metadata,
    SessionWarned,
    Status,
    TorrentFailed,
    TrackerFailed,
    UpdateAvailable,
    Warned,
)
from ..errors import CommandError
from . import updates
from .lines import Trouble, say
from .news import Output, Track
from .numbers import PROGRAM, show_count, show_size

LIVELY, QUIET = 0.1, 1.0
"""How often a torrent is looked at while something goes on with it, and one that seeds to somebody. One that rests is
looked at when there is news of it. Seconds."""

CHECKING = 3.0
"""With `--json`, a check of what is stored isn't mentioned before it has taken this long. Seconds."""


class Watched:
    """A torrent that is watched. `select` are the files that are asked for by number; with `only_seed` nothing of it is
    to be fetched; newer ones are saved in `updates`."""

    def __init__(
        self,
        torrent: Torrent,
        output: Output,
        *,
        select: list[int] | None = None,
        only_seed: bool = False,
        updates: str | None = None,
    ) -> None:
        self.torrent = torrent
        self.complete = False
        self.changed = True
        self.failed: int | None = None
        self._output = output
        self._last_selected = select[-1] if select else None
        self._only_seed = only_seed
        self._updates = updates
        self._since = time.monotonic()
        self._unknown = True
        self._described = False
        self._asked: set[asyncio.Task[None]] = set()
        stats = self._last = torrent.stats
        v1, v2 = hexed(stats.info_hash_v1), hexed(stats.info_hash_v2)
        # a magnet link may not know a name
        self.track = Track(output, stats.name or v1 or v2 or "")
        self.track.say(None, "added", info_hash_v1=v1, info_hash_v2=v2)

    async def end(self) -> tuple[int, int]:
        """Takes the bar away; payload that was received and sent, as of now."""
        self.track.end()
        try:
            self._last = await self.torrent.stats_now()
        except CommandError:
            # it is gone: what was seen last stands
            pass
        return self._last.downloaded, self._last.uploaded

    def unfinished(self) -> str | None:
        """What is to be said of it last, if it is a download that isn't over."""
        stats = self._last
        if self._only_seed or self.complete or self.failed is not None or not stats.wanted:
            return None
        share = f"{stats.verified * 100 // stats.wanted}% of {show_size(stats.wanted)}"
        return f"{self.track.name}: {share} is there; the same command goes on from there"

    def on_event(self, event: News) -> None:
        """News of it."""
        self.changed = True
        match event:
            case Metadata():
                self._describe()
            case TrackerFailed(_, url, error):
                self.track.warn(f"{url}: {error}")
            case Banned(_, _, reason):
                # who it was is for the log: addresses are shown to nobody who didn't ask
                self.track.warn(f"a peer was banned: {reason}")
            case Warned(_, message):
                self.track.warn(message)
            case UpdateAvailable(_, torrent, signed):
                words, values, warning = updates.take(torrent, signed, self._updates)
                self.track.say(words, "update", **values)
                if warning is not None:
                    self.track.warn(warning)
            case TorrentFailed(_, reason):
                self._fail(reason, 1)
            case _:
                pass

    def look(self) -> bool:
        """Looks at how it is now. Whether it must be looked at again, even if there is no news of it."""
        self._describe()
        stats = self._last = self.torrent.stats
        if self._unknown and stats.state not in ("metadata", "checking"):
            self._unknown = False
            # at once: a download may be over before the engine would look
            self._ask(self.torrent.check_update())
            if self._only_seed:
                self._learn(stats)
        # what is only seeded has nothing wanted until it is known to be whole
        if stats.state == "seeding" and not self.complete and (stats.wanted > 0 or not self._only_seed):
            self.complete, self.changed = True, False
            self.track.complete(stats, time.monotonic() - self._since)
        elif stats.state == "failed":
            self._fail(stats.failure or "it failed", 1)
        moving = stats.download_rate > 0 or stats.upload_rate > 0
        # until it is known what is there, a program would take what it reads for a step back
        soon = self._output.as_json and time.monotonic() - self._since < CHECKING
        silent = stats.state == "checking" and (stats.checked[1] == 0 or soon)
        if (self.changed or moving) and not silent:
            self.changed = not self.track.progress(stats)
        match stats.state:
            case "seeding":
                busy = stats.peers > 0 or not (self.complete or self._only_seed)
            case "paused" | "failed":
                busy = False
            case _:
                busy = True
        return busy or self.changed or moving

    def _learn(self, stats: Status) -> None:
        """It is known now what there is of a torrent that is only seeded."""
        missing = stats.pieces - stats.pieces_verified
        if stats.state == "failed":
            # why is said elsewhere
            return
        if stats.pieces_verified == 0:
            self._fail("nothing of it is there to be seeded: is --data the folder that holds it?", 1)
        elif missing > 0:
            rest = f"the rest is seeded, `{PROGRAM} verify` shows which"
            self.track.warn(f"{show_count(missing, 'piece')} of {stats.pieces} missing or damaged; {rest}")
        else:
            # nothing is left to fetch: all counts as wanted, and as there; but not what has no length: it would be made
            metainfo = self.torrent.metainfo
            files = [file for file in metainfo.files if not file.pad] if metainfo is not None else []
            self._ask(self.torrent.select([number for number, file in enumerate(files) if file.length]))

    def _describe(self) -> None:
        """Says what it is, once that is known; before how far it is."""
        metainfo = None if self._described else self.torrent.metainfo
        if metainfo is None:
            return
        self._described = True
        self.track.rename(metainfo.name)
        files = sum(not file.pad for file in metainfo.files)
        self.track.say(
            f"{show_size(metainfo.length)} in {show_count(files, 'file')}",
            "metadata",
            length=metainfo.length,
            pieces=metainfo.pieces,
            piece_length=metainfo.piece_length,
            files=files,
        )
        if self._last_selected is not None and self._last_selected >= files:
            self._fail(no_file("--select", self._last_selected, files), 2)

    def _fail(self, reason: str, code: int) -> None:
        if self.failed is None:
            self.failed = code
            self.track.progress_last(self._last)
            if self._output.as_json:
                self.track.say(None, "error", message=reason)
            self._output.complain(f"{self.track.name}: {reason}")

    def _ask(self, command: object) -> None:
        """Asks something of the torrent that nobody waits for."""

        async def ask() -> None:
            with contextlib.suppress(CommandError):
                await command  # type: ignore[misc]

        task = asyncio.ensure_future(ask())
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)


class Watch:
    """What is watched. `followed` is what a key named when it was asked."""

    def __init__(self, session: Session, output: Output) -> None:
        self._output = output
        self._events = session.events()
        self._watched: dict[int, Watched] = {}
        self._told: set[int] = set()
        self._lively: set[int] = set()
        self._looked = time.monotonic()
        self._followed: KeyFollowed | None = None

    def add(self, watched: Watched) -> None:
        """Watches one more."""
        self._watched[watched.torrent.id] = watched
        self._told.add(watched.torrent.id)

    def say_followed(self, followed: KeyFollowed) -> None:
        """Says which torrent a key names."""
        if followed != self._followed:
            self._followed = followed
            digest = followed.info_hash.hex()
            words = f"the key names {digest} (version {followed.seq})"
            self._output.say(words, "followed", info_hash=digest, seq=followed.seq)

    async def end(self) -> tuple[int, int]:
        """Takes the bars away; payload received and sent in all."""
        sums = [await watched.end() for watched in self._watched.values()]
        return sum(one[0] for one in sums), sum(one[1] for one in sums)

    def say_unfinished(self) -> None:
        """After an interruption and all else: how far it is, and that nothing is lost."""
        for watched in self._watched.values():
            words = watched.unfinished()
            if words is not None and not self._output.as_json:
                say(words)

    async def run(self, *, until_complete: bool) -> int:
        """Watches until all is complete, if that is wanted, or has failed; the exit code."""
        while True:
            self._look()
            code = self._verdict(until_complete)
            if code is not None:
                return code
            news = await self._events.take(self._pause())
            self._take(news)
            if not news and self._events.ended:
                raise Trouble(1, "the session ended by itself")

    def catch_up(self) -> None:
        """Takes in what was told, and shows it."""
        self._take(self._events.waiting())
        self._look()

    def _take(self, news: list[News]) -> None:
        for event in news:
            match event:
                case Lagged():
                    self._told |= self._watched.keys()
                case SessionWarned(message):
                    self._output.warn(message)
                case KeyFollowed():
                    self.say_followed(event)
                case _:
                    torrent: int = getattr(event, "torrent", -1)
                    if (watched := self._watched.get(torrent)) is not None:
                        watched.on_event(event)
                        self._told.add(torrent)

    def _look(self) -> None:
        """Looks at what there is news of, and now and then at what is lively."""
        if time.monotonic() - self._looked >= LIVELY:
            self._looked = time.monotonic()
            self._told |= self._lively
        told, self._told = self._told, set()
        for torrent in sorted(told):
            if self._watched[torrent].look():
                self._lively.add(torrent)
            else:
                self._lively.discard(torrent)

    def _pause(self) -> float | None:
        """When to look again if nothing is told; `None` if all rest."""
        lively = [self._watched[torrent] for torrent in self._lively]
        if not lively:
            return None
        pause = QUIET if all(one.complete and not one.changed for one in lively) else LIVELY
        return max(pause - (time.monotonic() - self._looked), 0.001)

    def _verdict(self, until_complete: bool) -> int | None:
        settled = all(one.failed is not None or (one.complete and until_complete) for one in self._watched.values())
        return max(one.failed or 0 for one in self._watched.values()) if settled else None


def no_file(flag: str, number: int, files: int) -> str:
    """What is said of a file that was asked for by a number that a torrent of so many files doesn't have."""
    last = max(files - 1, 0)
    return f"{flag}: there is no file {number}, the last is {last}; `{PROGRAM} inspect` lists them"


def hexed(digest: bytes | None) -> str | None:
    """An info-hash in hexadecimal digits."""
    return None if digest is None else digest.hex()
