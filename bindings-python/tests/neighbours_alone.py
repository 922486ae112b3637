"""Two sessions that know nobody, on a network that this program makes: run it in a network namespace of its own, as
`unshare --net` gives one. Takes the name of a loop and a folder; ends well if each family's leech got all by BEP 14."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import uvloop
from test_asyncio import Peer, close, things

from millstream.sansio import Completed

HOSTS = {"v4": ("10.98.0.1", "10.98.0.2"), "v6": ("fd98::1", "fd98::2"), "everywhere": ("0.0.0.0", "0.0.0.0")}


def make_network() -> None:
    """A pair of interfaces that know multicast, with addresses of both families, and no way elsewhere."""
    commands = ["link set lo up", "link add near type veth peer name far"]
    commands += [f"address add 10.98.0.{n}/24 dev near" for n in (1, 2)]
    commands += [f"-6 address add fd98::{n}/64 dev near nodad" for n in (1, 2)]
    for command in [*commands, "link set near up", "link set far up"]:
        subprocess.run(["ip", *command.split()], check=True)


async def story(folder: Path) -> None:
    """For each family, and for who listens everywhere."""
    for name, (theirs, ours) in HOSTS.items():
        what = things()
        seed = await Peer(folder / name / "seed", lsd=True, listen=[(theirs, 0)]).start()
        leech = await Peer(folder / name / "leech", lsd=True, listen=[(ours, 0)]).start()
        await seed.seed(what)
        await leech.backend.add(what.torrent, str(leech.files))
        async with asyncio.timeout(20):
            await leech.told(Completed)
        assert what.are_in(leech.files)
        await close(seed, leech)
        print(name, flush=True)


if __name__ == "__main__":
    make_network()
    run = uvloop.run if sys.argv[1] == "uvloop" else asyncio.run
    run(story(Path(sys.argv[2])))
