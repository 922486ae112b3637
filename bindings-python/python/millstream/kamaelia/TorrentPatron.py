"""TorrentPatron: a program's share of the one TorrentClient. In place of Kamaelia's, with its interface.

It owns the meeting with the TorrentService, which it makes if there is none, and nothing of torrents.

    inbox           commands for the TorrentClient, which says what is answered how
    torrent-inbox   what the TorrentService tells
    control         shutdown or shutdownMicroprocess end it; producerFinished doesn't, so that a finished source does
                    not stop the seeding. Other messages are logged.
    outbox          answers, and status updates of its own torrents
    torrent-outbox  to the TorrentService
    signal          producerFinished when it has ended; its torrents are closed then
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._axon import Component, producerFinished
from ._engine import Engine
from ._outgoing import MESSAGES_MAX, Outgoing
from ._signals import told
from .ipc import TIPCServiceAddExtended
from .TorrentIPC import TIPCServiceAdd, TIPCServicePassOn, TIPCServiceRemove
from .TorrentService import TorrentService

if TYPE_CHECKING:
    from ._axon import Box, Main

__all__ = ["TorrentPatron"]


class TorrentPatron(Component):
    """TorrentPatron() -> a component that has torrents downloaded and uploaded.

    `extended`: whether it is sent the messages of `millstream.kamaelia.ipc` too. The other keywords are
    TorrentClient's, and count if this patron is the one who makes the service.
    """

    Inboxes = {
        "inbox": "Commands for the TorrentClient",
        "torrent-inbox": "Received feedback from TorrentClient",
        "control": "Shut me down",
    }
    Outboxes = {
        "outbox": "Forward feedback from TorrentClient out of",
        "torrent-outbox": "Talk to TorrentClient with",
        "signal": "producerFinished sent when I've shutdown",
    }

    def __init__(
        self,
        *,
        extended: bool = False,
        tickInterval: float = 5,
        session: Engine | None = None,
        settings: Mapping[str, Any] | None = None,
        savefolder: str | Path = "./",
    ) -> None:
        super().__init__()
        self._extended = extended
        self._options: dict[str, Any] = {
            "tickInterval": tickInterval,
            "session": session,
            "settings": settings,
            "savefolder": savefolder,
        }
        self._out = Outgoing(self)
        self._service: Component | None = None
        self._me: Box = (self, "torrent-inbox")

    def main(self) -> Main:
        """A generator, as Axon's components are."""
        self._join()
        yield 1
        while told(self) != "now":
            self._copy()
            if not self.anyReady() or len(self._out) >= MESSAGES_MAX:
                self.pause()
            yield 1
        self._copy()
        self.send(TIPCServiceRemove(replyService=self._me), "torrent-outbox")
        self.send(producerFinished(self), "signal")
        yield 1

    def _copy(self) -> None:
        while len(self._out) < MESSAGES_MAX and self.dataReady("torrent-inbox"):
            self._out.put(self.recv("torrent-inbox"))
        self._out.flush()
        while self.dataReady("inbox"):
            if self._service is None or self._service._isStopped():
                self._join()
            self.send(TIPCServicePassOn(replyService=self._me, message=self.recv("inbox")), "torrent-outbox")

    def _join(self) -> None:
        """Becomes a client of the service; of a new one if there is none, or none any more."""
        if self._service is not None:
            self.unlink(thecomponent=self._service)
        notify, _, made = TorrentService.getTorrentServices(self.tracker, **self._options)
        self._service = notify[0]
        self.link((self, "torrent-outbox"), notify)
        add = TIPCServiceAddExtended if self._extended else TIPCServiceAdd
        self.send(add(replyService=self._me), "torrent-outbox")
        if made is not None:
            self.addChildren(made)
            made.activate()


__kamaelia_components__ = (TorrentPatron,)
