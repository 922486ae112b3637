"""`Metainfo`, `Magnet` and `KeyLink`: read, made, compared, pickled."""

from __future__ import annotations

import pickle
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import pytest

import millstream
from millstream.sansio import KeyLink, Magnet, Metainfo, PlanOptions, bencode, create

TORRENT = create(
    "folder",
    {"a/b.txt": b"x" * 40_000, "c.bin": b"y" * 20_000},
    piece_length=16384,
    trackers=[["http://a.example/announce"], ["udp://b.example:80"]],
)


def test_a_torrent_file_is_read_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "folder.torrent"
    path.write_bytes(TORRENT)
    for meta in (Metainfo.parse(TORRENT), Metainfo.from_file(path), Metainfo.from_file(str(path))):
        assert meta.to_bytes() == TORRENT
        assert (meta.name, meta.version, meta.multi_file) == ("folder", "hybrid", True)
        assert meta.info_hash == meta.info_hash_v1 == sha1(meta.info_bytes).digest()
        assert meta.info_hash_v2 == sha256(meta.info_bytes).digest()
    with pytest.raises(FileNotFoundError):
        Metainfo.from_file(tmp_path / "nothing")
    with pytest.raises(OSError):
        Metainfo.from_file(tmp_path)
    path.write_bytes(TORRENT[:-1])
    with pytest.raises(millstream.MetainfoError):
        Metainfo.from_file(path)


def test_bep_0052_a_v2_torrent_goes_by_the_beginning_of_its_hash() -> None:
    meta = Metainfo.parse(create("x", b"data", version="v2"))
    assert meta.info_hash_v1 is None and meta.info_hash_v2 is not None
    assert meta.info_hash == meta.info_hash_v2[:20]


def test_pitfall_18_a_hostile_path_is_made_safe_and_the_raw_one_is_there() -> None:
    info = {
        "files": [{"length": 1, "path": ["..", "etc", "pass\x00wd"]}],
        "name": "n",
        "piece length": 16384,
        "pieces": bytes(20),
    }
    (file,) = Metainfo.parse(bencode.encode({"info": info})).files
    assert file.raw_path == (b"..", b"etc", b"pass\x00wd")
    assert ".." not in file.path and not any("\x00" in part or "/" in part for part in file.path)


def test_torrents_are_compared_by_their_bytes() -> None:
    one, two = Metainfo.parse(TORRENT), Metainfo.parse(bytearray(TORRENT))
    other = Metainfo.parse(create("x", b"data"))
    assert one == two and hash(one) == hash(two) and one != other
    again = pickle.loads(pickle.dumps(one))
    assert again == one and repr(again) == repr(one) and "folder" in repr(one)
    alone = Metainfo.from_info(one.info_bytes)
    assert alone != one and pickle.loads(pickle.dumps(alone)) == alone


def test_a_torrent_gives_its_link() -> None:
    meta = Metainfo.parse(TORRENT)
    link = meta.magnet()
    assert (link.info_hash_v1, link.info_hash_v2, link.name) == (meta.info_hash_v1, meta.info_hash_v2, "folder")
    assert link.trackers == ("http://a.example/announce", "udp://b.example:80")
    assert Magnet.parse(str(link)) == link


def test_other_fields_are_read() -> None:
    outer = bencode.decode(create("x", b"data", version="v1"))
    outer[b"info"][b"source"] = b"PT"
    outer[b"nodes"] = [[b"router.example", 6881], [b"::1", 5]]
    meta = Metainfo.parse(bencode.encode(outer))
    assert (meta.nodes, meta.source) == ((("router.example", 6881), ("::1", 5)), "PT")


