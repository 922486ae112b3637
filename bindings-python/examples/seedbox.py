"""Seeds and downloads what is put into a folder, and goes on where it was when it is started again, whatever ended it:
`python seedbox.py BOX`. Torrent files and `.magnet` files go into BOX/watch, what they name is stored in BOX/data.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from millstream import (
    Checked,
    Completed,
    DuplicateTorrent,
    MillstreamError,
    Session,
    SessionSettings,
    TorrentFailed,
)

LOCAL: SessionSettings = {"listen": ["127.0.0.1:0"], "dht": False, "lsd": False, "port_mapping": False}


async def watch(session: Session, folder: Path, every: float) -> None:
    """Adds what is put there. A file that was taken is renamed, one that is no use too."""
    while True:
        for path in sorted([*folder.glob("*.torrent"), *folder.glob("*.magnet")]):
            source = path if path.suffix == ".torrent" else path.read_text().strip()
            try:
                torrent = await session.add(source)
                became, said = "added", f"{torrent.name} {torrent.info_hash}"
            except DuplicateTorrent:
                became, said = "added", f"{path.name}, which was there already"
            except (MillstreamError, OSError) as error:
                became, said = "refused", f"{path.name}: {error}"
            path.rename(f"{path}.{became}")
            print(became, said, flush=True)
        await asyncio.sleep(every)


async def tell(session: Session) -> None:
    """What happens. A torrent that failed, because the disk was full, is tried again after a while."""
    async for event in session.events():
        match event:
            case Checked(torrent) | Completed(torrent):
                print(f"{session.torrent(torrent)!r}", flush=True)
            case TorrentFailed(torrent, reason):
                print(f"{session.torrent(torrent).name} failed: {reason}", file=sys.stderr, flush=True)
                asyncio.get_running_loop().call_later(60, asyncio.ensure_future, session.torrent(torrent).resume())
            case _:
                pass


async def main() -> None:
    """Runs until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("box", type=Path)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--local", action="store_true", help="nothing but the loopback is used")
    given = parser.parse_args()
    for name in ("watch", "data", "state"):
        (given.box / name).mkdir(parents=True, exist_ok=True)
    settings = LOCAL if given.local else SessionSettings()
    async with Session(folder=given.box / "data", remember=given.box / "state", **settings) as session:
        print(f"{session!r}", flush=True)
        for torrent in session.torrents:
            print(f"back {torrent.name} {torrent.info_hash}", flush=True)
        working = asyncio.gather(watch(session, given.box / "watch", given.every), tell(session))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, working.cancel)
        try:
            await working
        except asyncio.CancelledError:
            print("leaving", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
