"""What a session was asked to listen at, and what is said where it can't. Binds nothing; the backends do."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from ._settings import Address, SessionSettings
from .errors import StartError

TRIES = 20
"""So many ports after the usual one are tried, unless `listen_tries_max` says otherwise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Addresses in words, or none where nobody named any; how many ports after them may be tried."""

    addresses: tuple[str, ...] | None
    tries_max: object

    @classmethod
    def of(cls, settings: SessionSettings) -> Asked:
        """What these settings ask for; addresses that can be read once are kept in them."""
        addresses = settings.get("listen")
        if addresses is None or isinstance(addresses, str):
            return cls(None, settings.get("listen_tries_max", TRIES))
        settings["listen"] = addresses = list(addresses)
        return cls(tuple(map(_shown, addresses)), settings.get("listen_tries_max", 0))

    async def explained(self, starting: Awaitable[None]) -> None:
        """Awaits a start; a `StartError` says what can't be listened at, and what else can be asked for."""
        try:
            await starting
        except StartError as error:
            if error.setting != "listen":
                raise
            told = StartError(f"{self._where} can't be listened at: {error.reason}; {self._instead}")
            told.setting, told.reason, told.errno = error.setting, error.reason, error.errno
            raise told from error

    @property
    def _where(self) -> str:
        where = "port 6881" if self.addresses is None else ", ".join(self.addresses)
        return f"{where} or the {self.tries_max} ports after it" if self.tries_max else where

    @property
    def _instead(self) -> str:
        more = "" if self.tries_max else ", or let ports after it be tried with `listen_tries_max`"
        return f"name another address in `listen`, with port 0 for any that is free{more}"


def _shown(address: Address | str) -> str:
    if isinstance(address, str):
        return address
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
