"""Newer torrents (BEP 39) that are told of: those that their originator signed (BEP 35) are saved, if that is wanted.
Looking for them is the session's.
"""

from __future__ import annotations

import os
from typing import Any

from .._millstream import Metainfo
from .._session import Session
from ..errors import MetainfoError
from .files import save
from .numbers import show_error, show_path

OFF = "off"


def folder(asked: str | None, session: Session) -> str | None:
    """Where they are saved in this session; `None` if there is no such place."""
    if asked is not None:
        return None if asked == OFF else asked
    beside = session.state_folder
    return None if beside is None else os.fspath(beside / "updates")


def take(torrent: bytes, signed: bool, into: str | None) -> tuple[str, dict[str, Any], str | None]:
    """Saves a newer torrent that is vouched for: what to tell of it in words and in values, and what to warn of."""
    v1 = v2 = saved = warning = None
    try:
        newer = Metainfo.parse(torrent)
        v1 = newer.info_hash_v1.hex() if newer.info_hash_v1 else None
        v2 = newer.info_hash_v2.hex() if newer.info_hash_v2 else None
    except MetainfoError:
        pass
    # not its own name: that is a stranger's word until somebody looks at it
    digest = v1 or v2 or ""
    if digest and signed and into is not None:
        path = os.path.join(into, f"{digest}.torrent")
        saved = show_path(path)
        try:
            os.makedirs(into, exist_ok=True)
            save(path, torrent)
        except OSError as error:
            warning = f"the newer torrent can't be saved as {saved}: {show_error(error)}"
            saved = None
    by = "signed by its originator" if signed else "by nobody that is known"
    words = f"there is a newer torrent, {by}: {digest}" + (f", saved as {saved}" if saved else "")
    return words, {"signed": signed, "newer_v1": v1, "newer_v2": v2, "saved": saved}, warning
