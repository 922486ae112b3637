"""Settings of a session: its own here, the engine's handed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .._values import Address


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What the session itself is set to; times in seconds."""

    listen: tuple[Address, ...] = (("0.0.0.0", 6881), ("::", 6881))
    """Where to listen, for links and datagrams alike. Port 0 lets the system choose one, the same for all."""
    listen_tries_max: int = 20
    """So many following ports are tried where one is taken."""
    state_folder: str | os.PathLike[str] | None = None
    """Where resume data is kept. `None` is the user's own place for state."""
    keep_resume: bool = True
    """Whether resume data is kept and used at all."""
    open_files_max: int = 128
    """Files open at once for torrents."""
    pool_threads: int = 0
    """Threads for disk and digests; 0 is one per core."""
    torrent_file_bytes_max: int = 64 << 20
    """Longer torrent files aren't fetched."""
    fetch_timeout: float = 60.0
    """How long fetching a torrent file may take."""
    seed: bytes | int | None = None
    """The engine's chance, as secret as a key; only tests set it."""


def read(settings: Mapping[str, Any]) -> tuple[SessionSettings, dict[str, Any]]:
    """What is the session's, and what is the engine's."""
    names = {field.name for field in fields(SessionSettings)}
    ours = {name: value for name, value in settings.items() if name in names}
    if "listen" in ours:
        ours["listen"] = tuple((str(host), int(port)) for host, port in ours["listen"])
    return SessionSettings(**ours), {name: value for name, value in settings.items() if name not in names}
