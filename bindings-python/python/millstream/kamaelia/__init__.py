"""Kamaelia's torrent components, alive again, and more of their kind: programs built of components that pass messages.

    import millstream.kamaelia.install                    # programs written for Kamaelia's own modules run as they are
    from millstream.kamaelia.TorrentPatron import TorrentPatron     # or by themselves

`TorrentClient`, `TorrentPatron`, `TorrentService`, `TorrentMaker` and `TorrentIPC` are modules, as in Kamaelia; `ipc`
has messages beyond Kamaelia's. Components need Axon (`pip install millstream[kamaelia]`). Nothing in it is changed by
an import: `repair()` is there for that.
"""

from __future__ import annotations

from ._engine import Engine, EngineTorrent, configure
from ._repair import ComponentFailed, repair

__all__ = ["ComponentFailed", "Engine", "EngineTorrent", "configure", "repair"]
