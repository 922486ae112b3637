"""Numbers, addresses and hashes as people write them, and as they read them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from fractions import Fraction
from ipaddress import IPv6Address, ip_address

from .grammar import BadValue

PROGRAM = "python -m millstream"
"""What the command is called in its own words."""

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
    text = text.strip()
    found = re.fullmatch(r"([0-9]*)(?:\.([0-9]{0,9}))?\s*([a-zA-Z]*)", text)
    factor = UNITS.get(found[3].lower()) if found and (found[1] or found[2]) else None
    number = None
    if found is not None and factor is not None and len(found[1]) <= 20:
        number = int(Fraction(f"{found[1] or '0'}.{found[2] or '0'}") * factor)
    if number is None or number >= 1 << 64:
        raise BadValue(f"`{text}` is no number of bytes, such as 65536, 500K or 1.5MiB")
    return number


def rate(text: str) -> int:
    """A rate in bytes a second: a size that may end in `/s`."""
    stripped = text.strip()
    try:
        number = size(stripped.removesuffix("/s"))
    except BadValue as error:
        raise BadValue(f"`{text}` is no rate, such as 500K, 1.5MiB or 64MiB/s") from error
    if number == 0:
        raise BadValue("a rate of 0 would stop everything")
    return number


def piece_length(text: str) -> int:
    """A piece's length."""
    number = size(text)
    if number >= 1 << 32:
        raise BadValue(f"`{text}` is too long for a piece")
    return number


def indexes(text: str) -> list[int]:
    """Numbers and upward ranges: `0,2,5-7`."""
    wrong = f"`{text}` is no list of numbers and ranges, such as 0,2,5-7"
    chosen, count = set[int](), 0
    for item in text.split(","):
        found = re.fullmatch(r"\s*\+?([0-9]{1,20})\s*(?:-\s*\+?([0-9]{1,20})\s*)?", item)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last or last >= INDEXES_MAX or count + last - first >= INDEXES_MAX:
            raise BadValue(wrong)
        count += last - first + 1
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def address(text: str) -> tuple[str, int]:
    """An IP address and a port."""
    example = "such as 127.0.0.1:6881, 0.0.0.0:6881 or [::]:6881"
    wrong = BadValue(f"`{text}` is no IP address with a port, {example}")
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ip = ip_address(bare)
    except ValueError as error:
        raise wrong from error
    scoped = isinstance(ip, IPv6Address) and ip.scope_id is not None and not re.fullmatch("[0-9]+", ip.scope_id)
    if scoped or (":" in bare) != (bare != host) or not re.fullmatch("[0-9]+", port) or int(port) > 65535:
        raise wrong
    return str(ip), int(port)


def host_and_port(text: str) -> str:
    """`host:port`, an address or a name."""
    host, _, port = text.rpartition(":")
    try:
        good = address(text)[1] > 0
    except BadValue:
        good = bool(host) and not re.search("[:/ ]", host) and re.fullmatch(r"\+?[0-9]+", port) is not None
        good = good and 0 < int(port) < 65536
    if not good:
        raise BadValue(f"`{text}` is no host:port, such as 192.0.2.7:6881 or [2001:db8::7]:6881")
    return text


def url(text: str) -> str:
    """Something with a scheme and a host."""
    if not re.fullmatch(r"[A-Za-z0-9]+://[^\s\x00-\x1f\x7f-\x9f]+", text):
        raise BadValue(f"`{text}` is no URL, such as http://host/announce")
    return text


def info_hash(text: str) -> bytes:
    """An info-hash in hexadecimal digits; of v2's only what others see of it (BEP 52)."""
    if not re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", text):
        raise BadValue(f"`{text}` is no info-hash of 40 or 64 hex digits")
    return bytes.fromhex(text)[:20]


def hex_digits(count: int, words: str) -> Callable[[str], bytes]:
    """Reads so many hexadecimal digits; `words` say what they are."""

    def read(text: str) -> bytes:
        if not re.fullmatch(f"[0-9a-fA-F]{{{count}}}", text):
            raise BadValue(words)
        return bytes.fromhex(text)

    return read


def number(least: int, most: int, *, bits: int = 64, signed: bool = True) -> Callable[[str], int]:
    """Reads a whole number from `least` to `most`, of so many bits on the way."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def read(text: str) -> int:
        if not text:
            raise BadValue("cannot parse integer from empty string")
        if not re.fullmatch(r"[+-]?[0-9]+" if signed else r"\+?[0-9]+", text):
            raise BadValue("invalid digit found in string")
        value = int(text) if len(text) < 40 else (1 << 128) * (-1 if text[0] == "-" else 1)
        if value < low:
            raise BadValue("number too small to fit in target type")
        if value > high:
            raise BadValue("number too large to fit in target type")
        if not least <= value <= most:
            raise BadValue(f"{value} is not in {least}..{'' if most == high else '='}{most}")
        return value

    return read


def on_or_off(text: str) -> bool:
    """`on` or `off`."""
    if text not in ("on", "off"):
        raise BadValue("it is on or off")
    return text == "on"


def show_size(count: int) -> str:
    """Bytes, in units of 1024: `12 B`, `1.5 MiB`."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 6)
    tenths = (count >> 10 * (power - 1)) % 1024 * 10 // 1024
    return f"{count >> 10 * power}.{tenths} {('KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power - 1]}"


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


def show_error(error: OSError) -> str:
    """What the host says, without the name of a file."""
    return f"{error.strerror} (os error {error.errno})" if error.errno and error.strerror else str(error)


def show_path(path: str) -> str:
    """A path as text, whatever bytes it is of."""
    return os.fsencode(path).decode("utf-8", "replace")
