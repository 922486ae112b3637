"""What every engine's node can do, and the job it is given. The engines themselves are the neighbours' files."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .process import Child, EngineError, Usage, usage

Address = tuple[str, int]
HOST = "127.0.0.1"
NETWORK = ("10.99.0.1", "10.99.0.2", "10.99.0.3", "10.99.0.4")  # as `in_namespace` makes them


@dataclass(frozen=True)
class Reach:
    """How a node finds and reaches others beyond plain TCP to whom it is told to dial: nothing, unless said."""

    dht: tuple[Address, ...] | None = None  # the nodes to enter it by; None is no DHT
    pex: bool = False
    lsd: bool = False
    web_seeds: bool = False
    utp: str = "off"  # on, off, only
    encryption: str = "off"  # off, prefer, require


@dataclass
class Job:
    """One torrent for one node. `folder` holds the data (a seed) or receives it (a leech)."""

    folder: Path
    work: Path  # the node's own files: logs, settings, resume data
    torrent: Path | None = None
    magnet: str | None = None
    seed: bool = False
    peers: list[Address] = field(default_factory=list)
    upload_max: int = 0  # bytes a second, 0 is without limit
    download_max: int = 0
    tracker: bool = False  # whether to announce to the torrent's trackers
    stay: bool = True  # a leech goes on seeding when it is complete
    reach: Reach = Reach()
    host: str = HOST  # where it listens; in a namespace of its own (`in_namespace`) there are NETWORK's too
    within: tuple[str, ...] = ()  # what stands before its command, to run it elsewhere


class Node:
    """A running engine with one torrent."""

    name = "?"
    prefix = b"?"  # how its peer ids start
    dials_late = False  # `dial` works on a running node
    takes_peers = False  # `Job.peers` works

    def __init__(self, job: Job) -> None:
        self.job = job
        self.host = job.host
        self.port = free_port()
        self.child: Child | None = None
        job.work.mkdir(parents=True, exist_ok=True)

    @classmethod
    def version(cls) -> str:
        """The engine's own word on its version; fails if it can't run."""
        raise NotImplementedError

    def start(self, timeout: float = 60) -> None:
        """Starts it; returns when it listens and, as a seed, has checked its data."""
        raise NotImplementedError

    def dial(self, address: Address) -> None:
        """Opens a link to a peer."""
        raise EngineError(f"{self.name} can't be told to dial")

    def wait_complete(self, timeout: float) -> float:
        """Returns the moment (`time.monotonic`) at which all was verified."""
        raise NotImplementedError

    def settle(self, timeout: float) -> None:
        """Waits, after `wait_complete`, until all is written, where that comes later."""

    @property
    def address(self) -> Address:
        return (self.host, self.port)

    @property
    def pid(self) -> int:
        assert self.child is not None, "not started"
        return self.child.pid

    def usage(self) -> Usage:
        """What its process has used so far."""
        return usage(self.pid)

    def stop(self) -> None:
        """Ends it."""
        if self.child is not None:
            self.child.stop()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, argv: list[str], env: dict[str, str] | None = None) -> Child:
        self.child = Child([*self.job.within, *argv], self.job.work / f"{self.name}.log", env)
        return self.child


_given: set[int] = set()
_giving = threading.Lock()


def free_port() -> int:
    """A port below the range the system deals out, free now and given once a run."""
    first = 10_000 + (os.getpid() * 97) % 18_000
    with _giving:
        for port in range(first, 32_000):
            if port not in _given and _is_free(port):
                _given.add(port)
                return port
    raise EngineError("no free port")


def _is_free(port: int) -> bool:
    with socket.socket() as tcp:
        try:
            tcp.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def tcp_links(*ports: int) -> list[str]:
    """The TCP links with one of these ports at an end, closed ones too while the kernel remembers them (a minute, at
    the side that closed first)."""
    listening = "0A"
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, remote, state = line.split()[:4]
            ends = {int(end.rpartition(":")[2], 16) for end in (local, remote)}
            if state != listening and ends & set(ports):
                found.append(f"{local} {remote} {state}")
    return found


def need(command: str) -> str:
    """The path of a command that must be there."""
    found = shutil.which(command)
    if found is None:
        raise EngineError(f"{command} is not installed")
    return found


def wait_listening(address: Address, timeout: float, child: Child) -> None:
    """Waits until something accepts at the address; the link made for it is closed at once."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(address, 1).close()
            return
        except OSError:
            if child.process.poll() is not None:
                raise EngineError(f"{child.argv[0]} ended at once; see {child.log}") from None
            if time.monotonic() > deadline:
                raise EngineError(f"{child.argv[0]} does not listen at {address}; see {child.log}") from None
            time.sleep(0.02)
