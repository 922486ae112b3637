"""`demo`: a tracker, a seed and leeches as real nodes on loopback. It uses what `download` and `tracker` use."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._create import create_torrent_now
from .._millstream import TrackerServer
from .._session import Session
from .._torrent import Torrent
from ..errors import MillstreamError
from . import lines
from .arguments import Arguments
from .lines import INTERRUPTED, Trouble, say, say_json
from .news import Output, Track
from .numbers import show_address, show_error, show_path, show_size
from .signals import Signals
from .transfer import first

NAME = "demo.bin"
"""What the file is called."""

PATIENCE = 120.0
"""How long the whole thing may take before something must be wrong. Seconds."""

LEAVE = 2.0
"""How long a node may take to say good-bye to the tracker. Seconds."""

LOOKED, WAITED = 0.025, 0.01
"""How often leeches are looked at, and the tracker is asked for the seed. Seconds."""

CHUNK_BYTES = 256 << 10


def demo(args: Arguments) -> int:
    """Shows it all at work."""
    output = Output(args.json)
    try:
        with scratch() as folder:
            return asyncio.run(run(args, output, folder))
    except Trouble as trouble:
        if trouble.words:
            output.tell(trouble.words)
        return trouble.code
    except (MillstreamError, OSError) as error:
        output.tell(str(error))
        return 1


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.gettempdir(), f"millstream-demo-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError as error:
        where = show_path(tempfile.gettempdir())
        raise Trouble(1, f"no folder can be made in {where}: {show_error(error)}") from error
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            lines.complain(f"{show_path(os.fspath(folder))} couldn't be removed: {show_error(error)}")


async def run(args: Arguments, output: Output, folder: Path) -> int:
    """The demo, unless a signal comes or it takes too long."""
    signals = Signals()
    try:
        async with asyncio.timeout(PATIENCE):
            return 0 if await first(story(args, output, folder), signals) else INTERRUPTED
    except TimeoutError as error:
        raise Trouble(1, "the demo doesn't come to an end") from error


async def story(args: Arguments, output: Output, folder: Path) -> None:
    """A tracker, a seed, leeches, and their sums."""
    # soon again, so that whoever came too early hears of the others
    tracker = TrackerServer(http=[("127.0.0.1", 0)], interval=5, min_interval=1)

    def note(words: str) -> None:
        if not args.json:
            say(words)

    async with contextlib.AsyncExitStack() as stack:
        stack.callback(tracker.close)
        note(f"makes a file of {show_size(args.size)} and its torrent (hybrid, v1 and v2)")
        url = f"http://{show_address(tracker.addresses()['http'][0])}/announce"
        torrent, digest = await asyncio.to_thread(make, folder / "seed", args.size, url)
        many = "a leech" if args.leeches == 1 else f"{args.leeches} leeches"
        note(f"starts a tracker, a seed and {many} on loopback")
        seed = await DemoNode.start("seed", folder, torrent, output)
        stack.push_async_callback(seed.session.close)
        await seed.torrent.wait_complete()
        while json.loads(tracker.statistics_json())["seeds"] == 0:
            await asyncio.sleep(WAITED)
        begun, leeches = time.monotonic(), list[DemoNode]()
        for number in range(1, args.leeches + 1):
            leech = await DemoNode.start(f"leech {number}", folder, torrent, output)
            stack.push_async_callback(leech.session.close)
            leeches.append(leech)
        while not all([leech.look(begun) for leech in leeches]):
            await asyncio.sleep(LOOKED)
        seconds = time.monotonic() - begun
        for leech in leeches:
            await asyncio.to_thread(check, leech, digest)
        await tell(args, seed, leeches, (digest, seconds))
        # all at once: each waits for its own good-byes
        await asyncio.gather(*(node.session.close() for node in [*leeches, seed]))


class DemoNode:
    """A node: its own session, its own folder."""

    def __init__(self, name: str, session: Session, torrent: Torrent, output: Output) -> None:
        self.name, self.session, self.torrent = name, session, torrent
        self.track = Track(output, NAME, name)
        self.done = False

    @classmethod
    async def start(cls, name: str, folder: Path, torrent: bytes, output: Output) -> DemoNode:
        """Begins to seed, or to leech."""
        session = Session(
            folder=folder / name,
            close_timeout=LEAVE,
            listen=[("127.0.0.1", 0)],
            dht=False,
            lsd=False,
            pex=False,
            port_mapping=False,
            keep_resume=False,
            pool_threads=2,
        )
        try:
            await session.start()
            node = cls(name, session, await session.add(torrent), output)
        except MillstreamError as error:
            await session.close()
            raise Trouble(1, f"{name}: {error}") from error
        if output.as_json:
            for address in session.listening:
                node.track.say(None, "listening", address=show_address(address))
        return node

    def look(self, begun: float) -> bool:
        """Looks at how far it is; whether it has all."""
        stats = self.torrent.stats
        if stats.state == "failed":
            raise Trouble(1, f"{self.name}: {stats.failure or 'it failed'}")
        if stats.state == "seeding" and not self.done:
            self.done = True
            self.track.complete(stats, time.monotonic() - begun)
            self.track.end()
        elif not self.done and stats.state != "checking":
            self.track.progress(stats)
        return self.done


def make(folder: Path, size: int, tracker: str) -> tuple[bytes, str]:
    """Makes the file and its torrent: the torrent's bytes, and the file's SHA-256."""
    path, digest, left = folder / NAME, hashlib.sha256(), size
    try:
        folder.mkdir()
        with path.open("wb") as file:
            while left > 0:
                part = secrets.token_bytes(min(left, CHUNK_BYTES))
                digest.update(part)
                file.write(part)
                left -= len(part)
    except OSError as error:
        raise Trouble(1, f"{show_path(os.fspath(path))} can't be written: {show_error(error)}") from error
    return create_torrent_now(path, trackers=[[tracker]]), digest.hexdigest()


def check(leech: DemoNode, wanted: str) -> None:
    """Reads a copy back and digests it: not what the engine says, but what is there."""
    path = leech.session.folder / NAME
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Trouble(1, f"{show_path(os.fspath(path))} can't be read: {show_error(error)}") from error
    if digest != wanted:
        raise Trouble(1, f"{leech.name}: SHA-256 {digest} where {wanted} is right")


async def tell(args: Arguments, seed: DemoNode, leeches: list[DemoNode], copied: tuple[str, float]) -> None:
    """The last lines."""
    digest, seconds = copied
    sent = [await uploaded(node) for node in [seed, *leeches]]
    rate = int(args.size * len(leeches) / max(seconds, 1e-6))
    if args.json:
        say_json(
            {
                "event": "stopped",
                "node": "demo",
                "leeches": len(leeches),
                "length": args.size,
                "sha256": digest,
                "seconds": seconds,
                "bytes_per_second": rate,
                "seed_uploaded": sent[0],
                "leeches_uploaded": sum(sent[1:]),
            }
        )
        return
    say(f"{len(leeches)} copies of {show_size(args.size)} in {seconds:.2f} s: {show_size(rate)}/s in all")
    say(f"the seed sent {show_size(sent[0])}, the leeches {show_size(sum(sent[1:]))} among themselves")
    say(f"every copy's SHA-256 is {digest}")


async def uploaded(node: DemoNode) -> int:
    """What it has sent by now."""
    return (await node.torrent.stats_now()).uploaded
