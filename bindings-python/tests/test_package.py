"""The package as Python sees it: what it is, and what its values and objects can and can't be used for."""

import copy
import importlib.util
import multiprocessing
import pickle
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import millstream
from millstream import BencodeError, DuplicateTorrent, OptionError, create, sansio


def test_the_package_says_its_version() -> None:
    assert re.match(r"\d+\.\d+\.\d+", millstream.__version__)


INTERPRETERS = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
story = '''
try:
    import millstream
except ImportError as error:
    assert "interpreter" in str(error), error
else:
    raise AssertionError("it was imported")
'''
def tell():
    failed = interpreters.run_string(interpreters.create(), story)
    assert failed is None, failed
"""


@pytest.mark.parametrize("order", ["tell()\nimport millstream", "import millstream\ntell()\nmillstream.Lagged(1)"])
def test_sub_interpreters_are_refused(order: str) -> None:
    if not any(importlib.util.find_spec(name) for name in ("_interpreters", "_xxsubinterpreters")):
        pytest.skip("this Python has none")
    command = [sys.executable, "-c", INTERPRETERS + order]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


def values() -> list[object]:
    torrent = create("x", b"x")
    return [
        millstream.PieceVerified(1, 2),
        millstream.PeerJoined(1, ("2001:db8::1", 6881)),
        millstream.Banned(1, ("192.0.2.1", 1), "why"),
        millstream.Lagged(3),
        sansio.Request(1, 2, 3),
        sansio.Bitfield(b"\x80"),
        millstream.Metainfo.parse(torrent),
        millstream.Metainfo.parse(torrent).magnet(),
    ]


def test_values_pass_from_process_to_process() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as other:
        assert other.submit(values).result(30) == values()
        for error in (OptionError("no number", "links_max"), DuplicateTorrent("there", 7), BencodeError("odd", 3)):
            there = other.submit(copy.copy, error).result(30)
            assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))


def test_what_is_alive_stays_in_its_process() -> None:
    alive = [
        millstream.Session(listen=[]),
        sansio.Engine(1),
        sansio.PeerConnection(client=True, peer_id=bytes(20), info_hash=bytes(20)),
        sansio.Tracker(1),
        sansio.DhtNode(1),
    ]
    for one in alive:
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(one)


def test_values_cannot_be_changed_nor_extended() -> None:
    have: Any = sansio.Have(1)
    for name in ("index", "other"):
        with pytest.raises(AttributeError):
            setattr(have, name, 2)
    with pytest.raises(TypeError, match="base type"):
        type("Longer", (sansio.Have,), {})
