"""Two parts of a program that download without knowing of each other: `python two_patrons.py A.torrent B.torrent`.

Each has a TorrentPatron. The first one makes the TorrentService, which has one TorrentClient for both; each hears of
its own torrent only. When both are complete they leave, and the service and the client with the last of them.

    DataSource -- .torrent --> TorrentPatron -- what happens --> Watch     (twice)
"""

from __future__ import annotations

from pathlib import Path

from Axon.Component import component
from Axon.Ipc import shutdown
from Kamaelia.Chassis.Graphline import Graphline
from Kamaelia.Util.DataSource import DataSource
from stage import arguments

from millstream.kamaelia.ipc import TIPCTorrentComplete, TIPCTorrentError
from millstream.kamaelia.TorrentIPC import TIPCTorrentStartFail
from millstream.kamaelia.TorrentPatron import TorrentPatron


class Watch(component):
    """Tells what both patrons say, until both are done."""

    Inboxes = {"first": "from a patron", "second": "from the other", "inbox": "unused", "control": "unused"}

    def main(self):
        waiting = {"first", "second"}
        while waiting:
            for box in ("first", "second"):
                while self.dataReady(box):
                    message = self.recv(box)
                    print(f"{box}: {message}", flush=True)
                    if isinstance(message, TIPCTorrentComplete | TIPCTorrentError | TIPCTorrentStartFail):
                        waiting.discard(box)
            if waiting:
                self.pause()
            yield 1
        self.send(shutdown(), "signal")
        self.send(shutdown(), "outbox")
        yield 1


one, other = arguments(__doc__, 2)[:2]
Graphline(
    ONE=DataSource([Path(one).read_bytes()]),
    OTHER=DataSource([Path(other).read_bytes()]),
    FIRST=TorrentPatron(extended=True, tickInterval=1),
    SECOND=TorrentPatron(extended=True, tickInterval=1),
    WATCH=Watch(),
    linkages={
        ("ONE", "outbox"): ("FIRST", "inbox"),
        ("OTHER", "outbox"): ("SECOND", "inbox"),
        ("FIRST", "outbox"): ("WATCH", "first"),
        ("SECOND", "outbox"): ("WATCH", "second"),
        ("WATCH", "signal"): ("FIRST", "control"),
        ("WATCH", "outbox"): ("SECOND", "control"),
    },
).run()
