"""A hundred kills (-9) in mid-download, then a whole and correct file.

A kill counts if the last `progress` line showed 1 to 99 % verified and the next start reports at least as much. A relay
before the seed hears what the leech has and asks for: in no life may it ask for a piece that it had when that life or
an earlier one began. What it received in all exceeds the size by at most `store_bytes_max` a kill.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engines.content import digest, fill, make_torrent  # noqa: E402
from engines.libtorrent_engine import Libtorrent  # noqa: E402
from engines.millstream import Millstream  # noqa: E402
from engines.node import Job  # noqa: E402
from engines.process import EngineError  # noqa: E402
from engines.tap import HANDSHAKE, Tap  # noqa: E402

MIB = 1 << 20
PIECE = 64 << 10
STORE_BYTES_MAX = 16 * MIB  # the binary's default


@dataclass
class Ledger:
    """What the leech said that it has, and what it asked for, over all its lives."""

    pieces: int
    had: set[int] = field(default_factory=set)
    asked_again: list[int] = field(default_factory=list)
    blocks: int = 0

    def link(self) -> Link:
        """A listener for a new link."""
        return Link(self)


class Link:
    """Reads one link's messages of the leech: what it has at first, and its requests."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.rest = bytearray()
        self.greeted = False

    def __call__(self, data: bytes) -> None:
        self.rest += data
        if not self.greeted:
            if len(self.rest) < HANDSHAKE:
                return
            del self.rest[:HANDSHAKE]
            self.greeted = True
        while len(self.rest) >= 4:
            length = int.from_bytes(self.rest[:4], "big")
            if len(self.rest) < 4 + length:
                return
            body = bytes(self.rest[4 : 4 + length])
            del self.rest[: 4 + length]
            if body:
                self._on_message(body[0], body[1:])

    def _on_message(self, kind: int, body: bytes) -> None:
        if kind == 5:  # bitfield
            bits = int.from_bytes(body, "big")
            width = len(body) * 8
            self.ledger.had |= {n for n in range(self.ledger.pieces) if bits >> (width - 1 - n) & 1}
        elif kind == 14:  # have all
            self.ledger.had |= set(range(self.ledger.pieces))
        elif kind == 6:  # request
            self.ledger.blocks += 1
            piece = int.from_bytes(body[:4], "big")
            if piece in self.ledger.had:
                self.ledger.asked_again.append(piece)


@dataclass
class Life:
    """One process of the leech: what it reported at its start and at its end. Bytes verified."""

    began: int
    ended: int


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--mib", type=int, default=128)
    options.add_argument("--rate", type=int, default=2 * MIB, help="--max-download, bytes a second")
    options.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    chosen = options.parse_args()
    root = Path(tempfile.mkdtemp(prefix="crash-"))
    try:
        print(run(chosen, root))
    except EngineError as error:
        print(f"FAILED: {error}; logs: {root}")
        return 1
    shutil.rmtree(root)
    return 0


def run(chosen: argparse.Namespace, root: Path) -> str:
    """All lives, the last one to the end; the closing line."""
    length = chosen.mib * MIB
    fill(root / "whole" / "data", length, 1)
    torrent = make_torrent(root / "whole" / "data", root / "a.torrent", "v1", PIECE)
    (root / "in").mkdir()
    ledger = Ledger(length // PIECE)
    draw = random.Random(chosen.seed)
    lives: list[Life] = []
    lost = 0
    began = time.monotonic()
    with Libtorrent(Job(root / "whole", root / "seed", torrent, seed=True)) as seed:
        seed.start()
        with Tap(seed.address, ledger.link) as tap:
            job = Job(root / "in", root / "leech", torrent, peers=[tap.address], download_max=chosen.rate, stay=False)
            counted = 0
            while counted < chosen.kills:
                if len(lives) > 2 * chosen.kills:
                    raise EngineError(f"only {counted} of {len(lives)} kills count")
                target = length * (counted + 1) // (chosen.kills + 2)
                life = one_life(job, target, draw)
                if lives and life.began < lives[-1].ended:
                    lost += 1
                    counted -= 1
                lives.append(life)
                counted += length // 100 <= life.ended <= length * 99 // 100
            job.download_max = 0
            with Millstream(job) as leech:
                leech.start()
                leech.wait_complete(60)
                assert leech.child is not None
                code = leech.child.wait_exit(15)
            received = sum(listener.carried for _, listener in tap.links)
    if code != 0:
        raise EngineError(f"the last life ended with {code}")
    if digest(root / "in" / "data") != digest(root / "whole" / "data"):
        raise EngineError("other bytes arrived")
    if ledger.asked_again:
        raise EngineError(f"pieces that it had were asked for again: {ledger.asked_again[:20]}")
    if received - length > chosen.kills * STORE_BYTES_MAX:
        raise EngineError(f"received {received} bytes for {length}")
    return (
        f"{chosen.kills} kills counted of {len(lives)}, {lost} lost ground; the file is whole; received "
        f"{received / length:.3f} sizes; no piece twice; {time.monotonic() - began:.0f} s"
    )


def one_life(job: Job, target: int, draw: random.Random) -> Life:
    """Starts the leech, kills it once it has reported the target, and tells what it reported first and last."""
    leech = Millstream(job)
    leech.start()
    assert leech.child is not None
    try:
        first = last = None
        while last is None or last < target:
            told = leech.child.next_event("progress", 30)
            if told["state"] == "seeding":
                raise EngineError("complete before all kills: a larger --mib or a lower --rate")
            if told["state"] != "leeching":
                continue
            last = int(told["verified"])
            first = last if first is None else first
        time.sleep(draw.random() * 0.2)
        leech.child.process.kill()
        leech.child.process.wait(5)
    finally:
        leech.child.stop()
    # what it said between the decision and the kill counts too
    while not leech.child.events.empty():
        told = leech.child.events.get()
        if told.get("event") == "progress" and told["state"] == "leeching":
            last = int(told["verified"])
    assert first is not None
    return Life(first, last)


if __name__ == "__main__":
    sys.exit(main())
