"""Programs that were written for Kamaelia's own torrent components, from upstream's own sources, run as they are."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from millstream import Metainfo

from .attackers import OVER_TCP, attacking
from .test_repair import icy
from .world import DEADLINE, QUICK_CLOCK, Leech, Program, Quiet, Tracker, serving, unpack, wait

CHUNK = 4 << 20


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("upstream"))


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def announce(tracker: Tracker) -> Iterator[str]:
    with tracker.serve() as url:
        yield url


def written_torrent(path: Path) -> bytes:
    """A .torrent file, once it is there and whole."""

    def is_whole() -> bool:
        try:
            Metainfo.parse(path.read_bytes())
        except (OSError, ValueError):
            return False
        return True

    wait(is_whole, f"{path.name} is written")
    return path.read_bytes()


ON_ASYNCIO = """
millstream.kamaelia.configure(driver="asyncio")
"""

ON_UVLOOP = """
import uvloop
millstream.kamaelia.configure(driver="asyncio", loop_factory=uvloop.new_event_loop)
"""


@pytest.mark.parametrize("driver", ["", ON_ASYNCIO, ON_UVLOOP], ids=["native", "asyncio", "uvloop"])
def test_the_seeder_unmodified_seeds_to_another_client(
    examples: Path, folder: Path, tracker: Tracker, announce: str, driver: str
) -> None:
    data = random.Random(1).randbytes(3_000_000)
    seed = folder / "seed"
    seed.mkdir()
    (seed / "song.ogg").write_bytes(data)
    script = examples / "TorrentSeeder" / "torrentseeder.py"
    with Program(script, seed, [announce, "song.ogg"], before=driver) as program:
        torrent = written_torrent(seed / "song.ogg.torrent")
        wait(lambda: any(tracker.swarms.values()), "the seeder announces")
        leech = Leech(torrent, folder / "leech")
        wait(leech.done, "the leech has all")
        assert (folder / "leech" / "song.ogg").read_bytes() == data
        wait(lambda: "Torrent 1 status : 100%\n" in program.seen(), "the status is explained")
        assert "New torrent 1 created in ./song.ogg\n" in program.seen()
        assert "Traceback" not in program.seen()


def test_the_seeder_goes_on_while_bad_peers_of_every_kind_come(
    examples: Path, folder: Path, tracker: Tracker, announce: str
) -> None:
    data = random.Random(4).randbytes(6 << 20)
    seed = folder / "seed"
    seed.mkdir()
    (seed / "song.ogg").write_bytes(data)
    leeches: list[Leech] = []
    script = examples / "TorrentSeeder" / "torrentseeder.py"
    with Program(script, seed, [announce, "song.ogg"]) as program:
        torrent = written_torrent(seed / "song.ogg.torrent")
        wait(lambda: any(tracker.swarms.values()), "the seeder announces")
        # the other client is spared: it isn't what this is about
        spared = {port for ports in tracker.swarms.values() for port in ports}
        with attacking(tracker, lambda: [torrent], lambda: set().union(*tracker.swarms.values()) - spared) as attackers:
            leeches.append(Leech(torrent, folder / "leech", rate=1 << 20))
            wait(lambda: set(attackers.met) == set(OVER_TCP), "bad peers of every kind have met it")
            leeches[0].unlimited()
            wait(leeches[0].done, "the leech has all")
        assert (folder / "leech" / "song.ogg").read_bytes() == data
        assert program.process.poll() is None and "Traceback" not in program.seen()


def test_a_seeder_killed_in_mid_stream_goes_on_when_it_is_run_again(
    examples: Path, folder: Path, tracker: Tracker, announce: str
) -> None:
    data = random.Random(2).randbytes(8 << 20)
    seed = folder / "seed"
    seed.mkdir()
    (seed / "song.ogg").write_bytes(data)
    script = examples / "TorrentSeeder" / "torrentseeder.py"
    with Program(script, seed, [announce, "song.ogg"]) as program:
        torrent = written_torrent(seed / "song.ogg.torrent")
        wait(lambda: any(tracker.swarms.values()), "the seeder announces")
        leech = Leech(torrent, folder / "leech", rate=2 << 20)
        wait(lambda: leech.progress() > 0.2, "the leech has some")
        program.kill()
    before = leech.progress()
    assert before < 0.9, "it was killed in mid-stream"
    dead = set().union(*tracker.swarms.values())
    with Program(script, seed, [announce, "song.ogg"]):
        wait(lambda: set().union(*tracker.swarms.values()) - dead, "the seeder announces again")
        leech.unlimited()
        wait(leech.done, "the leech has all")
    assert (folder / "leech" / "song.ogg").read_bytes() == data


@contextmanager
def at_last(do: Callable[[], object]) -> Iterator[None]:
    """Does this in any case."""
    try:
        yield
    finally:
        do()


def mended(examples: Path, folder: Path) -> Path:
    """The stream's peer without its three bugs: it runs on no Python with them."""
    text = (examples / "P2PStreamPeer" / "p2pstreampeer.py").read_text()
    for wrong, right in (
        ("super(self, PartsFilenameGenerator)", "super(PartsFilenameGenerator, self)"),
        ("highestseensofar = 0", "highestsofar = 0"),
        (
            "from Axon.Component import component\n",
            "from Axon.Component import component\nfrom Axon.Ipc import producerFinished, shutdown\n",
        ),
    ):
        assert text.count(wrong) == 1
        text = text.replace(wrong, right)
    path = folder / "p2pstreampeer.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("attacked", [False, True], ids=["calm", "attacked"])
