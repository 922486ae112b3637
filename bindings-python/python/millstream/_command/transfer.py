"""`download` and `seed`: torrents until they are complete, fail, or a signal comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

from .. import _sources
from .._millstream import KeyLink, Magnet, Metainfo
from .._session import Session
from .._torrent import Torrent
from .._values import Address, FilePriority, KeyFollowed, SessionSettings
from ..errors import (
    CommandError,
    FetchError,
    MagnetError,
    MetainfoError,
    MillstreamError,
    NoSuchFile,
    SessionClosed,
    StartError,
)
from . import updates
from .arguments import Arguments
from .files import load, load_torrent
from .lines import INTERRUPTED, Trouble
from .news import Output, counts
from .numbers import show_address, show_error, show_path, show_size
from .signals import Signals
from .watch import Watch, Watched, no_file

log = logging.getLogger("millstream")

LEAVE = 5.0
"""How long taking leave may take. Seconds."""

Work = Callable[[Session, Watch, Output], Awaitable[int]]


def download(args: Arguments) -> int:
    """One torrent, until all that is wanted is verified."""
    output = Output(args.json)

    async def work(session: Session, watch: Watch, output: Output) -> int:
        async with contextlib.AsyncExitStack() as stack:
            torrent = await add(args, session, watch, stack)
            folder = updates.folder(args.updates, session)
            watch.add(Watched(torrent, output, select=args.select, updates=folder))
            return await watch.run(until_complete=not args.seed)

    def check() -> None:
        # a source that is wrong is said so before anything is started
        if both := sorted({*(args.high or ())} & {*(args.low or ())}):
            raise Trouble(2, f"--low: file {both[0]} can't come last and, by --high, first")
        if not _sources.is_url(args.torrent):
            source = load(args.torrent)
            files = sum(not file.pad for file in source.files) if isinstance(source, Metainfo) else None
            for flag, chosen in (("--select", args.select), ("--high", args.high), ("--low", args.low)):
                for number in chosen or ():
                    if files is not None and number >= files:
                        raise Trouble(2, no_file(flag, number, files))

    def go() -> int:
        check()
        return asyncio.run(run(args, output, work))

    return told(output, go)


def seed(args: Arguments) -> int:
    """Gives what is stored, until interrupted. Fetches nothing, and changes no file that is there."""
    output = Output(args.json)
    metainfos = list[Metainfo]()

    async def work(session: Session, watch: Watch, output: Output) -> int:
        peers = await addresses(args, session)
        folder = updates.folder(args.updates, session)
        for metainfo in metainfos:
            torrent = await session.add(metainfo, files=[], peers=peers, only_peers=args.only_peers)
            watch.add(Watched(torrent, output, only_seed=True, updates=folder))
            # many may be added: what is told of the first ones doesn't wait for the last
            watch.catch_up()
        return await watch.run(until_complete=False)

    def check() -> None:
        try:
            os.scandir(args.data).close()
        except OSError as error:
            raise Trouble(1, f"{show_path(args.data)} can't be read: {show_error(error)}") from error
        metainfos.extend(load_torrent(path) for path in args.torrents)

    def go() -> int:
        check()
        return asyncio.run(run(args, output, work, folder=args.data))

    return told(output, go)


def told(output: Output, work: Callable[[], int]) -> int:
    """Runs it; what goes wrong is also told as an event."""
    try:
        return work()
    except Trouble as trouble:
        if trouble.words:
            output.tell(trouble.words)
        return trouble.code


async def run(args: Arguments, output: Output, work: Work, *, folder: str | None = None) -> int:
    """Runs a session until it is done, and takes leave. A signal ends it in good order, another one at once."""
    signals = Signals()
    place = folder if folder is not None else args.output if args.output is not None else "."
    session = Session(driver=args.driver, folder=place, close_timeout=LEAVE, **settings(args))
    try:
        if not await first(session.start(), signals):
            return INTERRUPTED
    except StartError as error:
        raise not_started(args, error) from error
    for message in session.warnings:
        output.warn(message)
    for where in session.listening:
        output.say(f"listening at {show_address(where)}", "listening", address=show_address(where))
    watch = Watch(session, output)
    code = INTERRUPTED
    try:
        working = asyncio.ensure_future(work(session, watch, output))
        if await first(working, signals):
            code = working.result()
    except Trouble as trouble:
        code = trouble.code
        if trouble.words:
            output.tell(trouble.words)
    except (MillstreamError, OSError) as error:
        code = 1
        output.tell(str(error))
    finally:
        signals.came.set()
        down, up = await watch.end()
        # before the torrents are gone, and what was counted with them
        statistics = await session.statistics()
        await session.close()
    told_counts = counts(statistics)
    log.info("addresses of peers: %s", told_counts)
    words = f"stopped: {show_size(down)} received, {show_size(up)} sent"
    output.say(words, "stopped", downloaded=down, uploaded=up, **told_counts)
    if code == INTERRUPTED:
        watch.say_unfinished()
    return code


async def first(work: Awaitable[Any], signals: Signals) -> bool:
    """Waits for work, or for a signal that ends it: whether the work is done. Raises what it raised."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(signals.came.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait([working])
        if working.cancelled():
            return False
        await working
        return True
    finally:
        stopping.cancel()


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
        "updates": args.updates != updates.OFF,
        "download_rate": args.max_download,
        "upload_rate": args.max_upload,
        "port_mapping": args.port_mapping and not alone,
    }
    if args.listen:
        # what is asked for by number is meant
        chosen |= {"listen": args.listen, "listen_tries_max": 0}
    if args.dht_bootstrap:
        chosen["dht_bootstrap"] = args.dht_bootstrap
    given = {"proxy": args.proxy, "bind": args.bind, "ip_filter": args.ip_filter}
    chosen |= {name: value for name, value in given.items() if value is not None}
    return cast(SessionSettings, chosen)


