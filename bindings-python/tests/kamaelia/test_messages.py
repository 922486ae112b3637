"""The messages: ours are as Kamaelia's, to the letter, and programs can parse their texts."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest

from millstream.kamaelia import TorrentIPC, _messages, ipc

NAMES = [name for name in TorrentIPC.__all__ if name != "IPC"]
WITH_FIELDS = [name for name in NAMES if name not in ("TIPCTorrentStartFail", "TIPCTorrentStatusUpdate")]


def upstream() -> Any:
    return importlib.import_module("Kamaelia.Protocol.Torrent.TorrentIPC")


def values(kind: Any) -> dict[str, Any]:
    return {name: 3 if name == "torrentid" else f"<{name}>" for name in kind.Parameters}


def test_with_kamaelia_its_own_classes_are_used() -> None:
    assert all(getattr(TorrentIPC, name) is getattr(upstream(), name) for name in NAMES)


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_the_copies_say_and_refuse_what_the_originals_do(name: str) -> None:
    theirs, ours = getattr(upstream(), name), getattr(_messages, name)
    assert ours.Parameters == theirs.Parameters
    given = values(theirs)
    for kind in (theirs, ours):
        message = kind(**given)
        assert vars(message) == given
        message.torrentid = 4
        with pytest.raises(TypeError):
            kind(1)
        with pytest.raises(ValueError, match="^Unknown parameter colour"):
            kind(**given, colour="red")
        with pytest.raises(ValueError, match=f"^{kind.Parameters[0]} not given as a parameter to {name}$"):
            kind(**{key: value for key, value in given.items() if key != kind.Parameters[0]})
    assert str(ours(**given)) == str(theirs(**given))


def test_the_texts_are_those_that_programs_split() -> None:
    for module in (upstream(), _messages):
        created = module.TIPCNewTorrentCreated(torrentid=3, savefolder="./x")
        update = module.TIPCTorrentStatusUpdate(3, {"fractionDone": 0.678})
        done = module.TIPCTorrentStatusUpdate(torrentid=3, statsdictionary={"fractionDone": 1})
        assert parsed(str(created)) == ("created", 3, "./x")
        assert parsed(str(update)) == ("status", 3, "67%")
        assert parsed(str(done)) == ("status", 3, "100%")
        assert str(module.TIPCTorrentStatusUpdate(9, {})) == "Torrent 9 status : 0%"
        assert str(module.TIPCTorrentAlreadyDownloading(torrentid=1)) == "That torrent is already downloading!"
        assert str(module.TIPCCloseTorrent(torrentid=1)) == "Close torrent 1"
        assert not isinstance(module.TIPCTorrentStartFail(), module.IPC)


def parsed(text: str) -> tuple[str, int, str]:
    """What the Cookbook's monitor makes of a text: it knows it by its words."""
    words = text.split(" ")
    if text.startswith("New torrent"):
        return "created", int(words[2]), words[-1]
    assert words[0] == "Torrent" and words[2] == "status"
    return "status", int(words[1]), words[-1]


def test_new_messages_have_the_manner_of_the_old() -> None:
    for name in ipc.__all__:
        kind = getattr(ipc, name)
        assert issubclass(kind, TorrentIPC.IPC)
        given = {parameter.removeprefix("?"): 3 for parameter in kind.Parameters}
        assert str(kind(**given)) and vars(kind(**given)) == given
    assert ipc.TIPCSetRate(torrentid=None).down is None


def test_installing_replaces_the_dead_modules_and_nothing_happens_before() -> None:
    program = """
import importlib, sys
import millstream.kamaelia
early = [name for name in sys.modules if name.startswith(("Axon", "Kamaelia"))]
assert not early, "nothing is imported by the package alone"
for name in ("TorrentClient", "TorrentMaker", "TorrentService", "TorrentPatron"):
    try:
        importlib.import_module("Kamaelia.Protocol.Torrent." + name)
    except NotImplementedError:
        continue
    raise SystemExit(name + " isn't dead")
import millstream.kamaelia.install
import Kamaelia.Protocol.Torrent
from Kamaelia.Protocol.Torrent.TorrentClient import BasicTorrentExplainer, TorrentClient
from Kamaelia.Protocol.Torrent.TorrentMaker import TorrentMaker
from Kamaelia.Protocol.Torrent.TorrentPatron import TorrentPatron
from Kamaelia.Protocol.Torrent.TorrentService import TorrentService
assert TorrentPatron.__module__ == "millstream.kamaelia.TorrentPatron"
assert Kamaelia.Protocol.Torrent.TorrentService.TorrentService is TorrentService
import millstream.kamaelia.TorrentClient
assert millstream.kamaelia.TorrentClient.TorrentClient is TorrentClient
for name in ("TorrentClient", "TorrentMaker", "TorrentService", "TorrentPatron"):
    module = importlib.import_module("Kamaelia.Protocol.Torrent." + name)
    assert getattr(module, name) in module.__kamaelia_components__
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_messages_need_neither_axon_nor_kamaelia() -> None:
    program = """
import sys
sys.modules["Kamaelia"] = sys.modules["Axon"] = None
from millstream.kamaelia import TorrentIPC, ipc
from millstream.kamaelia import _messages
assert TorrentIPC.TIPCCloseTorrent is _messages.TIPCCloseTorrent
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
