"""One libtorrent session as a process: settings in the argument, commands in and events out as JSON lines.

Everything but plain TCP is off unless `reach` says otherwise, so that what is measured is the transfer. Commands: `dial`, `links`, `stats`. It ends with its
standard input.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

import libtorrent as lt


CATEGORIES = lt.alert.category_t


def say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def settings(config: dict[str, Any]) -> dict[str, Any]:
    reach = config["reach"]
    tcp, utp = reach["utp"] != "only", reach["utp"] != "off"
    policy = {"off": 2, "prefer": 1, "require": 0}[reach["encryption"]]
    chosen = {
        "listen_interfaces": f"{config['host']}:{config['port']}",
        "enable_dht": reach["dht"] is not None,
        "dht_bootstrap_nodes": ",".join(f"{host}:{port}" for host, port in reach["dht"] or ()),
        # all nodes of a test share one address, or one network
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_ignore_dark_internet": False,
        "dht_prefer_verified_node_ids": False,
        "dht_enforce_node_id": False,
        # who asks before the seed has announced asks again soon, not in a quarter of an hour
        "dht_announce_interval": 10,
        "dht_block_ratelimit": 1000,
        "enable_lsd": reach["lsd"],
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_tcp": tcp,
        "enable_incoming_tcp": tcp,
        "enable_outgoing_utp": utp,
        "enable_incoming_utp": utp,
        "out_enc_policy": policy,
        "in_enc_policy": policy,
        "allowed_enc_level": 2 if reach["encryption"] == "require" else 3,
        "allow_multiple_connections_per_ip": True,
        "close_redundant_connections": config.get("close_redundant", True),
        "active_limit": -1,
        "active_seeds": -1,
        "active_downloads": -1,
        "alert_mask": int(CATEGORIES.status_notification | CATEGORIES.error_notification | CATEGORIES.storage_notification | CATEGORIES.connect_notification),
    }
    if not config["tracker"]:
        chosen["active_tracker_limit"] = 0
    chosen.update(config.get("settings", {}))
    return chosen


def parameters(config: dict[str, Any]) -> lt.add_torrent_params:
    if config.get("magnet"):
        params = lt.parse_magnet_uri(config["magnet"])
    else:
        params = lt.load_torrent_file(config["torrent"])
    if not config["tracker"]:
        params.trackers = []
    params.save_path = config["folder"]
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if not config["reach"]["pex"]:
        params.flags |= lt.torrent_flags.disable_pex
    if not config["reach"]["web_seeds"]:
        params.url_seeds = []
    params.upload_limit = config.get("upload_max") or -1
    params.download_limit = config.get("download_max") or -1
    return params


class Session:
    """The session, its one torrent, and what was said of it already."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.wake, writer = os.pipe()
        os.set_blocking(writer, False)
        self.session = lt.session(settings(config))
        self.session.set_alert_fd(writer)
        self.handle = self.session.add_torrent(parameters(config))
        self.told: set[str] = set()
        self.links: list[str] = []

    def until(self, event: str) -> None:
        """Goes on until it has said so."""
        while event not in self.told:
            self.session.wait_for_alert(1000)
            for alert in self.session.pop_alerts():
                self.on_alert(alert)

    def run(self) -> None:
        """Obeys commands until they end."""
        rest = b""
        while True:
            ready, _, _ = select.select([0, self.wake], [], [])
            if self.wake in ready:
                os.read(self.wake, 4096)
                for alert in self.session.pop_alerts():
                    self.on_alert(alert)
            if 0 in ready:
                read = os.read(0, 65536)
                if not read:
                    return
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    self.on_command(json.loads(line))

    def on_alert(self, alert: lt.alert) -> None:
        match alert:
            case lt.torrent_checked_alert():
                self.once("checked")
            case lt.torrent_finished_alert():
                self.once("complete")
                self.handle.flush_cache()
            case lt.cache_flushed_alert() if "complete" in self.told:
                self.once("settled")
            case lt.metadata_received_alert():
                self.once("metadata")
            case lt.listen_succeeded_alert():
                self.once("listening")
            case lt.listen_failed_alert() | lt.torrent_error_alert() | lt.file_error_alert():
                say("error", message=alert.message())
            case lt.peer_connect_alert():
                self.links.append(alert.message())
            case lt.hash_failed_alert():
                say("hash_failed", message=alert.message())

    def on_command(self, command: dict[str, Any]) -> None:
        if "dial" in command:
            host, port = command["dial"]
            self.handle.connect_peer((host, port))
        elif "links" in command:
            say("links", links=self.links)
        elif "stats" in command:
            status = self.handle.status()
            say(
                "stats",
                uploaded=status.total_payload_upload,
                downloaded=status.total_payload_download,
                clients=[str(peer.client) for peer in self.handle.get_peer_info()],
                peer_ids=[peer.pid.to_bytes().hex() for peer in self.handle.get_peer_info()],
            )

    def once(self, event: str) -> None:
        if event not in self.told:
            self.told.add(event)
            say(event)


if __name__ == "__main__":
    Session(json.loads(sys.argv[1])).run()
