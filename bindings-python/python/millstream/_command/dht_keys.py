"""Keys of mutable items in files that only their owner may read."""

from __future__ import annotations

import os
import re
import secrets

from .._millstream import sign
from .lines import Trouble
from .numbers import show_error, show_path

BYTES_MAX = 1024
"""A longer file is no key. Bytes."""


def make(path: str) -> bytes:
    """Makes a key, keeps it in a new file, and gives its public half."""
    seed = secrets.token_bytes(32)
    try:
        place = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(place, "wb") as file:
            file.write(f"{seed.hex()}\n".encode())
            file.flush()
            os.fsync(place)
    except OSError as error:
        raise Trouble(1, f"{show_path(path)} can't be written: {show_error(error)}") from error
    return public(seed)


def read(path: str) -> bytes:
    """Reads a key: a seed of 64 hex digits, or the expanded form of 128 that other clients keep."""
    shown = show_path(path)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                words = f"{shown} may be read by others and is no secret; after `chmod 600` it is taken"
                raise Trouble(1, words)
            text = file.read(BYTES_MAX).decode()
    except OSError as error:
        raise Trouble(1, f"{shown} can't be read: {show_error(error)}") from error
    except UnicodeDecodeError as error:
        raise Trouble(1, f"{shown} can't be read: stream did not contain valid UTF-8") from error
    digits = text.strip()
    if not re.fullmatch(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{128}", digits):
        raise Trouble(1, f"{shown} is no key: 64 or 128 hex digits are")
    return bytes.fromhex(digits)


def public(secret: bytes) -> bytes:
    """The public half of a key."""
    return sign(secret, b"0:", 0, b"")[0]
