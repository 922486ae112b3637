"""One aiotorrent download as a process: it gets the first file of a torrent and says how that ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from aiotorrent import Torrent


async def main(torrent_file: str, folder: str) -> None:
    """Gets the first file, into a folder of the torrent's name."""
    os.chdir(folder)
    failure = ""
    torrent = Torrent(torrent_file)
    try:
        await torrent.init()
        if not any(peer.has_handshaked for peer in torrent.peers):
            failure = "no peer shook hands"
        else:
            await torrent.download(torrent.files[0])
    except Exception as error:  # whatever its way to fail is, it is what is reported
        failure = f"{type(error).__name__}: {error}"
    written = torrent.files[0].get_bytes_written()
    if not failure and written != torrent.files[0].size:
        failure = f"{written} of {torrent.files[0].size} bytes written"
    print(json.dumps({"event": "ended", "failure": failure, "written": written}), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)d %(message)s")
    given = json.loads(sys.argv[1])
    asyncio.run(main(str(Path(given["torrent"]).absolute()), given["folder"]))
    sys.stdin.read()  # what it used is read while it is there
