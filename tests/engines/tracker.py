"""A plain HTTP tracker (BEP 3, 23) for peers that find each other in no other way. It remembers who announced."""

from __future__ import annotations

import contextlib
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .node import HOST


class Tracker:
    """Serves at `url` until closed. `seen` maps a peer id to the address it gave."""

    def __init__(self, host: str = HOST) -> None:
        seen: dict[bytes, tuple[str, int]] = {}

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802, the library's name
                if not self.path.startswith("/announce"):  # a scrape
                    return self.send_error(404)
                query = dict(
                    urllib.parse.parse_qsl(
                        urllib.parse.urlsplit(self.path).query, encoding="latin-1", keep_blank_values=True
                    )
                )
                peer_id = query["peer_id"].encode("latin-1")
                if query.get("event") != "stopped":
                    seen[peer_id] = (self.client_address[0], int(query["port"]))
                others = [address for other, address in seen.items() if other != peer_id]
                peers = b"".join(
                    bytes(map(int, address[0].split("."))) + address[1].to_bytes(2, "big") for address in others
                )
                body = b"d8:intervali5e12:min intervali1e5:peers%d:%se" % (len(peers), peers)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # who leaves does not wait for the answer
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.seen = seen
        self._server = ThreadingHTTPServer((host, 0), Answer)
        self.url = f"http://{host}:{self._server.server_address[1]}/announce"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
