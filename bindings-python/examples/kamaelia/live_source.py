"""A live stream for many: `SOURCE | python live_source.py TRACKER PORT [CHUNK]`. It cuts the stream into chunks of so
many bytes, each a torrent as it completes, and tells of them at http://HOST:PORT/. When the stream has ended it seeds
on.

    Input -- bytes --> StreamPublisher -- TIPCChunkPublished --> Screen
    StreamPublisher -- feed --> FeedServer
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from Axon.Component import component
from Axon.Ipc import producerFinished
from Kamaelia.Chassis.Graphline import Graphline
from stage import Input, Screen, arguments, is_local

from millstream.kamaelia.StreamPublisher import StreamPublisher


class FeedServer(component):
    """Gives the latest message that came to all that ask over HTTP."""

    def __init__(self, port: int) -> None:
        super().__init__()
        latest = self.latest = [b'{"millstream": 1, "name": "", "ended": false, "chunks": []}']

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = latest[0]
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1" if is_local() else "", port), Handler)

    def main(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        print(f"feed at http://127.0.0.1:{self.server.server_port}/", flush=True)
        while not self.dataReady("control"):
            while self.dataReady("inbox"):
                self.latest[0] = self.recv("inbox")
            self.pause()
            yield 1
        self.server.shutdown()


tracker, port, *chunk = arguments(__doc__, 2)
Graphline(
    INPUT=Input(producerFinished()),
    PUBLISHER=StreamPublisher(int(chunk[0]) if chunk else 4 << 20, tracker=tracker),
    FEED=FeedServer(int(port)),
    SCREEN=Screen(),
    linkages={
        ("INPUT", "outbox"): ("PUBLISHER", "inbox"),
        ("INPUT", "signal"): ("PUBLISHER", "control"),
        ("PUBLISHER", "outbox"): ("SCREEN", "inbox"),
        ("PUBLISHER", "feed"): ("FEED", "inbox"),
        ("PUBLISHER", "signal"): ("SCREEN", "control"),
    },
).run()
