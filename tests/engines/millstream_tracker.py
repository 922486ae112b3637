"""`millstream tracker` as a process: where it is reached, and what it says of itself."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from .millstream import binary
from .node import HOST
from .process import Child


class MillstreamTracker:
    """Serves HTTP and UDP on `host` until closed."""

    def __init__(self, work: Path, host: str = HOST, workers: int = 2) -> None:
        at = f"{host}:0"
        words = ["--http", at, "--udp", at, "--stats", at, "--workers", str(workers), "--json"]
        self._child = Child([str(binary()), "tracker", *words], work / "millstream-tracker.log")
        told = self._child.wait_event("listening", 20)
        self._stats = told["stats"][0]
        self.urls = {scheme: f"{scheme}://{told[scheme][0]}/announce" for scheme in ("http", "udp")}

    def statistics(self) -> dict[str, Any]:
        """What it has heard."""
        with urllib.request.urlopen(f"http://{self._stats}/stats.json", timeout=10) as answer:
            return json.load(answer)

    def __enter__(self) -> MillstreamTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()
