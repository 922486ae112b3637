"""What an event costs in a batch: a torrent of many tiny pieces is taken while the loop is held up; then all is drained.

    python bench/events.py [PIECES]
"""

import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from millstream import create
from millstream._native import NativeBackend
from millstream._values import Event, PieceVerified, SessionSettings

PIECE = 1024
"""Bytes. As small as they get: it is events that are counted."""

HERMETIC = SessionSettings(
    listen=["127.0.0.1:0"], keep_resume=False, dht=False, lsd=False, pex=False, port_mapping=False, utp=False
)


async def measure(folder: Path, pieces: int) -> None:
    data = secrets.token_bytes(pieces * PIECE)
    (folder / "x").write_bytes(data)
    torrent = create("x", data, piece_length=PIECE, version="v1")
    seed = NativeBackend(**HERMETIC)
    leech = NativeBackend(**HERMETIC | SessionSettings(events_max=2 * pieces))
    await seed.start(lambda news: None)
    await leech.start(lambda news: None)
    await seed.add(torrent, str(folder), only_peers=True)
    taken = await leech.add(torrent, str(folder / "leech"), only_peers=True, peers=seed.listening)
    while leech.status(taken).state != "seeding":
        time.sleep(0.1)  # the loop is held up on purpose
    kept: list[Event] = []
    batches: list[tuple[float, int]] = []
    while True:
        begin = time.thread_time()
        _, news, _ = leech._native.drain()
        spent = time.thread_time() - begin
        if not news:
            break
        batches.append((spent / len(news), len(news)))
        kept += news
    verified = sum(isinstance(event, PieceVerified) for event in kept)
    whole = sum(each * count for each, count in batches) / len(kept)
    full = sorted(each for each, count in batches if count >= 1000)
    print(f"{len(kept)} events, {verified} of them PieceVerified, in {len(batches)} batches, all kept")
    middle = full[len(full) // 2]
    print(f"{middle * 1e9:.0f} ns an event in the median batch, {whole * 1e9:.0f} on average, of this thread's time")
    begin = time.thread_time()
    reads = 20_000
    for _ in range(reads):
        leech.status(taken)
    print(f"{(time.thread_time() - begin) / reads * 1e9:.0f} ns a status")
    await leech.close(1)
    await seed.close(1)


with tempfile.TemporaryDirectory() as place:
    asyncio.run(measure(Path(place), int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
