"""The examples do what they say, over the loopback: each is run as a user would, as a program of its own."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from millstream import create, sync

from .test_connections import Host
from .world import DEADLINE, Program, Quiet, Tracker, serving, wait

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "kamaelia"
PYTHON = [sys.executable, "-W", "ignore::DeprecationWarning"]
SETTINGS: dict[str, Any] = {
    "listen": [("127.0.0.1", 0)],
    "dht": False,
    "lsd": False,
    "port_mapping": False,
    "keep_resume": False,
}


def example(name: str, *arguments: object, folder: Path, deadline: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs one until it ends."""
    return subprocess.run(
        [*PYTHON, str(EXAMPLES / name), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=deadline,
    )


class Example:
    """One that runs until its input ends."""

    def __init__(self, name: str, *arguments: object, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._screen = folder / f"{name}.screen"
        with self._screen.open("wb") as screen:
            self.process = subprocess.Popen(
                [*PYTHON, str(EXAMPLES / name), *map(str, arguments), "--local"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=screen,
            )

    def __enter__(self) -> Example:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        if error[0] is not None:
            sys.stderr.write(f"--- {self._screen.name}\n{self.seen()}\n")

    def seen(self) -> str:
        """What is on its screen."""
        return self._screen.read_text()

    def find(self, pattern: str) -> str:
        """The first group of this, once it is there."""
        wait(lambda: re.search(pattern, self.seen()), pattern)
        found = re.search(pattern, self.seen())
        assert found is not None
        return found[1]

    def say(self, data: bytes) -> None:
        """By its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self) -> int:
        """Ends its input; what it ends with."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None
        return self.process.wait(DEADLINE)


def test_the_guides_first_program_runs_as_it_stands(folder: Path) -> None:
    guide = (EXAMPLES.parent.parent / "KAMAELIA.md").read_text()
    found = re.search(r"```python\n(.*?)```", guide, re.S)
    assert found is not None
    (folder / "program.py").write_text(found[1])
    (folder / "song").write_bytes(b"song" * 1000)
    (folder / "song.torrent").write_bytes(create("song", b"song" * 1000, version="v1"))
    with Program(folder / "program.py", folder, ["song.torrent"]) as program:
        wait(lambda: "New torrent 1 created in ./song\n" in program.seen(), "the answer")
        wait(lambda: "Torrent 1 status : 100%\n" in program.seen(), "its status")
        assert "Traceback" not in program.seen()


def test_a_seeder_and_a_tracker_serve_whoever_has_the_link(folder: Path) -> None:
    data = random.Random(2).randbytes(300_000)
    (folder / "seed").mkdir()
    (folder / "seed" / "song.ogg").write_bytes(data)
    with Example("tracker_statistics.py", 0, 0.2, folder=folder) as tracker:
        announce = tracker.find(r"Tracker at (http\S+)")
        with Example("seeder.py", announce, "song.ogg", "missing", folder=folder / "seed") as seeder:
            magnet = seeder.find(r"Seeding song.ogg: (magnet:\S+)")
            with sync.Session(folder=folder / "leech", **SETTINGS) as leech:
                leech.add(magnet).wait_complete(timeout=DEADLINE)
                assert (folder / "leech" / "song.ogg").read_bytes() == data
                # a hybrid torrent has two info-hashes
                tracker.find(r"Tracker: (2) torrents, \d peers, .* [12] completed")
            assert "missing" in seeder.seen()
            assert seeder.end() == 0
        assert tracker.end() == 0
        assert "Traceback" not in tracker.seen()


def test_a_tracker_says_how_busy_it_is(folder: Path) -> None:
    with Example("tracker_statistics.py", 0, 0.1, folder=folder) as tracker:
        announce = tracker.find(r"Tracker at (http\S+)")
        tracker.find("Tracker: (0) torrents, 0 peers")
        query = f"info_hash={'%01' * 20}&peer_id={'a' * 20}&port=1&left=0&compact=1"
        with urllib.request.urlopen(f"{announce}?{query}", timeout=DEADLINE) as answer:
            assert b"8:interval" in answer.read()
        tracker.find(r"Tracker: (1) torrents?, 1 peers?")
        assert tracker.end() == 0
        assert "Traceback" not in tracker.seen()
    usage = example("tracker_statistics.py", folder=folder)
    assert usage.returncode == 1 and "tracker_statistics.py PORT" in usage.stderr


def test_two_patrons_share_a_client_and_hear_of_their_own(folder: Path) -> None:
    files = {name: random.Random(name).randbytes(100_000) for name in ("one", "other")}
    (folder / "seed").mkdir()
    tracker = Tracker()
    with tracker.serve() as announce, sync.Session(folder=folder / "seed", **SETTINGS) as seed:
        for name, data in files.items():
            torrent = create(name, data, version="v1", trackers=[[announce]])
            (folder / f"{name}.torrent").write_bytes(torrent)
            (folder / "seed" / name).write_bytes(data)
            seed.add(torrent).wait_complete(timeout=DEADLINE)
        wait(lambda: sum(map(len, tracker.swarms.values())) == 2, "the seed is announced")
        with Example("two_patrons.py", "one.torrent", "other.torrent", folder=folder) as patrons:
            assert patrons.process.wait(DEADLINE) == 0
    assert {name: (folder / name).read_bytes() for name in files} == files
    ids = {
        box: re.findall(rf"^{box}: New torrent (\d) created in ./{name}$", patrons.seen(), re.M)
        for box, name in (("first", "one"), ("second", "other"))
    }
    assert sorted(number for numbers in ids.values() for number in numbers) == ["1", "2"]
    for box, (number,) in ids.items():
        assert set(re.findall(rf"^{box}: Torrent (\d)", patrons.seen(), re.M)) == {number}


def test_a_live_stream_goes_from_its_source_to_a_sink(folder: Path) -> None:
    stream = random.Random(3).randbytes(500_000)
    tracker = Tracker()
    with (
        tracker.serve() as announce,
        Example("live_source.py", announce, 0, 150_000, folder=folder / "source") as source,
    ):
        source.say(stream[:320_000])
        source.find("Chunk (2) published")
        with Example("live_sink.py", source.find(r"feed at (\S+)"), "stream", 0.1, folder=folder / "sink") as sink:
            source.say(stream[320_000:])
            assert source.process.stdin is not None
            source.process.stdin.close()
            source.process.stdin = None
            assert sink.process.wait(DEADLINE) == 0
    assert (folder / "sink" / "stream").read_bytes() == stream


def test_an_episode_is_played_when_it_is_ready(folder: Path) -> None:
    data = random.Random(4).randbytes(200_000)
    (folder / "seed").mkdir()
    (folder / "seed" / "episode.ogg").write_bytes(data)
    tracker = Tracker()
    with tracker.serve() as announce, sync.Session(folder=folder / "seed", **SETTINGS) as seed:
        torrent = create("episode.ogg", data, version="v1", trackers=[[announce]])
        seed.add(torrent).wait_complete(timeout=DEADLINE)
        wait(lambda: tracker.swarms, "the seed is announced")

        class Web(Quiet):
            def do_GET(self) -> None:
                item = b'<item><title>Pilot</title><enclosure url="/x.torrent" type="application/x-bittorrent"/></item>'
                feed = b"<rss version='2.0'><channel>" + item + b"</channel></rss>"
                self.answer(200, torrent if self.path.endswith(".torrent") else feed)

        play = "import shutil, sys; shutil.copy(sys.argv[1], 'played')"
        with (
            serving(Web) as url,
            Example("subscription_player.py", url, sys.executable, "-c", play, folder=folder / "player") as player,
        ):
            player.find("(Episode ready): Pilot in ")
            wait((folder / "player" / "played").exists, "it is played")
            assert player.end() == 0
    assert (folder / "player" / "played").read_bytes() == data


def test_files_are_fetched_over_http_by_the_connection_manager(folder: Path) -> None:
    files = {f"file{n}.bin": random.Random(n).randbytes(50_000 + n) for n in range(20)}

    class Handler(Quiet):
        def do_GET(self) -> None:
            body = files.get(self.path[1:])
            self.answer(404 if body is None else 200, body or b"nothing here")

    with serving(Handler) as url:
        done = example("http_files.py", "into", *(f"{url}{name}" for name in files), folder=folder)
        missing = example("http_files.py", "into", f"{url}missing", "http://127.0.0.1:9/refused", folder=folder)
    assert done.returncode == 0, done.stderr
    assert {name: (folder / "into" / name).read_bytes() for name in files} == files
    assert missing.returncode == 1 and "404" in missing.stdout and "refused: " in missing.stdout
    assert sorted(path.name for path in (folder / "into").iterdir()) == sorted(files)


def test_a_peer_is_greeted_and_says_what_it_has(folder: Path) -> None:
    data = random.Random(1).randbytes(200_000)
    torrent = create("thing.bin", data, version="v1", piece_length=32768)
    (folder / "thing.torrent").write_bytes(torrent)
    with sync.Session(folder=folder / "seed", **SETTINGS) as seed:
        (folder / "seed").mkdir(exist_ok=True)
        (folder / "seed" / "thing.bin").write_bytes(data)
        seed.add(torrent).wait_complete(timeout=30)
        done = example("greet_peer.py", "thing.torrent", *seed.listening[0], folder=folder)
    assert done.stdout.endswith("it has 7 of 7 pieces\n"), (done.stdout, done.stderr)
    assert re.match(r"met -MS\w{4}-\n", done.stdout)


def test_no_peer_is_no_hang(folder: Path) -> None:
    (folder / "thing.torrent").write_bytes(create("thing.bin", b"x" * 50_000, version="v1"))
    with Host(lambda connection: None).run() as address:
        done = example("greet_peer.py", "thing.torrent", *address, folder=folder)
    assert "it has 0 of" in done.stdout
