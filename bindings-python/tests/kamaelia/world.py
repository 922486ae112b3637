"""The world around programs: upstream's sources, a tracker, a live stream, a web server, another client, all on the
loopback; and a way to run programs as they are."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import libtorrent

HERE = Path(__file__).parent
DEADLINE = 60.0
"""Seconds that nothing here takes."""

RUNNER = """
import builtins, runpy, sys
builtins.raw_input = input
import millstream.kamaelia
millstream.kamaelia.configure(
    listen=[("127.0.0.1", 0)], dht=False, lsd=False, port_mapping=False, state_folder={state!r}
)
{before}
import millstream.kamaelia.install
runpy.run_path({script!r}, run_name="__main__")
"""

QUICK_CLOCK = """
import Kamaelia.Util.Clock
from Axon.ThreadedComponent import threadedcomponent
def quick(self, interval):
    threadedcomponent.__init__(self)
    self.interval = interval / 100
Kamaelia.Util.Clock.CheapAndCheerfulClock.__init__ = quick
"""
"""A program that looks once a minute does so more often."""


def wait(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Waits until this is so."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def unpack(into: Path) -> Path:
    """Upstream's programs, out of its own sources, whose sums are checked. Gives the folder of the torrent examples."""
    sources = os.environ.get("KAMAELIA_SOURCES")
    assert sources, "KAMAELIA_SOURCES names the folder with upstream's sources; `bindings-python/test` gets them"
    sums = re.findall(r"^(\S+?)==(\S+) --hash=sha256:(\w+)$", (HERE / "requirements.txt").read_text(), re.M)
    assert len(sums) == 2
    for name, version, digest in sums:
        archive = Path(sources) / f"{name}-{version}.tar.gz"
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == digest, f"{archive} isn't what it should be"
    with tarfile.open(Path(sources) / "kamaelia-1.14.32.tar.gz") as archive_of_all:
        archive_of_all.extractall(into, filter="data")
    return into / "kamaelia-1.14.32" / "Examples" / "_TorrentBasedStreaming_GSOC"


class Program:
    """A program as a user would run it, with its keyboard held."""

    def __init__(
        self, script: Path, folder: Path, lines: list[str], *, before: str = "", state: Path | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.screen = folder / "screen"
        text = RUNNER.format(script=str(script), before=before, state=state and str(state))
        with self.screen.open("ab") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", text], stdin=subprocess.PIPE, stdout=screen, stderr=screen, cwd=folder
            )
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def seen(self) -> str:
        """What is on its screen."""
        return self.screen.read_text(errors="replace")

    def kill(self) -> None:
        """As `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        self.kill()
        self.process.stdin.close()
        if error[0] is not None:
            sys.stderr.write(f"--- {self.screen}\n{self.seen()[-4000:]}\n")


class Server(ThreadingHTTPServer):
    """A web server whose visitors may leave at any time."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server. Gives its URL, with a slash at the end."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)


class Quiet(BaseHTTPRequestHandler):
    """A handler that keeps no log."""

    def log_message(self, format: str, *args: Any) -> None:
        return

    def answer(self, status: int, body: bytes) -> None:
        """Answers with this body."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Tracker:
    """A tracker that names everyone to everyone."""

    def __init__(self) -> None:
        self.swarms: dict[bytes, set[int]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Gives its announce URL."""
        tracker = self

        class Handler(Quiet):
            def do_GET(self) -> None:
                self.answer(200, tracker.announce(self.path.partition("?")[2]))

        with serving(Handler) as url:
            yield f"{url}announce"

    def announce(self, query: str) -> bytes:
        """The answer to an announce."""
        given = {name: unquote_to_bytes(value) for name, _, value in (part.partition("=") for part in query.split("&"))}
        port = int(given["port"])
        with self._lock:
            swarm = self.swarms.setdefault(given["info_hash"], set())
            if given.get("event") == b"stopped":
                swarm.discard(port)
            else:
                swarm.add(port)
            others = sorted(swarm - {port})
        peers = b"".join(socket.inet_aton("127.0.0.1") + other.to_bytes(2, "big") for other in others)
        return b"d8:intervali2e12:min intervali1e5:peers%d:%be" % (len(peers), peers)


class Leech:
    """Another client, which downloads a torrent."""

    def __init__(self, torrent: bytes, folder: Path, *, rate: int = 0) -> None:
        folder.mkdir(exist_ok=True)
        self.session = libtorrent.session(
            {
                "listen_interfaces": "127.0.0.1:0",
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
                "allow_multiple_connections_per_ip": True,
                "min_reconnect_time": 1,
                "stop_tracker_timeout": 0,
            }
        )
        params = libtorrent.add_torrent_params()
        params.ti = libtorrent.torrent_info(torrent)
        params.save_path = str(folder)
        # the torrent's, not the session's: that one doesn't hold for peers on this host
        params.download_limit = rate or -1
        self.handle = self.session.add_torrent(params)

    def progress(self) -> float:
        """How much of it is there."""
        return float(self.handle.status().progress)

    def unlimited(self) -> None:
        """As fast as it goes."""
        self.handle.set_download_limit(-1)

    def done(self) -> bool:
        """Whether it is whole."""
        return bool(self.handle.status().is_seeding)
