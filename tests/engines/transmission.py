"""Transmission's daemon (Debian's package), told by its settings file and its RPC. Others must dial it: it has no way
to be given a peer, and it takes no 127/8 address from a tracker."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from typing import Any

from .node import Job, Node, free_port, need, wait_listening
from .process import EngineError, poll_until


class Transmission(Node):
    name = "transmission"
    prefix = b"-TR"

    def __init__(self, job: Job, poll_s: float = 0.05) -> None:
        super().__init__(job)
        self.rpc_port = free_port()
        self.poll_s = poll_s
        self.token = ""

    @classmethod
    def version(cls) -> str:
        told = subprocess.run([need("transmission-daemon"), "--version"], capture_output=True, text=True, check=True)
        return (told.stderr or told.stdout).split()[1]

    def start(self, timeout: float = 60) -> None:
        job = self.job
        state = job.work / "transmission"
        state.mkdir(parents=True, exist_ok=True)
        (state / "settings.json").write_text(json.dumps(self._settings()))
        if job.reach.dht:
            lines = [f"{host} {port}\n" for host, port in job.reach.dht]
            (state / "dht.bootstrap").write_text("".join(lines))
        argv = [need("transmission-daemon"), "--foreground", "--config-dir", str(state)]
        child = self._launch(argv)
        wait_listening(("127.0.0.1", self.rpc_port), timeout, child)
        add: dict[str, Any] = {"download-dir": str(job.folder), "paused": False}
        if job.torrent:
            add["metainfo"] = base64.b64encode(job.torrent.read_bytes()).decode()
        else:
            add["filename"] = job.magnet
        answer = self.rpc("torrent-add", add)
        if answer.get("result") != "success":
            raise EngineError(f"transmission refuses the torrent: {answer}")
        if job.seed:
            self.wait_complete(timeout)

    def peers(self) -> list[dict[str, Any]]:
        """Whom it is connected to now, in its own words."""
        return list(self.rpc("torrent-get", {"fields": ["peers"]})["arguments"]["torrents"][0]["peers"])

    def wait_complete(self, timeout: float) -> float:
        poll_until(lambda: self._seeding(), timeout, self.poll_s, "transmission complete")
        return time.monotonic()

    def rpc(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """One RPC call; the first one is refused with the token to use."""
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        for _ in range(2):
            head = {"X-Transmission-Session-Id": self.token, "Content-Type": "application/json"}
            request = urllib.request.Request(f"http://127.0.0.1:{self.rpc_port}/transmission/rpc", body, head)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return dict(json.load(answer))
            except urllib.error.HTTPError as error:
                if error.code != 409:
                    raise
                self.token = error.headers["X-Transmission-Session-Id"]
        raise EngineError("transmission's RPC refuses its own token")

    def _seeding(self) -> bool:
        answer = self.rpc("torrent-get", {"fields": ["percentDone", "status", "error", "errorString"]})
        torrent = answer["arguments"]["torrents"][0]
        if torrent["error"]:
            raise EngineError(f"transmission: {torrent['errorString']}")
        return bool(torrent["percentDone"] == 1 and torrent["status"] == 6)

    def _settings(self) -> dict[str, Any]:
        reach = self.job.reach
        return {
            "bind-address-ipv4": self.host,
            "peer-port": self.port,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": self.rpc_port,
            "rpc-whitelist-enabled": False,
            "rpc-authentication-required": False,
            "dht-enabled": reach.dht is not None,
            "lpd-enabled": reach.lsd,
            "pex-enabled": reach.pex,
            "utp-enabled": reach.utp != "off",
            "port-forwarding-enabled": False,
            "encryption": ("off", "prefer", "require").index(reach.encryption),
            "preallocation": 0,
            "rename-partial-files": False,
            "ratio-limit-enabled": False,
            "speed-limit-up-enabled": bool(self.job.upload_max),
            "speed-limit-up": self.job.upload_max // 1000,
            "download-dir": str(self.job.folder),
        }
