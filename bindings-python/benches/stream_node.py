"""One side of a live stream as a process. Its source sends records of a moment each and serves the feed; its sink says
how late they are."""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore", category=DeprecationWarning)

from Axon.Component import component  # type: ignore[import-untyped]  # noqa: E402
from Axon.Ipc import producerFinished, shutdown  # type: ignore[import-untyped]  # noqa: E402
from Axon.Scheduler import scheduler  # type: ignore[import-untyped]  # noqa: E402
from Axon.ThreadedComponent import threadedcomponent  # type: ignore[import-untyped]  # noqa: E402

from millstream.kamaelia.StreamPublisher import StreamPublisher  # noqa: E402
from millstream.kamaelia.StreamSubscriber import StreamSubscriber  # noqa: E402

RECORD = struct.Struct("<dQ1008x")
"""A moment, and which record it is: 1 KiB."""

SETTINGS = {"listen": [("127.0.0.1", 0)], "dht": False, "lsd": False, "port_mapping": False, "keep_resume": False}


def tell(**event: Any) -> None:
    """Says something to who started this."""
    print(json.dumps(event), flush=True)


class Source(threadedcomponent):  # type: ignore[misc]
    """Sends records as time passes, once it is told to begin."""

    def __init__(self, rate: int, seconds: float) -> None:
        super().__init__()
        self.rate, self.seconds = rate, seconds

    def main(self) -> None:
        """In a thread of its own."""
        sys.stdin.readline()
        began, count = time.monotonic(), 0
        while (now := time.monotonic()) < began + self.seconds:
            due = int((now - began) * self.rate / RECORD.size)
            while count < due:
                self.send(RECORD.pack(now, count))
                count += 1
            time.sleep(0.005)
        self.send(producerFinished(), "signal")


class Feed(component):  # type: ignore[misc]
    """Serves the latest feed."""

    def __init__(self) -> None:
        super().__init__()
        feed = self.feed = [b'{"millstream": 1, "name": "", "ended": false, "chunks": []}']

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = feed[0]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def main(self) -> Iterator[int]:
        """A generator, as Axon's components are."""
        tell(event="serving", url=f"http://127.0.0.1:{self.server.server_port}/")
        while True:
            while self.dataReady("inbox"):
                self.feed[0] = self.recv("inbox")
            self.pause()
            yield 1


class Sink(component):  # type: ignore[misc]
    """Reads records, until the stream has ended."""

    Inboxes = {"inbox": "the stream", "status": "what went wrong", "control": "its end"}

    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.chunk = chunk // RECORD.size

    def main(self) -> Iterator[int]:
        """A generator, as Axon's components are."""
        rest, lost = b"", []
        delays: list[float] = []
        tell(event="ready")
        while not (self.dataReady("control") and not self.anyReady()):
            while self.dataReady("inbox"):
                data, now = rest + self.recv("inbox"), time.monotonic()
                whole = len(data) // RECORD.size * RECORD.size
                rest = data[whole:]
                for moment, number in RECORD.iter_unpack(data[:whole]):
                    if number != len(delays):
                        lost.append(f"record {number} for {len(delays)}")
                    delays.append(now - moment)
            while self.dataReady("status"):
                lost.append(str(self.recv("status")))
            if self.dataReady("control"):
                break
            self.pause()
            yield 1
        tell(event="ended", delays=delays, last=delays[self.chunk - 1 :: self.chunk], lost=lost)
        self.send(shutdown(), "signal")


def run_source(given: dict[str, Any]) -> list[Any]:
    """The components of the source, wired."""
    source, feed = Source(given["rate"], given["seconds"]), Feed()
    publisher = StreamPublisher(
        given["chunk"], folder=given["folder"], tracker=given["tracker"], history=1000, settings=SETTINGS
    )
    publisher.link((source, "outbox"), (publisher, "inbox"))
    publisher.link((source, "signal"), (publisher, "control"))
    publisher.link((publisher, "feed"), (feed, "inbox"))
    return [source, feed, publisher]


def run_sink(given: dict[str, Any]) -> list[Any]:
    """The components of the sink, wired."""
    subscriber = StreamSubscriber(given["url"], interval=given["interval"], folder=given["folder"], settings=SETTINGS)
    sink = Sink(given["chunk"])
    for outbox, inbox in (("outbox", "inbox"), ("status", "status"), ("signal", "control")):
        subscriber.link((subscriber, outbox), (sink, inbox))
    return [subscriber, sink]


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    os.chdir(Path(given["folder"]))
    sides: dict[str, Callable[[dict[str, Any]], list[Any]]] = {"source": run_source, "sink": run_sink}
    for each in sides[given["side"]](given):
        each.activate()
    scheduler.run.runThreads()
