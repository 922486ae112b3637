"""aria2 (Debian's package), told by its command line and asked by its RPC. Others must dial it, or a tracker must."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from typing import Any

from .node import Job, Node, free_port, need, wait_listening
from .process import poll_until


class Aria2(Node):
    name = "aria2"
    prefix = b"A2-"

    def __init__(self, job: Job, poll_s: float = 0.05) -> None:
        super().__init__(job)
        self.rpc_port = free_port()
        self.poll_s = poll_s

    @classmethod
    def version(cls) -> str:
        told = subprocess.run([need("aria2c"), "--version"], capture_output=True, text=True, check=True)
        return told.stdout.split()[2]

    def start(self, timeout: float = 60) -> None:
        job = self.job
        reach = job.reach
        options = {
            "enable-rpc": "true",
            "rpc-listen-port": self.rpc_port,
            "listen-port": self.port,
            "interface": self.host,
            "dir": job.folder,
            "enable-dht": _word(reach.dht is not None),
            "dht-listen-port": self.port,
            "bt-enable-lpd": _word(reach.lsd),
            "bt-lpd-interface": self.host,  # or it announces from the first address it finds
            "enable-peer-exchange": _word(reach.pex),
            "bt-require-crypto": _word(reach.encryption == "require"),
            "bt-min-crypto-level": "arc4" if reach.encryption == "require" else "plain",
            "file-allocation": "none",
            "check-integrity": "true",
            "allow-overwrite": "true",
            "seed-ratio": "0.0",
            "follow-torrent": "mem",
            "console-log-level": "notice",
            "summary-interval": "0",
            "show-console-readout": "false",
            "disable-ipv6": "true",
            "max-overall-upload-limit": job.upload_max,
            "max-overall-download-limit": job.download_max,
        }
        if not job.tracker:
            options["bt-exclude-tracker"] = "*"
        for host, port in (reach.dht or ())[:1]:
            options["dht-entry-point"] = f"{host}:{port}"
            options["dht-file-path"] = job.work / "dht.dat"
        argv = [need("aria2c"), "--no-conf", *(f"--{name}={value}" for name, value in options.items())]
        child = self._launch([*argv, str(job.torrent or job.magnet)])
        wait_listening(("127.0.0.1", self.rpc_port), timeout, child)
        if job.seed:
            self.wait_complete(timeout)
        wait_listening(self.address, timeout, child)

    def wait_complete(self, timeout: float) -> float:
        poll_until(lambda: self._complete(), timeout, self.poll_s, "aria2 complete")
        return time.monotonic()

    def rpc(self, method: str, *params: Any) -> Any:
        """One RPC call."""
        body = json.dumps({"jsonrpc": "2.0", "id": "1", "method": f"aria2.{method}", "params": params}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.rpc_port}/jsonrpc", body)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["result"]

    def _complete(self) -> bool:
        keys = ["completedLength", "totalLength", "seeder", "verifyIntegrityPending", "verifiedLength"]
        active = self.rpc("tellActive", keys)
        if not active:
            return False
        one = active[0]
        busy = "verifiedLength" in one or "verifyIntegrityPending" in one
        return not busy and one.get("seeder") == "true" and one["completedLength"] == one["totalLength"]


def _word(on: bool) -> str:
    return "true" if on else "false"
