"""What can go wrong, and who is to blame. A peer's fault is never an exception: it costs that peer its link."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._messages import Message


CLOSED = "the session is closed"
"""What `SessionClosed` says, whoever notices."""

NOT_STARTED = "the session hasn't started: use `async with`, or await its `start()`"
"""What `SessionClosed` says of a session that was only made."""

_NOTE = "while processing '"
"""How the bridge between Python and Rust says which argument was wrong."""

FORKED = "the session belongs to the process that started it, and this one was forked"
"""What `SessionClosed` says in a process that was forked."""


class MillstreamError(Exception):
    """Anything that millstream refuses."""


class OptionError(MillstreamError, ValueError):
    """A setting, an option or an argument that isn't what it may be: a number out of its range, a name that isn't
    there. `name` is what it was given for, if known."""

    name: str | None

    def __init__(self, message: str = "", name: str | None = None) -> None:
        super().__init__(message, name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: {self.args[0]}" if self.name else str(self.args[0])

    def __reduce__(self) -> tuple[type[OptionError], tuple[str, str | None]]:
        return type(self), (self.args[0], self.name)

    def add_note(self, note: str, /) -> None:
        """The native half learns which argument it was from a note that the bridge to it adds."""
        if self.name is None and note.startswith(_NOTE):
            self.name = note.removeprefix(_NOTE).rstrip("'")
        else:
            super().add_note(note)


class MetainfoError(MillstreamError, ValueError):
    """Bytes that are no torrent: who made them is to blame."""


class MagnetError(MillstreamError, ValueError):
    """A text that is no magnet link."""


class BencodeError(MillstreamError, ValueError):
    """Bytes that are no bencode, or a value that has none. `offset` is the byte where it went wrong, if known."""

    offset: int | None

    def __init__(self, message: str = "", offset: int | None = None) -> None:
        super().__init__(message, offset)
        self.offset = offset

    def __str__(self) -> str:
        return str(self.args[0]) if self.offset is None else f"{self.args[0]} (at byte {self.offset})"


class StateError(MillstreamError, ValueError):
    """Saved bytes that are damaged, or that somebody else saved."""


class ItemError(MillstreamError, ValueError):
    """An item that no node of the DHT would store (BEP 44)."""


class ProtocolError(MillstreamError):
    """A message between peers that may not be."""


class LocalProtocolError(ProtocolError, ValueError):
    """We tried to send what may not be sent now; nothing was."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what may not be: close the link. `messages` are those that came before, in the same bytes.

    `reason` is `handshake` (it isn't about this torrent, or no BitTorrent at all), `malformed` (its bytes make no
    sense), `misbehaved` (they do, but it may not send them), `ended` (it stopped within a message) or `encryption` (it
    called plain where encryption is required, or doesn't encrypt as was agreed: some can only be called plain).
    """

    reason: Literal["handshake", "malformed", "misbehaved", "ended", "encryption"]
    messages: Sequence[Message]

    def __init__(
        self,
        message: str = "",
        reason: Literal["handshake", "malformed", "misbehaved", "ended", "encryption"] = "malformed",
        messages: Sequence[Message] = (),
    ) -> None:
        super().__init__(message, reason, messages)
        self.reason = reason
        self.messages = messages

    def __str__(self) -> str:
        return str(self.args[0])


class CreateError(MillstreamError, ValueError):
    """A torrent that can't be made like that. `option` is the one that is to blame, if it is one."""

    option: str | None = None


class DriverError(MillstreamError, ValueError):
    """The driver broke the engine's law: a clock that went back, an answer that doesn't fit its job, a second one."""


class CommandError(MillstreamError):
    """The application wants what can't be done now."""


class NoSuchFile(CommandError, LookupError):
    """The torrent has no file of this number or name."""


class NoSuchPeer(CommandError, LookupError):
    """The torrent isn't connected with a peer of this address."""


class TorrentNotFound(CommandError, LookupError):
    """There is no torrent of this id; it may have been removed."""


class TorrentRemoved(TorrentNotFound):
    """The torrent was there, and was removed: the handle is stale. At the end of the session it is `SessionClosed`."""


class SessionClosed(CommandError):
    """The session is closed, or wasn't started, or belongs to the process that this one was forked from."""


class WrongLoop(CommandError):
    """A session, or what is of one, is awaited on another event loop than the one that started it."""


class StartError(MillstreamError, OSError):
    """A session can't start: the host is to blame, or what it was told to bind. `setting` is the one that can't be had,
    if it is one, and `reason` says why in fewer words."""

    setting: str | None = None
    reason: str = ""


class FetchError(MillstreamError, OSError):
    """A torrent file couldn't be fetched."""


class DuplicateTorrent(CommandError):
    """A torrent with the same info-hash is there already: `torrent` is its id."""

    torrent: int | None

    def __init__(self, message: str | None = None, torrent: int | None = None) -> None:
        super().__init__(message, torrent)
        self.torrent = torrent

    def __str__(self) -> str:
        return str(self.args[0])


class Refused(MillstreamError):
    """An incoming link isn't taken: close it."""


class TransferFailed(MillstreamError, OSError):
    """A torrent stopped because the host failed, for the reason given; `resume` tries again."""


class TimedOut(MillstreamError, TimeoutError):
    """It wasn't so within the time that was given."""
