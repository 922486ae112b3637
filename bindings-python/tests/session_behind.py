"""A session of the asyncio driver in a process of its own, so that all that the process says to the network can be
watched. Takes the name of a loop, and as JSON: settings, a magnet link, a peer by name, a folder."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import uvloop

from millstream import Completed, Session


async def story(settings: dict[str, Any], magnet: str, name: str, folder: str) -> None:
    """Downloads it, and says how far it is."""
    async with Session(driver="asyncio", folder=folder, **settings) as session:
        peers = await session.look_up(name, 9)
        torrent = await session.add(magnet, peers=peers)
        async with asyncio.timeout(90):
            async for event in torrent.events():
                print(torrent.stats.verified, flush=True)
                if isinstance(event, Completed):
                    break
        await session.add(f"magnet:?xt=urn:btih:{'ab' * 20}&tr=udp://late.invalid:9/announce")


if __name__ == "__main__":
    loop, told = sys.argv[1:]
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(story(**json.loads(told)))