def test_bep_0009_and_53_a_link_is_made_of_its_parts_and_read_again() -> None:
    made = Magnet(
        info_hash_v1=b"h" * 20,
        info_hash_v2=b"v" * 32,
        name="a & b",
        trackers=["http://t.example/announce?x=1&y=2"],
        web_seeds=["http://w.example/"],
        peers=[("peer.example", 6881), ("2001:db8::1", 5), ("192.0.2.1", 1)],
        select=[(0, 0), (2, 4)],
        exact_sources=["http://x.example/t.torrent"],
        acceptable_sources=["http://y.example/"],
    )
    again = Magnet.parse(str(made))
    assert again == made and hash(again) == hash(made) and pickle.loads(pickle.dumps(made)) == made
    assert again.peers == (("peer.example", 6881), ("2001:db8::1", 5), ("192.0.2.1", 1))
    assert (again.name, again.select, again.info_hash) == ("a & b", ((0, 0), (2, 4)), b"h" * 20)
    assert again.trackers == ("http://t.example/announce?x=1&y=2",)
    assert (again.web_seeds, again.exact_sources) == (("http://w.example/",), ("http://x.example/t.torrent",))
    assert again.acceptable_sources == ("http://y.example/",)
    assert made != Magnet(info_hash_v1=b"h" * 20) and Magnet(info_hash_v2=b"v" * 32).info_hash == b"v" * 20


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"name": "x"},
        {"info_hash_v1": b"h" * 20, "peers": [("bad host", 1)]},
        {"info_hash_v1": b"h" * 20, "peers": [("host", 0)]},
        {"info_hash_v1": b"h" * 20, "select": [(4, 2)]},
        {"info_hash_v1": b"h" * 20, "name": "x" * 300_000},
        {"info_hash_v1": b"short"},
    ],
)
def test_what_can_t_be_a_link_is_refused(parts: Any) -> None:
    with pytest.raises(ValueError) as caught:
        Magnet(**parts)
    assert isinstance(caught.value, millstream.MagnetError) or parts["info_hash_v1"] == b"short"


def test_bep_0046_a_link_may_name_a_key() -> None:
    key = bytes.fromhex("8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e")
    plain = KeyLink.parse(f"magnet:?xs=urn:btpk:{key.hex()}")
    assert (plain.key, plain.salt, plain.target) == (key, b"", sha1(key).digest())
    assert plain.target.hex() == "cc3f9d90b572172053626f9980ce261a850d050b"  # of the BEP
    salted = KeyLink(key, b"n")
    assert salted.target.hex() == "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f"  # of the BEP
    assert str(salted) == f"magnet:?xs=urn:btpk:{key.hex()}&s=6e" and KeyLink.parse(str(salted)) == salted
    assert salted != plain and len({plain, salted, KeyLink(key)}) == 2
    assert pickle.loads(pickle.dumps(salted)) == salted
    for junk in ("", "magnet:?xt=urn:btih:" + "a" * 40, "magnet:?xs=urn:btpk:12", str(plain) + "&s=6"):
        with pytest.raises(millstream.MagnetError):
            KeyLink.parse(junk)
    with pytest.raises(millstream.MagnetError):
        KeyLink(key, b"s" * 65)


def test_create_knows_what_a_plan_knows() -> None:
    wanted: PlanOptions = {
        "version": "v1",
        "piece_length": 16384,
        "multi_file": True,
        "private": True,
        "source": "here",
        "trackers": [["http://host/a"]],
        "web_seeds": ["http://host/w"],
        "comment": "words",
        "creation_date": 1_700_000_000,
    }
    assert set(wanted) == PlanOptions.__optional_keys__, "all of them"
    meta = Metainfo.parse(create("folder", b"data", **wanted))
    assert (meta.version, meta.piece_length, meta.multi_file, meta.private) == ("v1", 16384, True, True)
    assert (meta.source, meta.trackers, meta.web_seeds) == ("here", (("http://host/a",),), ("http://host/w",))
    assert (meta.comment, meta.creation_date) == ("words", 1_700_000_000)
    assert [file.path for file in meta.files] == [("folder",)]


def test_one_file_of_a_mapping_can_stand_alone() -> None:
    assert create("name", {"a": b"data"}, multi_file=False) == create("name", b"data")
    with pytest.raises(millstream.CreateError):
        create("name", {"a": b"data", "b": b"more"}, multi_file=False)
    with pytest.raises(TypeError, match="multifile"):
        create("name", b"data", multifile=True)  # type: ignore[call-arg]
