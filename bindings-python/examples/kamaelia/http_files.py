"""Fetches files over HTTP, as many at once as the network bears: `python http_files.py FOLDER URL...`.

Nothing here is BitTorrent. The ConnectionManager opens connections, the RandomAccessFileManager keeps what comes;
HTTP is the fifty lines between them. FTP would be another fifty.

    Fetcher -- Connect, Send --> ConnectionManager -- Opened, Received, Closed --> Fetcher
    Fetcher -- Write --> RandomAccessFileManager -- Done --> Fetcher
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from Axon.Component import component
from Axon.Ipc import producerFinished
from Kamaelia.Chassis.Graphline import Graphline

from millstream.kamaelia import ConnectionManager as connections, RandomAccessFileManager as files


class Fetch:
    """A file on its way: what came of its head, and how much of its body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.parts = urlsplit(url)
        self.name = self.parts.path.rpartition("/")[2] or "index.html"
        self.head = b""
        self.body = False
        self.have = 0
        self.length: int | None = None
        self.error: str | None = None
        self.writing = 0
        self.closed = False

    def request(self) -> bytes:
        path = (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")
        return f"GET {path} HTTP/1.0\r\nHost: {self.parts.netloc}\r\n\r\n".encode()

    def received(self, data: bytes) -> bytes:
        """What of this belongs to the body."""
        if self.body:
            return data
        self.head += data
        head, end, rest = self.head.partition(b"\r\n\r\n")
        if not end:
            return b""
        self.body = True
        status, *fields = head.decode("latin-1").split("\r\n")
        if status.split()[1:2] != ["200"]:
            self.error = status
        for field in fields:
            name, _, value = field.partition(":")
            if name.lower() == "content-length" and value.strip().isdigit():
                self.length = int(value)
        return rest

    def verdict(self) -> str:
        """How it went."""
        if self.error is None and (not self.body or self.length not in (None, self.have)):
            self.error = "it ended too early"
        return f"{self.url}: {self.error or f'{self.have} bytes'}"


class Fetcher(component):
    """Speaks HTTP: its token for a connection and for a file is the URL."""

    Inboxes = {"inbox": "from the ConnectionManager", "files": "from the RandomAccessFileManager", "control": "unused"}
    Outboxes = {
        "outbox": "to the ConnectionManager",
        "files": "to the RandomAccessFileManager",
        "signal": "ends the ConnectionManager",
        "files-signal": "ends the RandomAccessFileManager",
    }

    def __init__(self, urls: list[str]) -> None:
        super().__init__()
        self.fetches = {url: Fetch(url) for url in urls}

    def main(self):
        for url, fetch in self.fetches.items():
            self.send(connections.Connect(url, (fetch.parts.hostname or "", fetch.parts.port or 80)))
            self.send(connections.Send(url, fetch.request()))
        left = set(self.fetches)
        while left:
            while self.dataReady("inbox"):
                self.on_connection(self.recv("inbox"))
            while self.dataReady("files"):
                done = self.recv("files")
                fetch = self.fetches[done.token]
                fetch.writing -= 1
                fetch.error = fetch.error or (done.error and str(done.error))
            for url in [url for url in left if self.fetches[url].closed and not self.fetches[url].writing]:
                left.remove(url)
                print(self.fetches[url].verdict(), flush=True)
            if left and not self.anyReady():
                self.pause()
            yield 1
        self.send(producerFinished(self), "signal")
        self.send(producerFinished(self), "files-signal")
        yield 1

    def on_connection(self, message: object) -> None:
        match message:
            case connections.Received(url, data):
                fetch = self.fetches[url]
                body = fetch.received(data)
                if body and fetch.error is None:
                    self.send(files.Write(url, fetch.name, fetch.have, body), "files")
                    fetch.writing += 1
                    fetch.have += len(body)
            case connections.Closed(url, error) | connections.Failed(url, error):
                fetch = self.fetches[url]
                fetch.error = fetch.error or (error and str(error))
                fetch.closed = True


def main(folder: str, *urls: str) -> bool:
    """Whether all were fetched."""
    fetcher = Fetcher(list(urls))
    Graphline(
        FETCH=fetcher,
        CONNECT=connections.ConnectionManager(pool={"links_max": 8}),
        FILES=files.RandomAccessFileManager(folder),
        linkages={
            ("FETCH", "outbox"): ("CONNECT", "inbox"),
            ("CONNECT", "outbox"): ("FETCH", "inbox"),
            ("FETCH", "files"): ("FILES", "inbox"),
            ("FILES", "outbox"): ("FETCH", "files"),
            ("FETCH", "signal"): ("CONNECT", "control"),
            ("FETCH", "files-signal"): ("FILES", "control"),
        },
    ).run()
    return not any(fetch.error for fetch in fetcher.fetches.values())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(0 if main(*sys.argv[1:]) else 1)
