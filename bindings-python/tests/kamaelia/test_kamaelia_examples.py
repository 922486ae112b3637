"""The examples do what they say, over the loopback: each is run as a user would, as a program of its own."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from millstream import create, sync

from .test_connections import Host
from .world import Quiet, serving

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "kamaelia"
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
        [sys.executable, "-W", "ignore::DeprecationWarning", str(EXAMPLES / name), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=deadline,
    )


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
