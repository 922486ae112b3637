"""A libtorrent session that seeds every torrent of a folder, for `idle.py`; says `ready` when all are checked."""

from __future__ import annotations

import sys
from pathlib import Path

import libtorrent as lt

from engines.libtorrent_node import say, settings


def main() -> None:
    torrents, data, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    session = lt.session(settings({"host": "127.0.0.1", "port": port, "tracker": False}))
    session.apply_settings({"alert_queue_size": 1_000_000})
    waiting = 0
    for torrent in torrents.glob("*.torrent"):
        params = lt.load_torrent_file(str(torrent))
        params.save_path = data
        params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        session.async_add_torrent(params)
        waiting += 1
    while waiting:
        session.wait_for_alert(1000)
        waiting -= sum(isinstance(alert, lt.torrent_finished_alert) for alert in session.pop_alerts())
    say("ready")
    sys.stdin.read()


if __name__ == "__main__":
    main()
