"""The example programs of sessions, each run as a user would run it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from drivers_stage import LOOPBACK, PIECE, Thing, payload, thing, things

from millstream import Metainfo, create, sync

EXAMPLES = Path(__file__).parent.parent / "examples"


@contextlib.contextmanager
def program(name: str, *given: object) -> Iterator[subprocess.Popen[str]]:
    """A program that runs, and that doesn't outlive this."""
    command = [sys.executable, "-X", "faulthandler", str(EXAMPLES / name), *map(str, given), "--local"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def until(running: subprocess.Popen[str], pattern: str) -> str:
    """The next line that it prints in which this is found."""
    assert running.stdout is not None and running.stderr is not None
    # one that hangs ends
    bound = threading.Timer(60, running.kill)
    bound.start()
    try:
        for line in running.stdout:
            if re.search(pattern, line):
                return line.strip()
    finally:
        bound.cancel()
    raise AssertionError(f"it ended before {pattern!r}: {running.stderr.read()}")


def ended(running: subprocess.Popen[str]) -> int:
    """Its exit code. One that doesn't end says where it stands."""
    try:
        return running.wait(60)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGABRT)
        raise AssertionError(f"it goes on: {running.communicate()[1]}") from None


@contextlib.contextmanager
def seeding(folder: Path, *some: Thing) -> Iterator[sync.Session]:
    """A seed of these."""
    folder.mkdir(exist_ok=True)
    with sync.Session(folder=folder, **LOOPBACK) as seed:
        for what in some:
            what.store(folder)
            seed.add(what.torrent).wait_complete(timeout=30)
        yield seed


def link(what: Thing) -> str:
    return str(Metainfo.parse(what.torrent).magnet())


def test_the_bot_downloads_many_magnets_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    some = [things(), *(thing(10 * PIECE + n, f"thing {n}.bin") for n in range(4))]
    with seeding(tmp_path / "seed", *some) as seed:
        [(host, port)] = seed.listening
        given = [tmp_path / "here", *map(link, some), "magnet:?xt=urn:btih:no", "--peer", f"{host}:{port}"]
        with program("download_bot.py", *given, "--every", 0.01, "--at-once", 3) as bot:
            said, failed = bot.communicate(timeout=60)
        assert bot.returncode == 1
        assert re.findall(r"^failed  (\S+):", failed, re.MULTILINE) == ["magnet:?xt=urn:btih:no"]
        assert said.count("done ") == 5 and all(what.stored(tmp_path / "here") for what in some)
        assert re.search(r"^ *[\d.]+%  .*: (metadata|checking|leeching), \d+ KiB/s of \d+ peers$", said, re.MULTILINE)


def test_the_stream_server_answers_ranges_and_fetches_no_more(tmp_path: Path) -> None:
    data = payload(100 * PIECE + 5)
    what = Thing(create("things", {"a film.mkv": data, "b.txt": b"b"}, version="v1", piece_length=PIECE), {})
    what = Thing(what.torrent, {"things/a film.mkv": data, "things/b.txt": b"b"})

    def ask(target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(base + target, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()

    with seeding(tmp_path / "seed", what) as seed:
        [(host, port)] = seed.listening
        with program("stream_server.py", link(what), "--peer", f"{host}:{port}") as server:
            base = until(server, "^http://")
            film = "things/a%20film.mkv"
            status, headers, body = ask(film, Range=f"bytes={50 * PIECE}-{50 * PIECE + 9}")
            assert (status, body) == (206, data[50 * PIECE : 50 * PIECE + 10])
            assert headers["content-range"] == f"bytes {50 * PIECE}-{50 * PIECE + 9}/{len(data)}"
            assert ask(film, Range="bytes=-7")[2] == data[-7:]
            status, headers, body = ask(film, "HEAD")
            assert (status, headers["content-length"], headers["content-type"], body) == (
                200,
                str(len(data)),
                "video/x-matroska",
                b"",
            )
            for target, wanted, code in (("none", "", 404), (film, f"bytes={len(data)}-", 416)):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    ask(target, Range=wanted)
                assert refused.value.code == code
                refused.value.close()
            page = ask("")[2].decode()
            assert "a film.mkv" in page and re.search(r"\d+ bytes, [234]% here", page), "three pieces of a hundred"
            assert ask(film)[::2] == (200, data)
            assert ask("things/b.txt")[::2] == (200, b"b")
            server.send_signal(signal.SIGINT)
            assert ended(server) == 0


def test_the_seedbox_goes_on_after_it_was_killed(tmp_path: Path) -> None:
    box, some = tmp_path / "box", [things(), thing()]
    (box / "watch").mkdir(parents=True)
    for number, what in enumerate(some):
        what.store(box / "data")
        (box / "watch" / f"{number}.torrent").write_bytes(what.torrent)
    (box / "watch" / "bad.magnet").write_text("no magnet")
    given = [box, "--every", 0.05]
    with program("seedbox.py", *given) as running:
        assert "0 torrents" in until(running, "^<Session")
        said = ""
        while not all(
            re.search(word, said) for word in ("refused", "'things' .*seeding 100", "'thing.bin' .*seeding 100")
        ):
            said += until(running, "") + "\n"
        running.send_signal(signal.SIGKILL)
        running.wait(60)
    assert sorted(path.suffix for path in (box / "watch").iterdir()) == [".added", ".added", ".refused"]
    with program("seedbox.py", *given) as running:
        address = re.search(r"at ([\d.]+):(\d+): 2 torrents", until(running, "^<Session"))
        assert address is not None
        assert [until(running, "^back").split()[1] for _ in some] == ["things", "thing.bin"]
        with sync.Session(folder=tmp_path / "leech", **LOOPBACK) as leech:
            for what in some:
                ours = leech.add(link(what), peers=[(address[1], int(address[2]))])
                ours.wait_complete(timeout=30)
                assert what.stored(leech.folder)
        running.send_signal(signal.SIGTERM)
        until(running, "leaving")
        assert ended(running) == 0
