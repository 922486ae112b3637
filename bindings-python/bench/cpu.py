"""CPU seconds a GiB of the native driver beside the binary's, each leeching by turns from a binary that seeds.

    python bench/cpu.py BINARY [MIB] [ROUNDS]
"""

import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

LEECH = """
import asyncio, sys
from millstream._native import NativeBackend
from millstream._values import Completed
async def main(torrent, folder, peer):
    host, port = peer.rsplit(":", 1)
    done = asyncio.Event()
    def hear(news):
        if any(isinstance(event, Completed) for event in news): done.set()
    backend = NativeBackend(listen=["127.0.0.1:0"], keep_resume=False, dht=False, lsd=False, pex=False,
        port_mapping=False)
    await backend.start(hear)
    with open(torrent, "rb") as file:
        await backend.add(file.read(), folder, only_peers=True, peers=[(host, int(port))])
    await done.wait()
    await backend.close(5)
asyncio.run(main(*sys.argv[1:]))
"""


def spent(command: list[str]) -> float:
    """CPU seconds of a child and its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(binary: str, mib: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        subprocess.run(["dd", "if=/dev/urandom", f"of={place}/x", "bs=1M", f"count={mib}", "status=none"], check=True)
        torrent = str(place / "x.torrent")
        subprocess.run([binary, "create", f"{place}/x", "-o", torrent], check=True, stdout=subprocess.DEVNULL)
        network = ["--only-peers", "--listen", "127.0.0.1:0"]
        seed = [binary, "seed", torrent, "--data", name, "--json", *network]
        with subprocess.Popen(seed, stdout=subprocess.PIPE, text=True) as seeding:
            assert seeding.stdout is not None
            peer = ""
            for line in seeding.stdout:
                if (listening := re.search(r"127\.0\.0\.1:\d+", line)) is not None:
                    peer = listening[0]
                if "seeding" in line or "complete" in line:
                    break
            by: dict[str, list[float]] = {"binary": [], "native": []}
            for turn in range(rounds):
                for who, costs in by.items():
                    folder = str(place / f"{who}{turn}")
                    command = (
                        [binary, "download", torrent, "-o", folder, "--peer", peer, "--json", *network]
                        if who == "binary"
                        else [sys.executable, "-c", LEECH, torrent, folder, peer]
                    )
                    costs.append(spent(command) * 1024 / mib)
                    subprocess.run(["rm", "-r", folder], check=True)
            seeding.terminate()
        for who, costs in by.items():
            print(who, "CPU s/GiB:", " ".join(f"{cost:.2f}" for cost in costs), "least", f"{min(costs):.2f}")


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1024, int(sys.argv[3]) if len(sys.argv) > 3 else 3)
