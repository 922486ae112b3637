"""libtorrent (its Python wheel), one process a session, by `libtorrent_node.py`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .node import Address, Job, Node
from .process import EngineError


class Libtorrent(Node):
    """Options beyond the job: `settings` (libtorrent's own names), `close_redundant`."""

    name = "libtorrent"
    prefix = b"-LT"
    dials_late = True

    def __init__(self, job: Job, **options: Any) -> None:
        super().__init__(job)
        self.options = options

    @classmethod
    def version(cls) -> str:
        try:
            import libtorrent
        except ImportError as error:
            raise EngineError(f"libtorrent: {error}") from None
        return str(libtorrent.__version__)

    def start(self, timeout: float = 60) -> None:
        job = self.job
        config = {
            "host": self.host,
            "port": self.port,
            "folder": str(job.folder),
            "torrent": str(job.torrent) if job.torrent else None,
            "magnet": job.magnet,
            "tracker": job.tracker,
            "upload_max": job.upload_max,
            "download_max": job.download_max,
            "reach": vars(job.reach),
            **self.options,
        }
        script = Path(__file__).with_name("libtorrent_node.py")
        child = self._launch([sys.executable, str(script), json.dumps(config)])
        child.wait_event("listening", timeout)
        if job.torrent:
            child.wait_event("checked", timeout)
        if job.seed:
            child.wait_event("complete", timeout)
        for peer in job.peers:
            self.dial(peer)

    def dial(self, address: Address) -> None:
        assert self.child is not None, "not started"
        self.child.say({"dial": address})

    def wait_complete(self, timeout: float) -> float:
        assert self.child is not None, "not started"
        self.child.wait_event("complete", timeout)
        return self.child.at["complete"]

    def settle(self, timeout: float) -> None:
        assert self.child is not None, "not started"
        self.child.wait_event("settled", timeout)

    def stop(self) -> None:
        """In good order: it says `complete` before all is written."""
        if self.child is not None:
            self.child.end_input(10)
        super().stop()

    def links(self) -> list[str]:
        """What it has said of each link that was opened so far, in and out: `(uTP)` or `(TCP)` at its end."""
        assert self.child is not None, "not started"
        self.child.say({"links": True})
        return list(self.child.next_event("links", 10)["links"])

    def stats(self) -> dict[str, Any]:
        """Payload bytes both ways, and who is connected."""
        assert self.child is not None, "not started"
        self.child.say({"stats": True})
        return self.child.next_event("stats", 10)
