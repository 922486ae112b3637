"""A world in memory for engines: links that join two of them, a disk that is a dictionary, a clock that jumps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import assert_never

from millstream.sansio import (
    Absent,
    Address,
    BytesRead,
    Cancel,
    Close,
    Connect,
    ConnectHttp,
    ConnectWebSocket,
    DatagramsReady,
    Engine,
    Event,
    Exchange,
    Extent,
    Failed,
    FileNow,
    Files,
    FilesClose,
    FilesOpen,
    FilesSync,
    Hash,
    HashStored,
    Http,
    Interest,
    Job,
    Outcome,
    Pad,
    Part,
    Read,
    Resolve,
    Save,
    Saved,
    Work,
    Write,
    Written,
    digest,
    exchange,
)

STEPS_MAX = 100_000


class Disk:
    """A disk in memory: files by their path with slashes."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {path: bytearray(data) for path, data in (files or {}).items()}
        self.saved: dict[int, bytes] = {}
        self.paths: dict[int, list[str]] = {}
        self.hashed = 0

    def carry_out(self, work: Work) -> Outcome:
        """Does a job."""
        match work:
            case FilesOpen(torrent, _, files, _):
                self.paths[torrent] = ["/".join(file.path) for file in files]
                return self._now(torrent)
            case FilesSync(torrent):
                return self._now(torrent)
            case FilesClose():
                return Files()
            case Read(torrent, parts):
                data = self._read(torrent, parts)
                return BytesRead(data) if data is not None else Failed("not_found", "there are no such bytes")
            case Write(torrent, extents, data):
                rest = b"".join(data)
                for extent in extents:
                    file = self.files.setdefault(self.paths[torrent][extent.file], bytearray())
                    end = extent.offset + extent.length
                    file.extend(bytes(max(0, end - len(file))))
                    file[extent.offset : end], rest = rest[: extent.length], rest[extent.length :]
                assert not rest, "as many bytes as the extents have"
                return Written()
            case Hash(data, pad, want_sha1, want_leaves):
                self.hashed += sum(map(len, data))
                return digest(data, pad, want_sha1=want_sha1, want_leaves=want_leaves)
            case HashStored(torrent, parts, pad, want_sha1, want_leaves):
                stored = self._read(torrent, parts)
                if stored is None:
                    return Absent()
                return digest([stored], pad, want_sha1=want_sha1, want_leaves=want_leaves)
            case Save(torrent, resume):
                self.saved[torrent] = resume
                return Saved()
            case Exchange():
                return exchange(work)
            case Http() | Resolve():
                return Failed("not_found", "this world has no servers")
            case _:
                assert_never(work)

    def _now(self, torrent: int) -> Files:
        files = (self.files.get(path) for path in self.paths[torrent])
        return Files([FileNow(None if file is None else len(file)) for file in files])

    def _read(self, torrent: int, parts: tuple[Part, ...]) -> bytes | None:
        out = bytearray()
        for part in parts:
            match part:
                case Pad(length):
                    out += bytes(length)
                case Extent(file, offset, length):
                    data = self.files.get(self.paths[torrent][file], bytearray())[offset : offset + length]
                    if len(data) < length:
                        return None
                    out += data
        return bytes(out)


class Host:
    """An engine with a disk, at an address."""

    def __init__(self, world: World, number: int, disk: Disk) -> None:
        self.world, self.disk = world, disk
        self.address: Address = (f"10.0.0.{number}", 6881)
        self.engine = Engine(number)
        self.events: list[Event] = []
        self.ends: dict[int, tuple[Host, int]] = {}
        self.wishes: deque[int] = deque()
        self.engine.bound(0, 1, self.address, "tcp")

    def drain(self) -> bool:
        """Does all that the engine asks for; whether there was anything."""
        effects = self.engine.poll_effects()
        for effect in effects:
            match effect:
                case Connect(conn, to):
                    self.world.join(self, conn, to)
                case ConnectHttp(conn) | ConnectWebSocket(conn):
                    self.engine.closed(self.world.now, conn, "unreachable")
                case Close(conn, _):
                    self.world.part(self, conn)
                case Interest(conn, _, write):
                    if write:
                        self.wishes.append(conn)
                case Job(job, work):
                    self.engine.done(self.world.now, job, self.disk.carry_out(work))
                case Cancel() | DatagramsReady():
                    pass
                case _:
                    assert_never(effect)
        sent = False
        while self.wishes:
            sent |= self.world.carry(self, self.wishes.popleft())
        self.events += self.engine.poll_events()
        return bool(effects) or sent


class World:
    """Hosts and the links between them. Nothing is slow; time jumps to the next deadline when nothing moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hosts: dict[Address, Host] = {}
        self.spoil: Callable[[Host, bytes], bytes] = lambda _, data: data
        self.carried = 0

    def host(self, files: dict[str, bytes] | None = None) -> Host:
        """One more host, with these files on its disk."""
        host = Host(self, len(self.hosts) + 1, Disk(files))
        self.hosts[host.address] = host
        return host

    def join(self, caller: Host, conn: int, to: Address) -> None:
        """Opens a link that `caller` asked for."""
        called = self.hosts.get(to)
        if called is None:
            caller.engine.closed(self.now, conn, "refused")
            return
        # who calls has a port of its own, as a real one would
        far = called.engine.accept(self.now, 1, called.address, (caller.address[0], 40000 + conn))
        caller.ends[conn], called.ends[far] = (called, far), (caller, conn)
        caller.engine.opened(self.now, conn, caller.address, to)

    def part(self, host: Host, conn: int) -> None:
        """Ends a link at both ends."""
        end = host.ends.pop(conn, None)
        host.engine.drained(self.now, conn)
        if end is not None:
            end[0].engine.closed(self.now, end[1])

    def carry(self, host: Host, conn: int) -> bool:
        """Carries what a link has to send."""
        sent = False
        while views := host.engine.poll_transmit(self.now, conn):
            data = b"".join(views)
            host.engine.wrote(self.now, conn, len(data))
            if end := host.ends.get(conn):
                self.carried += len(data)
                end[0].engine.handle_received(self.now, end[1], self.spoil(host, data))
            sent = True
        return sent

    def run(self, until: Callable[[], bool], within: float = 600.0) -> None:
        """Runs until something is so; fails if it is not within so many seconds of this world."""
        end = self.now + within
        for _ in range(STEPS_MAX):
            if until():
                return
            if any([host.drain() for host in self.hosts.values()]):
                continue
            deadlines = [host.engine.poll_timeout() for host in self.hosts.values()]
            self.now = max(self.now, min((at for at in deadlines if at is not None), default=end + 1))
            assert self.now <= end, f"not so within {within} s: {self}"
            for host in self.hosts.values():
                host.engine.handle_timeout(self.now)
        raise AssertionError(f"not so after {STEPS_MAX} steps: {self}")

    def __repr__(self) -> str:
        states = [[host.engine.status(t) for t in host.engine.torrents()] for host in self.hosts.values()]
        return f"World at {self.now}: {states}, {[host.events for host in self.hosts.values()]}"
