"""`AsyncioBackend`: a session's engine on the running loop, whichever that is. Sockets are the loop's transports; disk
and digests run on threads of Rust's that never take Python's lock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Unpack

from .._backend import OnNews
from .._millstream import Body, Magnet, Metainfo
from .._values import (
    AddOptions,
    Address,
    Event,
    FilePriority,
    Listening,
    PeerStatus,
    Removed,
    SessionSettings,
    SessionStatistics,
    Status,
    Stopped,
    TrackerStatus,
    Warned,
    WebSeedStatus,
)
from ..errors import CLOSED, NOT_STARTED, SessionClosed
from .relay import Relay
from .sockets import Wanted, bind_all
from .turns import BELL_BYTES, Turns
from .ways import Unanswered, Ways

log = logging.getLogger("millstream")

GRACE = 0.5
"""Seconds that the end may take beyond its time-out."""

SETTLE = 0.25
"""Seconds that what still ran may take to give back what it held."""

KEEP_MS = 1000
"""Milliseconds that the disk may take for what is to be kept at the end."""

FRESH = 0.25
"""Seconds that a snapshot of a torrent stays good while nothing is told of it, unless it rests."""


class AsyncioBackend:
    """One engine on the sockets of one loop. See `Backend` for what each method means."""

    def __init__(self, **settings: Unpack[SessionSettings]) -> None:
        self._given = settings
        self._on_news: OnNews = _nobody
        self._turns: Turns | None = None
        self._starting: asyncio.Task[None] | None = None
        self._closed = False
        self._bell: socket.socket | None = None
        self._relay: Relay | None = None
        self._stopped: asyncio.Event = asyncio.Event()
        self._listening: list[Address] = []
        self._warnings: list[str] = []
        self._shown: dict[int, tuple[Status, float]] = {}

    async def start(self, on_news: OnNews) -> None:
        """Binds and begins."""
        # not half of it if it is cancelled: what a loop has taken of a socket, only its server gives back
        self._starting = asyncio.get_running_loop().create_task(self._start(on_news))
        await asyncio.shield(self._starting)

    async def _start(self, on_news: OnNews) -> None:
        loop = asyncio.get_running_loop()
        body = Body(loop.time(), **self._given)
        # long lists and tables take their time to be read: not the loop's
        amiss = [await loop.run_in_executor(None, body.load_filter, loop.time())]
        neighbours, dht = body.seeks
        if dht:
            amiss.append(await loop.run_in_executor(None, body.restore_dht, loop.time()))
        ways = Ways(body.ways)
        wanted = Wanted(*body.listen, ways)
        pairs, warnings = bind_all(wanted)
        self._warnings = [*warnings, *(warning for warning in amiss if warning)]
        for text in self._warnings:
            log.warning(text)
        self._on_news = on_news
        turns = self._turns = Turns(body, ways, self._on_events)
        try:
            self._listen_for_answers(turns)
            await turns.datagrams.serve(pairs, takes_links=wanted.takes_links)
            if neighbours:
                await turns.datagrams.listen_to_neighbours()
        except BaseException:
            self._closed = True
            await self._end(turns)
            raise
        if ways.relays:
            self._relay = Relay(turns.datagrams)
            self._relay.begin()

    async def close(self, timeout: float) -> None:
        """Ends all in good order, within the time."""
        if self._starting is not None:
            await asyncio.wait([self._starting], timeout=timeout)
            self._starting.cancel()
        turns = self._turns
        if turns is None or self._closed:
            return
        self._closed = True
        turns.engine.stop(turns.now(), turns.now() + max(timeout, 0.0))
        turns.touch()
        try:
            async with asyncio.timeout(max(timeout, 0.0) + GRACE):
                await self._stopped.wait()
        except TimeoutError:
            log.warning("the session didn't end in good order within %s s", timeout)
        finally:
            await self._end(turns)

    def _listen_for_answers(self, turns: Turns) -> None:
        bell = turns.body.bell()
        if bell is not None:
            self._bell = socket.socket(fileno=bell)
            self._bell.setblocking(False)
            turns.loop.add_reader(self._bell, self._answered)

    async def _end(self, turns: Turns) -> None:
        """Gives all back, whatever state it is in."""
        turns.end()
        if self._bell is not None:
            turns.loop.remove_reader(self._bell)
            self._bell.close()
            self._bell = None
        if self._relay is not None:
            self._relay.close()
        turns.datagrams.close()
        turns.links.abort()
        turns.errands.abort()
        await turns.settle(SETTLE)
        # the DHT's table, for who begins again at once
        await turns.loop.run_in_executor(None, turns.body.flush, KEEP_MS)
        _pass_on(turns.body.log())

    @property
    def listening(self) -> tuple[Address, ...]:
        """Where peers can reach us."""
        return tuple(self._listening)

    async def fetch(self, url: str) -> bytes:
        """A torrent file."""
        turns = self._live
        return await turns.errands.fetch(url, *turns.body.fetches)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was amiss at the start."""
        return tuple(self._warnings)

    @property
    def state_folder(self) -> Path | None:
        """Where resume data is kept."""
        return self._begun.body.state_folder

    async def look_up(self, host: str, port: int) -> tuple[Address, ...]:
        """The addresses of a host."""
        try:
            return tuple(await self._live.ways.resolve(host, port))
        except Unanswered as error:
            raise (TimeoutError if error.kind == "timed_out" else OSError)(str(error)) from error

    async def follow(self, link: str) -> None:
        """Which torrent a key names."""
        turns = self._ask()
        turns.engine.follow(turns.now(), link)

    def unfollow(self, link: str) -> None:
        """No more."""
        if not self._closed:
            turns = self._ask()
            turns.engine.unfollow(turns.now(), link)

    async def add(self, source: bytes | str, folder: str, **options: Unpack[AddOptions]) -> int:
        """Takes on a torrent, with what was kept of it."""
        turns, loop = self._live, self._live.loop
        # large torrent files take their time to be read: not the loop's
        parsed: Metainfo | Magnet
        if isinstance(source, str):
            parsed = Magnet.parse(source)
        else:
            parsed = await loop.run_in_executor(None, Metainfo.parse, source)
        options.setdefault("allocation", turns.body.allocation)
        place = turns.body.place(parsed, folder)
        if place is not None and "resume" not in options:
            options["resume"] = await loop.run_in_executor(None, turns.body.load, place)
        turns = self._live
        torrent = turns.engine.add_torrent(turns.now(), parsed, folder, **options)
        if place is not None:
            turns.body.keep(torrent, place)
        turns.touch()
        return torrent

    async def remove(self, torrent: int) -> None:
        """Begins to."""
        turns = self._ask()
        turns.engine.remove(turns.now(), torrent)

    async def pause(self, torrent: int) -> None:
        """Stops the transfer."""
        turns = self._ask(torrent)
        turns.engine.pause(turns.now(), torrent)

    async def resume(self, torrent: int) -> None:
        """Goes on."""
        turns = self._ask(torrent)
        turns.engine.resume(turns.now(), torrent)

    async def recheck(self, torrent: int) -> None:
        """Checks all files again."""
        turns = self._ask(torrent)
        turns.engine.recheck(turns.now(), torrent)

    async def select(self, torrent: int, files: list[int] | None) -> None:
        """Which files are wanted."""
        turns = self._ask(torrent)
        turns.engine.select(turns.now(), torrent, files)

    async def set_priorities(self, torrent: int, priorities: dict[int, FilePriority]) -> None:
        """How much files are wanted."""
        turns = self._ask(torrent)
        turns.engine.set_priorities(turns.now(), torrent, priorities)

    async def set_sequential(self, torrent: int, on: bool) -> None:
        """Pieces in order, or rarest first."""
        turns = self._ask(torrent)
        turns.engine.set_sequential(turns.now(), torrent, on)

    async def set_deadline(self, torrent: int, start: int, length: int, within: float) -> None:
        """These bytes are wanted within so many seconds."""
        turns = self._ask(torrent)
        now = turns.now()
        turns.engine.set_deadline(now, torrent, (start, length), now + within)

    async def set_rates(self, torrent: int | None, download: int | None, upload: int | None) -> None:
        """Limits of a torrent, or of the session."""
        turns = self._ask(torrent)
        turns.engine.set_rates(turns.now(), download, upload, torrent=torrent)

    async def add_peers(self, torrent: int, peers: Iterable[Address | str]) -> None:
        """Addresses of peers."""
        turns = self._ask(torrent)
        turns.engine.add_peers(turns.now(), torrent, peers)

    async def add_web_seeds(self, torrent: int, urls: list[str]) -> None:
        """More web seeds."""
        turns = self._ask(torrent)
        turns.engine.add_web_seeds(turns.now(), torrent, urls)

    async def set_trackers(self, torrent: int, tiers: list[list[str]]) -> None:
        """Other trackers."""
        turns = self._ask(torrent)
        turns.engine.set_trackers(turns.now(), torrent, tiers)

    async def disconnect(self, torrent: int, peer: Address | str, *, ban: bool) -> None:
        """Closes the links with a peer."""
        turns = self._ask(torrent)
        turns.engine.disconnect(turns.now(), torrent, peer, ban=ban)

    async def announce(self, torrent: int) -> None:
        """Announces now."""
        turns = self._ask(torrent)
        turns.engine.announce(turns.now(), torrent)

    async def scrape(self, torrent: int) -> None:
        """Asks how many are in the swarm."""
        turns = self._ask(torrent)
        turns.engine.scrape(turns.now(), torrent)

    async def check_update(self, torrent: int) -> None:
        """Asks whether there is a newer torrent."""
        turns = self._ask(torrent)
        turns.engine.check_update(turns.now(), torrent)

    async def save(self, torrent: int) -> None:
        """Keeps resume data now."""
        turns = self._ask(torrent)
        turns.engine.save(turns.now(), torrent)

    async def refresh(self, torrent: int) -> None:
        """A snapshot is made anew."""
        _ = self._live
        self._shown.pop(torrent, None)

    async def peers(self, torrent: int) -> tuple[PeerStatus, ...]:
        """The connected peers."""
        return self._live.engine.peer_statuses(torrent)

    async def priorities(self, torrent: int) -> tuple[FilePriority | None, ...]:
        """How much each file is wanted."""
        return self._live.engine.priorities(torrent)

    async def trackers(self, torrent: int) -> tuple[TrackerStatus, ...]:
        """The trackers."""
        return self._live.engine.trackers(torrent)

    async def web_seeds(self, torrent: int) -> tuple[WebSeedStatus, ...]:
        """The web seeds."""
        return self._live.engine.web_seeds(torrent)

    async def statistics(self) -> SessionStatistics:
        """What is counted."""
        return self._live.engine.statistics()

    def status(self, torrent: int) -> Status:
        """A snapshot, good until something is told of the torrent; while something flows, for a moment."""
        turns = self._begun
        shown = self._shown.get(torrent)
        if shown is not None and shown[1] > turns.now():
            return shown[0]
        status = turns.engine.status(torrent)
        rests = status.state in ("seeding", "paused", "failed")
        flows = status.download_rate or status.upload_rate or status.peers
        self._shown[torrent] = status, float("inf") if rests and not flows else turns.now() + FRESH
        return status

    def info(self, torrent: int) -> bytes | None:
        """The info dictionary."""
        return self._begun.engine.info(torrent)

    def verified(self, torrent: int) -> bytes:
        """The bitfield of verified pieces."""
        return self._begun.engine.verified(torrent) or b""

    @property
    def _begun(self) -> Turns:
        """Snapshots are read to the end and beyond."""
        if self._turns is None:
            raise SessionClosed(NOT_STARTED)
        return self._turns

    @property
    def _live(self) -> Turns:
        if self._closed:
            raise SessionClosed(CLOSED)
        return self._begun

    def _ask(self, torrent: int | None = None) -> Turns:
        """Something is about to be asked of the engine: a turn follows."""
        turns = self._live
        turns.touch()
        if torrent is not None:
            self._shown.pop(torrent, None)
        return turns

    def _answered(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if self._bell is not None:
                self._bell.recv(BELL_BYTES)
        if self._turns is not None:
            _pass_on(self._turns.body.log())
            self._turns.touch()

    def _on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Listening(_, address):
                    self._listening.append(address)
                case Stopped():
                    self._stopped.set()
                case Removed(torrent):
                    self._shown.pop(torrent, None)
                case Warned(torrent, text):
                    log.warning("%s torrent=%s", text, torrent)
                    self._shown.pop(torrent, None)
                case _:
                    self._shown.pop(getattr(event, "torrent", -1), None)
        self._on_news(events)


def _pass_on(lines: Iterable[tuple[int, str]]) -> None:
    """What Rust's threads had to say."""
    for level, line in lines:
        log.log(level, "%s", line)


def _nobody(events: Sequence[Event]) -> None:
    """Who hears of it before anybody listens."""
