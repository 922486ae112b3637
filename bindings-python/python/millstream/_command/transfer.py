"""`download` and `seed`: torrents until they are complete, fail, or a signal comes."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any, cast

from .. import _sources
from .._events import News
from .._session import Session
from .._torrent import Torrent
from .._values import Address, Banned, Metadata, SessionSettings, Status, TrackerFailed, Warned
from ..errors import CommandError, MillstreamError
from .arguments import Arguments
from .files import load
from .lines import Output, Trouble
from .numbers import show_address, show_count, show_size, show_time

LIVELY = 0.1
"""How often a torrent is looked at. Seconds."""

PLAIN, JSON = 3.0, 0.2
"""How often a line of progress comes, in words and in JSON. Seconds."""

LEAVE = 5.0
"""How long taking leave may take. Seconds."""


def download(args: Arguments) -> int:
    """One torrent, until all that is wanted is verified."""
    if not _sources.is_url(args.torrent) and not _sources.is_hash(args.torrent):
        # a source that is wrong is said so before anything is started
        metainfo = load(args.torrent)
        count = sum(not file.pad for file in getattr(metainfo, "files", ()))
        for number in args.select or ():
            if number >= count:
                raise Trouble(2, no_file(number, count))
    return asyncio.run(run(args, [args.torrent], args.output or Path(), until_complete=not args.seed))


def seed(args: Arguments) -> int:
    """Gives what is stored, until interrupted. Fetches nothing."""
    if not args.data.is_dir():
        raise Trouble(1, f"{args.data} can't be read: there is no such folder")
    for path in args.torrents:
        load(path)
    return asyncio.run(run(args, args.torrents, args.data, until_complete=False, only_seed=True))


async def run(
    args: Arguments, sources: list[str], folder: Path, *, until_complete: bool, only_seed: bool = False
) -> int:
    """Runs a session until it is done, and takes leave."""
    output, stop = Output(args.json), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    session = Session(driver=args.driver, folder=folder, close_timeout=LEAVE, **settings(args))
    watched: list[Watched] = []
    stopping = asyncio.ensure_future(stop.wait())
    code = 1
    try:
        await session.start()
        for where in session.listening:
            output.say(f"listens at {show_address(where)}", "listening", address=show_address(where))
        work = asyncio.ensure_future(transfer(args, session, (sources, watched, output), until_complete, only_seed))
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
        code = 130 if work.cancelled() else work.result()
    except Trouble as trouble:
        code = trouble.code
        if trouble.words:
            output.complain(trouble.words)
    except (MillstreamError, OSError) as error:
        output.complain(f"{sources[0]}: {error}" if len(sources) == 1 else str(error))
    finally:
        stopping.cancel()
        sums = [await one.sums() for one in watched]
        await session.close()
    down, up = sum(one[0] for one in sums), sum(one[1] for one in sums)
    output.say(f"stopped: {show_size(down)} received, {show_size(up)} sent", "stopped", downloaded=down, uploaded=up)
    return code


def settings(args: Arguments) -> SessionSettings:
    """The session's settings that the flags ask for."""
    alone = args.only_peers
    chosen: dict[str, Any] = {
        "dht": not (args.no_dht or alone),
        "lsd": not (args.no_lsd or alone),
        "pex": not (args.no_pex or alone),
        "web_seeds": not (args.no_web_seeds or alone),
        "utp": args.utp,
        "encryption": args.encryption,
        "download_rate": args.max_download,
        "upload_rate": args.max_upload,
    }
    if args.driver == "native":
        chosen["port_mapping"] = args.port_mapping == "on" and not alone
    if args.listen:
        # what is asked for by number is meant
        chosen |= {"listen": args.listen, "listen_tries_max": 0}
    if args.dht_bootstrap:
        chosen["dht_bootstrap"] = [show_address(where) for where in args.dht_bootstrap]
    given = {"proxy": args.proxy, "bind": args.bind, "ip_filter": args.ip_filter}
    chosen |= {name: value for name, value in given.items() if value is not None}
    return cast(SessionSettings, chosen)


async def transfer(
    args: Arguments,
    session: Session,
    shown: tuple[list[str], list[Watched], Output],
    until_complete: bool,
    only_seed: bool,
) -> int:
    """Adds the torrents and watches them; the exit code."""
    sources, watched, output = shown
    peers = [address for peer in args.peers for address in await look_up(peer)]
    for source in sources:
        files = [] if only_seed else args.select
        torrent = await session.add(
            source, files=files, peers=peers, only_peers=args.only_peers, sequential=args.sequential
        )
        watched.append(Watched(torrent, output, args.select, only_seed))
    while True:
        for one in watched:
            await one.look()
        if all(one.failed is not None or (one.complete and until_complete) for one in watched):
            return max(one.failed or 0 for one in watched)
        await asyncio.sleep(LIVELY)


async def look_up(peer: tuple[str, int]) -> list[Address]:
    """A host's addresses."""
    host, port = peer
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
    except OSError as error:
        raise Trouble(1, f"the peer {show_address(peer)} can't be looked up: {error.strerror}") from error
    return [(str(address[0]), int(address[1])) for *_, address in found]


def no_file(number: int, count: int) -> str:
    """What is said of a file that isn't there."""
    return f"--select: there is no file {number}; there are {show_count(count, 'file')}, counted from 0"


