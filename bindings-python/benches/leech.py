"""One session of the package as a process: settings in the argument, commands in and events out as JSON lines.

Everything but plain TCP is off, as with the clients beside it. The one command is `dial`. It ends with its standard
input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from millstream import Completed, Session, SessionSettings, Torrent, TorrentFailed


def say(event: str, **fields: Any) -> None:
    """One line for who started this."""
    print(json.dumps({"event": event, **fields}), flush=True)


def settings(config: dict[str, Any]) -> SessionSettings:
    """What all sessions that are measured have in common."""
    return SessionSettings(
        listen=[("127.0.0.1", config["port"])],
        state_folder=config["state"],
        encryption="off",
        dht=False,
        lsd=False,
        pex=False,
        utp="off",
        port_mapping=False,
    )


def session(config: dict[str, Any]) -> Session:
    """A session of this driver: `native`, or `asyncio`, or `uvloop`, which is the asyncio driver too."""
    driver: Literal["native", "asyncio"] = "native" if config["driver"] == "native" else "asyncio"
    return Session(driver=driver, folder=config["folder"], **settings(config))


def loop_factory(driver: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop that goes with the driver."""
    if driver == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop


async def commands() -> asyncio.StreamReader:
    """The lines of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def tell(torrent: Torrent) -> None:
    """Says when it is complete."""
    async for event in torrent.events():
        match event:
            case Completed():
                say("complete")
            case TorrentFailed(reason=reason):
                say("error", message=reason)
            case _:
                pass


async def main(config: dict[str, Any]) -> None:
    """Leeches until nobody asks any more."""
    async with session(config) as opened:
        torrent = await opened.add(Path(config["torrent"]), only_peers=True)
        while torrent.state == "checking":
            await asyncio.sleep(0.01)
        telling = asyncio.create_task(tell(torrent))
        say("ready")
        reader = await commands()
        while line := await reader.readline():
            host, port = json.loads(line)["dial"]
            await torrent.add_peers([(host, port)])
        telling.cancel()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    with asyncio.Runner(loop_factory=loop_factory(given["driver"])) as runner:
        runner.run(main(given))
