"""rqbit (crates.io), told by its command line and by its HTTP interface. `$RQBIT` names its binary."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .millstream import ROOT
from .node import Job, Node, free_port, wait_listening
from .process import EngineError, poll_until


def binary() -> Path:
    """`$RQBIT`, or where `bench/run` installs it."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("RQBIT", target / "bench-tools" / "bin" / "rqbit"))


class Rqbit(Node):
    name = "rqbit"
    prefix = b"-rQ"
    takes_peers = True

    def __init__(self, job: Job, poll_s: float = 0.05) -> None:
        super().__init__(job)
        self.api_port = free_port()
        self.poll_s = poll_s

    @classmethod
    def version(cls) -> str:
        if not binary().exists():
            raise EngineError(f"rqbit: no {binary()}")
        return subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]

    def start(self, timeout: float = 60) -> None:
        job = self.job
        argv = [str(binary()), "-v", "error", "--http-api-listen-addr", f"127.0.0.1:{self.api_port}"]
        argv += ["--disable-dht", "--disable-lsd", "--disable-upnp-port-forward", "--ipv4-only"]
        argv += ["--listen-ip", self.host, "--listen-port", str(self.port)]
        if not job.tracker:
            argv.append("--disable-trackers")
        if job.upload_max:
            argv += ["--ratelimit-upload", str(job.upload_max)]
        if job.download_max:
            argv += ["--ratelimit-download", str(job.download_max)]
        argv += ["download", "--overwrite", "-o", str(job.folder)]
        if job.peers:
            argv += ["--initial-peers", ",".join(f"{host}:{port}" for host, port in job.peers)]
        child = self._launch([*argv, str(job.torrent or job.magnet)], {"HOME": str(job.work)})
        wait_listening(("127.0.0.1", self.api_port), timeout, child)
        if job.seed:
            self.wait_complete(timeout)
        elif job.torrent:
            poll_until(lambda: self.stats().get("state") == "live", timeout, 0.02, "rqbit live")

    def wait_complete(self, timeout: float) -> float:
        poll_until(lambda: bool(self.stats().get("finished")), timeout, self.poll_s, "rqbit complete")
        return time.monotonic()

    def stats(self) -> dict[str, Any]:
        """What its interface says of the torrent; empty before it is there."""
        try:
            with urllib.request.urlopen(self._at("/torrents/0/stats/v1"), timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError:
            return {}

    def _at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.api_port}{path}"