class Watched:
    """A torrent that is watched: its news become lines."""

    def __init__(self, torrent: Torrent, output: Output, select: list[int] | None, only_seed: bool) -> None:
        self.torrent, self.output = torrent, output
        self.complete = False
        self.failed: int | None = None
        self._select, self._only_seed = select, only_seed
        self._events = torrent.events()
        self._since = self._shown = time.monotonic()
        self._known = False
        self._last: Status = torrent.stats
        stats = self._last
        self._say(None, "added", info_hash_v1=hexed(stats.info_hash_v1), info_hash_v2=hexed(stats.info_hash_v2))
        if output.as_json:
            self._shown = 0.0

    async def sums(self) -> tuple[int, int]:
        """Payload that was received and sent, as of now."""
        try:
            # a snapshot that is old is renewed before what is asked after it is answered
            self._last = self.torrent.stats
            await self.torrent.peers()
            self._last = self.torrent.stats
        except CommandError:
            # it is gone: what was seen last stands
            pass
        return self._last.downloaded, self._last.uploaded

    async def look(self) -> None:
        """Tells what is new."""
        for event in self._events.waiting():
            self._on_event(event)
        stats = self._last = self.torrent.stats
        if not self._known and stats.state not in ("metadata", "checking"):
            self._known = True
            if self._only_seed:
                await self._learn(stats)
        if stats.state == "failed":
            self._fail(stats.failure or "it failed", 1)
        elif stats.state == "seeding" and not self.complete and (stats.wanted > 0 or not self._only_seed):
            self.complete = True
            self._progress(stats)
            seconds = time.monotonic() - self._since
            self._say(
                f"complete: {show_size(stats.verified)} verified in {seconds:.1f} s",
                "complete",
                verified=stats.verified,
                downloaded=stats.downloaded,
                uploaded=stats.uploaded,
                seconds=seconds,
            )
        elif stats.state != "checking" and time.monotonic() - self._shown >= (JSON if self.output.as_json else PLAIN):
            if not self.complete or stats.peers:
                self._progress(stats)

    async def _learn(self, stats: Status) -> None:
        """It is known now what there is of a torrent that is only seeded."""
        missing = stats.pieces - stats.pieces_verified
        if stats.pieces_verified == 0 and stats.state != "failed":
            self._fail("nothing of it is there to be seeded: is --data the folder that holds it?", 1)
        elif missing > 0:
            self._warn(f"{show_count(missing, 'piece')} of {stats.pieces} missing or damaged; the rest is seeded")
        else:
            await self.torrent.select(None)

    def _on_event(self, event: News) -> None:
        match event:
            case Metadata():
                self._on_metadata()
            case TrackerFailed(_, url, error):
                self._warn(f"{url}: {error}")
            case Banned(_, _, reason):
                self._warn(f"a peer was banned: {reason}")
            case Warned(_, message):
                self._warn(message)
            case _:
                pass

    def _on_metadata(self) -> None:
        metainfo = self.torrent.metainfo
        if metainfo is None:
            return
        files = len(self.torrent.files)
        self._say(
            f"{show_size(metainfo.length)} in {show_count(files, 'file')}",
            "metadata",
            length=metainfo.length,
            pieces=metainfo.pieces,
            piece_length=metainfo.piece_length,
            files=files,
        )
        if self._select and self._select[-1] >= files:
            self._fail(no_file(self._select[-1], files), 2)

    def _fail(self, reason: str, code: int) -> None:
        if self.failed is None:
            self.failed = code
            self._progress(self._last)
            self.output.complain(f"{self.torrent.name}: {reason}")

    def _warn(self, message: str) -> None:
        self._say(f"warning: {message}", "warning", message=message)

    def _progress(self, stats: Status) -> None:
        self._shown = time.monotonic()
        self._say(words(stats), "progress", **values(stats))

    def _say(self, text: str | None, event: str, **values: Any) -> None:
        name = self.torrent.name or self.torrent.info_hash
        self.output.say(None if text is None else f"{name}: {text}", event, **values, name=name)


def eta(stats: Status) -> int | None:
    """Seconds that are left; `None` if nobody can tell."""
    left = max(0, stats.wanted - stats.verified)
    if stats.state == "seeding":
        return 0
    return left // stats.download_rate if stats.state == "leeching" and left and stats.download_rate else None


def values(stats: Status) -> dict[str, Any]:
    """How far a transfer is, for programs."""
    names = ("verified", "wanted", "length", "pieces", "pieces_verified", "download_rate", "upload_rate")
    more = ("downloaded", "uploaded", "wasted", "peers", "seeds")
    told = {"state": stats.state, **{name: getattr(stats, name) for name in names + more}}
    return {**told, "checked": stats.checked[0], "to_check": stats.checked[1], "eta": eta(stats)}


def words(stats: Status) -> str:
    """How far a transfer is, for people."""
    checking = stats.state == "checking" and stats.checked[1] > 0
    done, whole = stats.checked if checking else (stats.verified, stats.wanted)
    percent = done * 100 // whole if whole else 0
    down, up = f"{show_size(stats.download_rate)}/s", f"{show_size(stats.upload_rate)}/s"
    peers = show_count(stats.peers, "peer")
    match stats.state:
        case "metadata":
            return f"asks for the metadata, {peers}"
        case "checking":
            return f"checks {percent}% of {show_size(whole)}"
        case "seeding":
            return f"seeds, up {up}, {show_size(stats.uploaded)} sent, {peers}"
        case _:
            pieces = f"{stats.pieces_verified}/{stats.pieces} pieces"
            left = show_time(eta(stats))
            return f"{percent}% of {show_size(whole)}, down {down}, up {up}, ETA {left}, {pieces}, {peers}"


def hexed(digest: bytes | None) -> str | None:
    """An info-hash in hexadecimal digits."""
    return None if digest is None else digest.hex()
