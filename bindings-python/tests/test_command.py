"""The command: the same flags, words, lines of JSON and exit codes as the binary's."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from commands import HERMETIC, command, lines, until
from drivers_stage import things

from millstream._command import main, numbers, transfer
from millstream._command.grammar import BadValue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with things in it."""
    things().store(tmp_path / "seed")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was said in JSON."""
    return lines(capsys.readouterr().out)


def test_what_is_created_is_inspected_and_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torrent = folder / "a.torrent"
    source = str(folder / "seed" / "things")
    assert main(["create", source, "-o", str(torrent), "--tracker", "http://host/a", "--private", "--json"]) == 0
    made = said(capsys)[0]
    assert made["torrent"] == str(torrent) and made["private"] is True and made["trackers"] == ["http://host/a"]
    assert main(["inspect", str(torrent), "--json"]) == 0
    seen = said(capsys)[0]
    assert {**seen, "torrent": str(torrent)} == made
    assert [file["path"] for file in seen["files"]] == ["things/first.bin", "things/sub/second.bin", "things/third"]
    assert main(["inspect", str(torrent)]) == 0
    assert "length        428.0 KiB (438330 bytes)" in capsys.readouterr().out
    assert main(["verify", str(torrent), "--data", str(folder / "seed"), "--json"]) == 0
    assert said(capsys)[0]["complete"] is True
    (folder / "seed" / "things" / "third").unlink()
    assert main(["verify", str(torrent), "--data", str(folder / "seed"), "--json"]) == 1
    told = said(capsys)[0]
    assert [gap["length"] for gap in told["missing"]] == [0]
    assert [(file["path"], file["damage"]) for file in told["files"]] == [("things/third", "missing")]


@pytest.mark.parametrize("driver", ["native", "asyncio"])
def test_a_seed_writes_nothing(folder: Path, driver: str, capsys: pytest.CaptureFixture[str]) -> None:
    torrent, empty = folder / "a.torrent", folder / "empty"
    assert main(["create", str(folder / "seed" / "things"), "-o", str(torrent)]) == 0
    empty.mkdir()
    assert main(["seed", str(torrent), "--data", str(empty), "--driver", driver, *HERMETIC]) == 1
    assert "nothing of it is there to be seeded" in capsys.readouterr().err
    assert not list(empty.iterdir())
    (folder / "seed" / "things" / "third").unlink()
    with command(
        "seed", torrent, "--data", folder / "seed", "--driver", driver, "--json", *HERMETIC, cwd=folder
    ) as seed:
        until(seed, "complete")
        seed.send_signal(signal.SIGINT)
        assert seed.wait(30) == 130
    assert not (folder / "seed" / "things" / "third").exists()


def test_an_interrupted_download_says_how_far_it_is(folder: Path) -> None:
    torrent = folder / "a.torrent"
    assert main(["create", str(folder / "seed" / "things"), "-o", str(torrent)]) == 0
    with command("download", torrent, "-o", folder / "here", *HERMETIC, cwd=folder) as leech:
        assert leech.stdout is not None
        assert leech.stdout.readline().startswith("listening at")
        assert leech.stdout.readline().startswith("things:")
        leech.send_signal(signal.SIGINT)
        told = leech.communicate(timeout=30)[0].splitlines()
    assert told[-1] == "things: 0% of 428.0 KiB is there; the same command goes on from there"


def test_one_process_seeds_and_another_downloads(folder: Path) -> None:
    assert main(["create", str(folder / "seed" / "things"), "-o", str(folder / "a.torrent"), "--json"]) == 0
    with command("seed", folder / "a.torrent", "--data", folder / "seed", "--json", *HERMETIC, cwd=folder) as seed:
        where = until(seed, "listening")["address"]
        until(seed, "complete")
        args = ("download", folder / "a.torrent", "-o", folder / "here", "--json", "--peer", where, *HERMETIC)
        with command(*args, cwd=folder) as leech:
            told = lines(leech.communicate(timeout=60)[0])
            assert leech.returncode == 0
        events = [line["event"] for line in told]
        assert events[:3] == ["listening", "added", "metadata"] and events[-2:] == ["complete", "stopped"]
        assert told[-2]["verified"] == told[-2]["downloaded"] == 340_025 + 98_305
        assert things().stored(folder / "here")
        seed.send_signal(signal.SIGINT)
        assert until(seed, "stopped")["uploaded"] > 0
        assert seed.wait(30) == 130


def test_wrong_usage_ends_with_2_and_failure_with_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["download"], ["seed", "a"], ["no-such-thing"], ["download", "x", "--max-upload", "0"]):
        assert main(wrong) == 2
    assert main(["download", str(folder / "none.torrent")]) == 1
    assert "none.torrent can't be read" in capsys.readouterr().err
    assert main(["create", str(folder / "seed" / "things"), "-o", str(folder / "a.torrent")]) == 0
    assert main(["download", str(folder / "a.torrent"), "--select", "0,7"]) == 2
    assert "there is no file 7, the last is 2; `python -m millstream inspect` lists them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("none.torrent", "none.torrent can't be read"),
        ("ftp://host/a.torrent", "ftp://host/a.torrent can't be read"),
        ("magnet:?xt=urn:btih:short", "the magnet link: "),
        ("no.torrent", "no.torrent is no usable torrent"),
    ],
)
def test_a_wrong_source_is_said_so_before_any_port_is_bound(
    source: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(**_: object) -> None:
        raise AssertionError("a session was made")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(transfer, "Session", never)
    (folder / "no.torrent").write_bytes(b"no")
    assert main(["download", source]) == 1
    assert words in capsys.readouterr().err
    assert main(["seed", source, "--data", "."]) == 1
    alone = {"no.torrent": words, "magnet:?xt=urn:btih:short": "a torrent file is needed here"}
    assert alone.get(source, "can't be read") in capsys.readouterr().err, "it takes files alone"


def test_a_tracker_serves_until_it_is_interrupted(folder: Path) -> None:
    args = ("tracker", "--http", "127.0.0.1:0", "--stats", "127.0.0.1:0", "--interval", "60", "--json")
    with command(*args, cwd=folder) as tracker:
        told = until(tracker, "listening")
        assert told["udp"] == [] and len(told["http"]) == 1
        ask = f"http://{told['http'][0]}/announce?info_hash={'%01' * 20}&peer_id={'a' * 20}&port=1&left=1&compact=1"
        assert b"8:intervali60e" in urllib.request.urlopen(ask, timeout=10).read()
        tracker.send_signal(signal.SIGTERM)
        assert until(tracker, "stopped") == {"event": "stopped", "torrents": 1, "peers": 1, "announces": 1}
        assert tracker.wait(30) == 130


def test_numbers_are_read_and_shown_as_the_binary_does() -> None:
    sizes = {"0": 0, "16K": 1 << 14, "16kb": 16_000, "1.5MiB": 3 << 19, ".5k": 512, "18446744073709551615": 2**64 - 1}
    assert {text: numbers.size(text) for text in sizes} == sizes
    for wrong in ("", "K", ".", "1.2.3", "-1", "1e3", "18446744073709551616", "5 apples"):
        with pytest.raises(BadValue):
            numbers.size(wrong)
    assert numbers.rate("64MiB/s") == 64 << 20
    assert numbers.indexes("0,2,5-7") == [0, 2, 5, 6, 7] and numbers.indexes("3, 1-3") == [1, 2, 3]
    for wrong in ("", ",", "a", "3-1", "-1", "1-", "0-4000000000"):
        with pytest.raises(BadValue):
            numbers.indexes(wrong)
    for good in ("1.2.3.4:5", "[::1]:5", "localhost:6881"):
        assert numbers.host_and_port(good) == good
    for wrong in ("1.2.3.4", "1.2.3.4:0", "::1:5", ":5", "a b:5", "host:0", "host:70000"):
        with pytest.raises(BadValue):
            numbers.host_and_port(wrong)
    shown = [numbers.show_size(n) for n in (0, 1023, 1024, 1536, 64 << 20, 2**64 - 1)]
    assert shown == ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "64.0 MiB", "15.9 EiB"]
    assert [numbers.show_time(s) for s in (None, 7, 185, 3_720, 90_000)] == ["-", "7s", "3m05s", "1h02m", "1d01h"]
