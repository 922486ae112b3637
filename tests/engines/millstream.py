"""The `millstream` binary as a node, told by its command line and heard by its `--json` lines."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .node import HOST, Job, Node
from .process import EngineError

ROOT = Path(__file__).resolve().parents[2]


def binary() -> Path:
    """`$MILLSTREAM`, or the release build of this tree."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("MILLSTREAM", target / "release" / "millstream")).absolute()


def command(*words: str | Path, timeout: float = 60) -> str:
    """Runs one of its commands to the end and gives its standard output."""
    done = subprocess.run(
        [binary(), *words], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise EngineError(f"millstream {' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def inspect(torrent: str | Path) -> dict[str, Any]:
    """What `inspect --json` says of a torrent file or a magnet link."""
    return dict(json.loads(command("inspect", torrent, "--json")))


class Millstream(Node):
    """Options beyond the job: `extra`, more words for its command line; `env`, of its environment."""

    name = "millstream"
    prefix = b"-MS"
    takes_peers = True

    def __init__(self, job: Job, extra: tuple[str, ...] = (), env: dict[str, str] | None = None) -> None:
        super().__init__(job)
        self.extra = extra
        self.env = env or {}

    @classmethod
    def version(cls) -> str:
        if not binary().exists():
            raise EngineError(f"no {binary()}: build it with `cargo build --release -p millstream`")
        return command("--version").split()[-1]

    def start(self, timeout: float = 60) -> None:
        job = self.job
        source = str(job.torrent or job.magnet)
        words = ["seed", source, "--data"] if job.seed else ["download", source, "-o"]
        words += [str(job.folder), "--json", "--listen", f"{self.host}:{self.port}", *self.extra]
        words += self._reach()
        if self.host != HOST:  # its calls come from there too, or all nodes of the network would look like one host
            words += ["--bind", self.host]
        if not job.seed and job.stay:
            words.append("--seed")
        for host, port in job.peers:
            words += ["--peer", f"{host}:{port}"]
        if job.upload_max:
            words += ["--max-upload", str(job.upload_max)]
        if job.download_max and not job.seed:
            words += ["--max-download", str(job.download_max)]
        # Resume data of its own, so that no other run's is found.
        state = {"XDG_STATE_HOME": str(job.work / "state"), "HOME": str(job.work), **self.env}
        child = self._launch([str(binary()), *words], state)
        child.wait_event("listening", timeout)
        if job.seed:
            child.wait_event("complete", timeout)

    def _reach(self) -> list[str]:
        job, reach = self.job, self.job.reach
        words = ["--utp", reach.utp, "--encryption", reach.encryption, "--port-mapping", "off"]
        if not job.tracker and (reach.dht, reach.pex, reach.lsd, reach.web_seeds) == (None, False, False, False):
            return [*words, "--only-peers"]
        words += [flag for on, flag in ((reach.pex, "--no-pex"), (reach.lsd, "--no-lsd")) if not on]
        words += [] if reach.web_seeds else ["--no-web-seeds"]
        if reach.dht is None:
            return [*words, "--no-dht"]
        return words + [word for host, port in reach.dht for word in ("--dht-bootstrap", f"{host}:{port}")]

    def wait_complete(self, timeout: float) -> float:
        assert self.child is not None, "not started"
        self.child.wait_event("complete", timeout)
        return self.child.at["complete"]

    def uploaded(self) -> int:
        """Payload bytes that it sent, by its last word: this ends it."""
        self.stop()
        assert self.child is not None, "not started"
        return int(self.child.wait_event("stopped", 1)["uploaded"])