def not_started(args: Arguments, error: StartError) -> Trouble:
    """What is said of a session that can't start."""
    match error.setting:
        case "listen":
            given = ", ".join(map(show_address, args.listen)) or "port 6881 or those after it"
            words = f"{given} can't be listened at: {error.reason}; choose another address with --listen"
            return Trouble(1, words)
        case "bind":
            return Trouble(1, f"--bind: {error.reason}")
        case "proxy":
            return Trouble(2, f"--proxy: {error.reason}")
        case _:
            return Trouble(1, str(error))


async def add(args: Arguments, session: Session, watch: Watch, stack: contextlib.AsyncExitStack) -> Torrent:
    """Takes on the torrent that was asked for."""
    text = args.torrent
    source: str | Magnet = text
    key = _sources.key_link(text)
    if key is not None:
        source = await named(session, key, watch, stack)
    elif not _sources.is_magnet(text) and not _sources.is_url(text):
        # a path, also if it looks like something else
        source = os.path.join(os.curdir, text)
    peers = await addresses(args, session)
    # what the command line says counts, not what an earlier run chose
    priorities: dict[int | str, FilePriority] = dict.fromkeys(args.high or (), "high")
    priorities |= dict.fromkeys(args.low or (), "low")
    try:
        torrent = await session.add(
            source,
            files=args.select,
            priorities=priorities,
            peers=peers,
            only_peers=args.only_peers,
            sequential=args.sequential,
        )
    except NoSuchFile as error:
        raise Trouble(2, f"--select: {error}") from error
    except (MetainfoError, MagnetError) as error:
        raise Trouble(1, f"{args.torrent}: {error}") from error
    except FetchError as error:
        raise Trouble(1, f"{args.torrent} can't be fetched: {error}") from error
    chosen = bool(source.select) if isinstance(source, Magnet) else _chooses(text)
    if args.select is None and not chosen:
        # what the command line says counts, not what an earlier run chose; only a magnet link may choose for itself
        await torrent.select(None)
    return torrent


def _chooses(text: str) -> bool:
    try:
        return _sources.is_magnet(text) and bool(Magnet.parse(text).select)
    except MagnetError:
        return False


async def named(session: Session, link: str, watch: Watch, stack: contextlib.AsyncExitStack) -> Magnet:
    """A magnet link of the torrent that a key names now (BEP 46); those that it names later are told by `watch`."""
    news = cast(AsyncGenerator[KeyFollowed], await stack.enter_async_context(contextlib.aclosing(session.follow(link))))
    try:
        followed = await anext(news)
    except StopAsyncIteration as error:
        raise Trouble(1, "the session ended by itself") from error
    except SessionClosed:
        raise
    except CommandError as error:
        shown = KeyLink.parse(link)
        raise Trouble(1, f"{shown}: only the DHT knows which torrent the key names, and {error}") from error
    watch.say_followed(followed)
    return KeyLink.with_torrent(link, followed.info_hash)


async def addresses(args: Arguments, session: Session) -> list[Address]:
    """The given peers' addresses, looked up by the session: behind a proxy no name is looked up here."""
    all = list[Address]()
    for peer in args.peers:
        host, _, port = peer.rpartition(":")
        try:
            all += await session.look_up(host, int(port))
        except OSError as error:
            raise Trouble(1, f"the peer {peer} can't be looked up: {show_error(error)}") from error
    return all
