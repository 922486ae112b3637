"""Numbers and addresses as people write them, and as they read them."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from fractions import Fraction
from ipaddress import ip_address

UNITS = {
    "": 1,
    "b": 1,
    "k": 1 << 10,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mib": 1 << 20,
    "g": 1 << 30,
    "gib": 1 << 30,
    "t": 1 << 40,
    "tib": 1 << 40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}

INDEXES_MAX = 1_000_000
"""More files can't be chosen by number; a torrent may not have more either."""


def size(text: str) -> int:
    """A size: `65536`, `64K`, `1.5MB`. K, M and G count in 1024s, KB, MB and GB in 1000s."""
    found = re.fullmatch(r"([0-9]*)(?:\.([0-9]{0,9}))?\s*([a-zA-Z]*)", text.strip())
    factor = UNITS.get(found[3].lower()) if found and (found[1] or found[2]) else None
    if found is None or factor is None:
        raise ArgumentTypeError(f"`{text}` is no number of bytes, such as 65536, 500K or 1.5MiB")
    number = int(Fraction(f"{found[1] or '0'}.{found[2] or '0'}") * factor)
    if number >= 1 << 64:
        raise ArgumentTypeError(f"`{text}` is no number of bytes, such as 65536, 500K or 1.5MiB")
    return number


def rate(text: str) -> int:
    """A rate in bytes a second: a size that may end in `/s`."""
    try:
        number = size(text.strip().removesuffix("/s"))
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"`{text}` is no rate, such as 500K, 1.5MiB or 64MiB/s") from error
    if number == 0:
        raise ArgumentTypeError("a rate of 0 would stop everything")
    return number


def indexes(text: str) -> list[int]:
    """Numbers and upward ranges: `0,2,5-7`."""
    chosen: set[int] = set()
    for item in text.split(","):
        found = re.fullmatch(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?", item)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last >= INDEXES_MAX:
            raise ArgumentTypeError(f"`{text}` is no list of numbers and ranges, such as 0,2,5-7")
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def address(text: str) -> tuple[str, int]:
    """An IP address and a port."""
    host, port = host_and_port(text, least=0)
    try:
        ip_address(host)
    except ValueError as error:
        raise ArgumentTypeError(f"`{text}` is no address and port, such as 127.0.0.1:6881") from error
    return host, port


def host_and_port(text: str, least: int = 1) -> tuple[str, int]:
    """`host:port`, an address or a name."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = bare and not re.search(r"[/ ]", bare) and (bare != host or ":" not in bare)
    if not good or not port.isascii() or not port.isdigit() or not least <= int(port) < 65536:
        raise ArgumentTypeError(f"`{text}` is no host:port, such as 192.0.2.7:6881 or [2001:db8::7]:6881")
    return bare, int(port)


def url(text: str) -> str:
    """Something with a scheme and a host."""
    if not re.fullmatch(r"[A-Za-z0-9]+://[^\s\x00-\x1f\x7f]+", text):
        raise ArgumentTypeError(f"`{text}` is no URL, such as http://host/announce")
    return text


def info_hash(text: str) -> bytes:
    """An info-hash in hexadecimal digits; of v2's only what others see of it (BEP 52)."""
    if not re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", text):
        raise ArgumentTypeError(f"`{text}` is no info-hash of 40 or 64 hex digits")
    return bytes.fromhex(text)[:20]


def show_size(count: int) -> str:
    """Bytes, in units of 1024: `12 B`, `1.5 MiB`."""
    if count < 1024:
        return f"{count} B"
    whole, tenths, unit = count, 0, ""
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        tenths, whole = whole % 1024 * 10 // 1024, whole // 1024
        if whole < 1024:
            break
    return f"{whole}.{tenths} {unit}"


def show_count(count: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def show_time(seconds: int | None) -> str:
    """Seconds that are left: `1h02m`, `3m05s`, `7s`."""
    if seconds is None:
        return "-"
    if seconds >= 86_400:
        return f"{seconds // 86_400}d{seconds % 86_400 // 3_600:02}h"
    if seconds >= 3_600:
        return f"{seconds // 3_600}h{seconds % 3_600 // 60:02}m"
    return f"{seconds // 60}m{seconds % 60:02}s" if seconds >= 60 else f"{seconds}s"


def show_address(where: tuple[str, int]) -> str:
    """An address and a port, as one text."""
    host, port = where
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