def test_a_live_stream_is_rebuilt_byte_for_byte(
    examples: Path, folder: Path, tracker: Tracker, announce: str, attacked: bool
) -> None:
    audio = random.Random(3).randbytes(13_000_000)
    stream = icy(audio, 8192, [b"StreamTitle='a song';", b"", b"StreamTitle='another';"])
    uploads = folder / "uploads"
    uploads.mkdir()
    (uploads / "meta.txt").write_text("0")
    over = threading.Event()

    class Icecast(Quiet):
        def do_GET(self) -> None:
            assert self.headers["icy-metadata"] == "1"
            self.wfile.write(b"ICY 200 OK\r\nContent-Type: audio/mpeg\r\nicy-metaint: 8192\r\n\r\n")
            for at in range(0, len(stream), 1 << 16):
                self.wfile.write(stream[at : at + (1 << 16)])
                # live: no faster than this
                time.sleep(0.005)
            over.wait(DEADLINE)

    class Uploads(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            count = int((uploads / "meta.txt").read_text()) + 1
            (uploads / f"{count}.torrent").write_bytes(body)
            (uploads / "meta.txt").write_text(str(count))
            self.answer(200, b"New torrent")

        def do_GET(self) -> None:
            self.answer(200, (uploads / self.path.strip("/")).read_bytes())

    repair = "millstream.kamaelia.repair()"
    with serving(Icecast) as source, serving(Uploads) as web:
        lines = [source, announce, f"{web}upload"]
        script = examples / "P2PStreamSeed" / "p2pstreamseed.py"
        peer = mended(examples, folder)
        sink = folder / "sink"
        rebuilt = sink / "myreconstructedstream.mp3"
        with (
            at_last(over.set),
            attacking(tracker, lambda: published(uploads)) if attacked else nullcontext() as attackers,
            Program(script, folder / "source", lines, before=repair),
            Program(peer, sink, [web], before=repair + QUICK_CLOCK) as program,
        ):
            whole = len(audio) // CHUNK * CHUNK
            wait(lambda: rebuilt.exists() and rebuilt.stat().st_size >= whole, "the stream is rebuilt")
            assert rebuilt.read_bytes() == audio[:whole]
            assert sorted(path.name for path in uploads.glob("*.torrent")) == ["1.torrent", "2.torrent", "3.torrent"]
            assert "Traceback" not in program.seen()
            assert attackers is None or sum(attackers.met.values()) > 0


def published(uploads: Path) -> list[bytes]:
    """The torrents of the stream, as many as are whole."""
    whole = []
    for path in uploads.glob("*.torrent"):
        raw = path.read_bytes()
        with suppress(ValueError):
            Metainfo.parse(raw)
            whole.append(raw)
    return whole


SHARING = """
import os, sys, threading
import millstream.kamaelia
millstream.kamaelia.configure(listen=[("127.0.0.1", 0)], dht=False, lsd=False, port_mapping=False, state_folder=None)
import millstream.kamaelia.install
from Axon.Component import component
from Axon.Ipc import shutdown
from Kamaelia.Chassis.Graphline import Graphline
from Kamaelia.Protocol.Torrent.TorrentIPC import *
from Kamaelia.Protocol.Torrent.TorrentPatron import TorrentPatron
from millstream import create

torrents = {name: create(name, os.urandom(100_000), version="v1") for name in ("a", "b", "c")}

class User(component):
    ready = set()
    def __init__(self, name, asks):
        super().__init__()
        self.who, self.asks, self.answers, self.statuses = name, asks, [], set()
    def main(self):
        while self.who != "a" and "a" not in User.ready:
            yield 1
        for ask in self.asks:
            self.send(ask)
        while len(User.ready) < 3:
            while self.dataReady("inbox"):
                message = self.recv("inbox")
                if isinstance(message, TIPCTorrentStatusUpdate):
                    self.statuses.add(message.torrentid)
                else:
                    self.answers.append(message)
            if len(self.answers) == len(self.asks) and self.statuses:
                User.ready.add(self.who)
            yield 1
        self.send(shutdown(), "signal")
        yield 1

users = [
    User("a", [torrents["a"], b"garbage", 42]),
    User("b", [torrents["b"], torrents["a"].decode("latin-1")]),
    User("c", [torrents["c"]]),
]
lines = [
    Graphline(USER=user, PATRON=TorrentPatron(tickInterval=0.1), linkages={
        ("USER", "outbox"): ("PATRON", "inbox"),
        ("PATRON", "outbox"): ("USER", "inbox"),
        ("USER", "signal"): ("PATRON", "control"),
    })
    for user in users
]
for line in lines[1:]:
    line.activate()
lines[0].run()

a, b, c = users
names = [type(answer).__name__ for answer in a.answers]
assert names == ["TIPCNewTorrentCreated", "TIPCTorrentStartFail", "TIPCTorrentStartFail"]
assert [type(answer).__name__ for answer in b.answers] == ["TIPCNewTorrentCreated", "TIPCTorrentAlreadyDownloading"]
assert b.answers[1].torrentid == a.answers[0].torrentid
ids = [user.answers[0].torrentid for user in users]
assert sorted(ids) == [1, 2, 3]
for user, number in zip(users, ids):
    assert user.statuses == {number}, (user.who, user.statuses)
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
print("ended by itself")
"""


def test_three_patrons_share_fail_and_leave_only_the_main_thread(folder: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", SHARING], capture_output=True, text=True, timeout=DEADLINE, cwd=folder)
    assert ran.stdout == "ended by itself\n", ran.stderr
    assert ran.returncode == 0
