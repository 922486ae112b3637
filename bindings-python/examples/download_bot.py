"""Downloads many torrents at once and says how far each is: `python download_bot.py FOLDER MAGNET...`, or their links
line by line on standard input. `--peer` names a peer to ask; with `--local` nothing but the loopback is used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from millstream import MillstreamError, Session, SessionSettings, Torrent

LOCAL: SessionSettings = {"listen": ["127.0.0.1:0"], "dht": False, "lsd": False, "port_mapping": False}


def peer(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


async def fetch(session: Session, source: str, slots: asyncio.Semaphore, peers: list[tuple[str, int]]) -> bool:
    """One of them, when it is its turn. What is wrong with one is no trouble of the others."""
    async with slots:
        torrent: Torrent | None = None
        try:
            torrent = await session.add(source, peers=peers)
            await torrent.metadata(timeout=60)
            await torrent.wait_complete()
        except (MillstreamError, OSError) as error:
            print(f"failed  {source}: {error}", file=sys.stderr, flush=True)
            if torrent is not None:
                await torrent.remove()
            return False
        print(f"done    {torrent.folder / torrent.name}", flush=True)
        return True


async def report(session: Session, every: float) -> None:
    """How they all stand, now and then."""
    while True:
        await asyncio.sleep(every)
        for torrent in session.torrents:
            stats = torrent.stats
            if stats.state != "seeding":
                rate = f"{stats.download_rate / 1024:.0f} KiB/s of {stats.peers} peers"
                print(f"{stats.progress:6.1%}  {stats.name or torrent.info_hash}: {stats.state}, {rate}", flush=True)


async def main() -> int:
    """Gives 0 if all of them came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("magnets", nargs="*")
    parser.add_argument("--peer", type=peer, action="append", default=[])
    parser.add_argument("--at-once", type=int, default=5)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--local", action="store_true")
    given = parser.parse_args()
    sources = given.magnets or [line.strip() for line in sys.stdin if line.strip()]
    settings = LOCAL if given.local else SessionSettings()
    slots = asyncio.Semaphore(given.at_once)
    async with Session(folder=given.folder, **settings) as session:
        reporting = asyncio.create_task(report(session, given.every))
        came = await asyncio.gather(*(fetch(session, source, slots, given.peer) for source in sources))
        reporting.cancel()
    return 0 if all(came) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
