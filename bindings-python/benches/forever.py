"""News kept for ever: events of one batch are read again after the next has come, by millstream and by libtorrent.

libtorrent's alerts are pointers into memory that the next `pop_alerts` gives back, so a process of its own tries them.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.table import markdown
from nodes import versions

THEIRS = """
import libtorrent as lt
session = lt.session({"alert_mask": lt.alert.category_t.all_categories, "listen_interfaces": "127.0.0.1:0"})
kept = []
for _ in range(8):
    session.wait_for_alert(1000)
    session.post_session_stats()
    kept += session.pop_alerts()
print(len(kept), "alerts,", sum(len(alert.message()) for alert in kept), "characters")
"""

OURS = """
import asyncio, millstream
async def main():
    async with millstream.Session(listen=["127.0.0.1:0"], keep_resume=False, dht=False, lsd=False) as session:
        news, kept, batches, torrents = session.events(), [], 0, [await session.add(millstream.create("x", b"x" * 9))]
        for n in range(100):
            torrents.append(await session.add(millstream.create(f"{n}", b"x" * (n + 1))))
        async with asyncio.timeout(50):
            while len(kept) < 10_000:
                batch = await news.take(0.2)
                kept += [(event, repr(event)) for event in batch]
                batches += bool(batch)
                for torrent in torrents:
                    await torrent.recheck()
    same = all(repr(event) == before for event, before in kept)
    print("all 10000 events are what they were" if same and batches > 1 else "events have changed")
asyncio.run(main())
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Its own words of the command line."""
    parser.add_argument("--runs", type=int, default=5)


def main(arguments: argparse.Namespace, root: Path, say: Callable[[str], None]) -> str:
    """Runs both as many times as told, and gives the table."""
    rows = []
    for name, script in (("millstream", OURS), ("libtorrent", THEIRS)):
        ends = [ended(script, root) for _ in range(arguments.runs)]
        say(f"{name}: {ends}")
        rows.append([name, *("; ".join(sorted({f"{ends.count(end)} of {len(ends)}: {end}" for end in ends})),)])
    told = versions(["native", "libtorrent"])
    return markdown("News that is kept past the next batch", ["", "how it ended"], rows, told)


def ended(script: str, folder: Path) -> str:
    """What a script printed, or which signal ended it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=folder, check=False
        )
    except subprocess.TimeoutExpired:
        return "no end within 60 s"
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[-200:]}"
