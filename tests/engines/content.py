"""Data to transfer: made from a seed, hashed, and described by torrents that libtorrent makes."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

BLOCK = 1 << 20


def fill(path: Path, length: int, seed: int) -> None:
    """A file of bytes that no engine can compress or find sparse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    with path.open("wb") as file:
        block = b""
        for start in range(0, length, BLOCK):
            # drawing is slow: every 64th block is new, the others are it with another beginning
            if start // BLOCK % 64 == 0:
                block = draw.randbytes(BLOCK)
            size = min(BLOCK, length - start)
            file.write((start.to_bytes(8, "big") + block[8:])[:size])


def digest(folder: Path) -> dict[str, str]:
    """SHA-256 of each file under a folder (or of the one file), by its path in there. What clients add is left out."""
    if folder.is_file():
        return {folder.name: _sha256(folder)}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    ours = [path for path in files if path.suffix not in {".aria2"} and ".pad" not in path.parts]
    return {str(path.relative_to(folder)): _sha256(path) for path in ours}


def make_torrent(content: Path, out: Path, kind: str, piece_length: int, tracker: str | None = None) -> Path:
    """A torrent of `content`: `kind` is v1, v2, hybrid, or padded: v1 with pad files (BEP 47)."""
    import libtorrent as lt

    flags = {
        "v1": lt.create_torrent.v1_only,
        "padded": lt.create_torrent.v1_only | lt.create_torrent.canonical_files,
        "v2": lt.create_torrent.v2_only,
        "hybrid": 0,
    }[kind]
    maker = lt.create_torrent(lt.list_files(str(content)), piece_length, flags)
    if tracker:
        maker.add_tracker(tracker)
    lt.set_piece_hashes(maker, str(content.parent))
    out.write_bytes(lt.bencode(maker.generate()))
    return out


def marked(torrent: Path, out: Path, mark: str) -> Path:
    """The same content under another info-hash, so that nobody who has the other meets it in their network."""
    import libtorrent as lt

    whole = lt.bdecode(torrent.read_bytes())
    whole[b"info"][b"source"] = mark.encode()
    out.write_bytes(lt.bencode(whole))
    return out


def hashes(torrent: Path) -> tuple[str | None, str | None]:
    """Its v1 and v2 info-hashes, as libtorrent reads them."""
    import libtorrent as lt

    found = lt.load_torrent_file(str(torrent)).info_hashes
    return (
        found.v1.to_bytes().hex() if found.has_v1() else None,
        found.v2.to_bytes().hex() if found.has_v2() else None,
    )


def magnet(torrent: Path) -> str:
    """The magnet link that libtorrent makes of it."""
    import libtorrent as lt

    return str(lt.make_magnet_uri(lt.load_torrent_file(str(torrent))))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
