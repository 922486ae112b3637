"""The floor programs (`tests/examples/floor.rs`) as nodes: a link without a protocol. A floor meets only a floor."""

from __future__ import annotations

import os
from pathlib import Path

from .millstream import ROOT
from .node import Job, Node
from .process import EngineError


def example(name: str) -> Path:
    """The release build of one of the tests' examples."""
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples" / name
    if not built.exists():
        raise EngineError(f"no {built}: build it with `cargo build --release -p millstream-tests --examples`")
    return built


class Floor(Node):
    """`how` is read or sendfile for a seed; receive, write or hash for a leech. One file, whose name is `data`."""

    takes_peers = True

    def __init__(self, job: Job, how: str, length: int, piece_length: int) -> None:
        super().__init__(job)
        self.name = f"floor ({how})"
        self.how = how
        self.length = length
        self.piece_length = piece_length

    @classmethod
    def version(cls) -> str:
        example("floor")
        return "this tree"

    def start(self, timeout: float = 60) -> None:
        file = str(self.job.folder / "data")
        if self.job.seed:
            child = self._launch([str(example("floor")), "seed", f"{self.host}:{self.port}", file, self.how])
            child.wait_event("listening", timeout)
        else:
            (host, port), *_ = self.job.peers
            sizes = [str(self.length), str(self.piece_length)]
            self._launch([str(example("floor")), "leech", f"{host}:{port}", file, *sizes, self.how])

    def wait_complete(self, timeout: float) -> float:
        assert self.child is not None, "not started"
        self.child.wait_event("complete", timeout)
        return self.child.at["complete"]
