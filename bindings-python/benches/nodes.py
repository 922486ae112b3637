"""The clients of Python as nodes of the tests: processes that are started, told whom to dial, asked what they used."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from engines.libtorrent_engine import Libtorrent
from engines.millstream import Millstream
from engines.node import Address, Node
from engines.process import Child, EngineError

HERE = Path(__file__).parent


def python(script: str, config: dict[str, Any], log: Path, environment: dict[str, str] | None = None) -> Child:
    """A script of this folder as a process, its settings in the argument."""
    return Child([sys.executable, str(HERE / script), json.dumps(config)], log, environment)


class Package(Node):
    """A session of the package, in a process of its own."""

    driver: ClassVar[str]
    prefix = b"-MS"
    dials_late = True

    @classmethod
    def version(cls) -> str:
        return str(metadata.version("millstream"))

    def start(self, timeout: float = 60) -> None:
        job = self.job
        config = {
            "driver": self.driver,
            "torrent": str(job.torrent),
            "folder": str(job.folder),
            "state": str(job.work / "state"),
            "port": self.port,
        }
        self.child = python("leech.py", config, job.work / f"{self.name}.log")
        self.child.wait_event("ready", timeout)
        for peer in job.peers:
            self.dial(peer)

    def dial(self, address: Address) -> None:
        assert self.child is not None, "not started"
        self.child.say({"dial": address})

    def wait_complete(self, timeout: float) -> float:
        assert self.child is not None, "not started"
        self.child.wait_event("complete", timeout)
        return self.child.at["complete"]


class Native(Package):
    """The native driver."""

    name = "millstream native"
    driver = "native"


class Asyncio(Package):
    """The asyncio driver on asyncio's own loop."""

    name = "millstream asyncio"
    driver = "asyncio"


class Uvloop(Package):
    """The asyncio driver on uvloop."""

    name = "millstream uvloop"
    driver = "uvloop"


class Aiotorrent(Node):
    """aiotorrent, which finds its peers by a tracker alone: the torrent must name one that knows the seed.

    It gets the first file of the torrent; it can't get the last piece of one.
    """

    name = "aiotorrent"
    takes_peers = True

    @classmethod
    def version(cls) -> str:
        return str(metadata.version("aiotorrent"))

    def start(self, timeout: float = 60) -> None:
        job = self.job
        config = {"torrent": str(job.torrent), "folder": str(job.folder)}
        self.child = python("aiotorrent_leech.py", config, job.work / "aiotorrent.log")

    def wait_complete(self, timeout: float) -> float:
        assert self.child is not None, "not started"
        ended = self.child.wait_event("ended", timeout)
        if ended["failure"]:
            raise EngineError(f"aiotorrent: {ended['failure']}; see {self.child.log}")
        return self.child.at["ended"]


CLIENTS: dict[str, type[Node]] = {
    "binary": Millstream,
    "native": Native,
    "asyncio": Asyncio,
    "uvloop": Uvloop,
    "libtorrent": Libtorrent,
    "aiotorrent": Aiotorrent,
}
"""What can be measured, by the words of the command line."""


def versions(names: list[str]) -> dict[str, str]:
    """The version of each of these clients, and Python's."""
    told = {"Python": ".".join(map(str, sys.version_info[:3]))}
    for name in names:
        if name not in ("native", "asyncio", "uvloop"):
            told["millstream" if name == "binary" else name] = CLIENTS[name].version()
        else:
            told["millstream"] = Native.version()
        if name == "uvloop":
            told["uvloop"] = metadata.version("uvloop")
    return told
