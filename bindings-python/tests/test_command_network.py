"""The command beside the binary where there is a network: keys that name torrents, newer torrents, the DHT,
interruptions, the demo.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from commands import DATA, HERMETIC, MODULE, binary, command, lines, programs, run, until
from drivers_stage import payload, things

from millstream import Metainfo

HASH = "0123456789abcdef0123456789abcdef01234567"
QUIET = ["--listen", "127.0.0.1:0", "--no-lsd", "--no-dht", "--port-mapping", "off"]
DRIVERS = ("native", "asyncio")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with things in it, and their torrent."""
    things().store(tmp_path / "seed")
    made = run("create", "seed/things", "-o", "a.torrent", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    return tmp_path


def events(told: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    """Those of a kind."""
    return [line for line in told if line["event"] == event]


# ---- transfers


@pytest.mark.parametrize("ours", ["seed", "download"])
def test_the_binary_and_the_module_exchange_a_torrent_and_say_the_same(folder: Path, ours: str) -> None:
    other = [str(binary())]
    seeder, leecher = (MODULE, other) if ours == "seed" else (other, MODULE)
    with command("seed", "a.torrent", "--data", "seed", "--json", *HERMETIC, cwd=folder, program=seeder) as seed:
        where = until(seed, "listening")["address"]
        digest = until(seed, "added")["info_hash_v1"]
        until(seed, "complete")
        link = f"magnet:?xt=urn:btih:{digest}"
        args = ["download", link, "-o", "here", "--json", "--peer", where, *HERMETIC]
        done = run(*args, cwd=folder, program=leecher)
        assert done.returncode == 0 and things().stored(folder / "here")
        told = lines(done.stdout)
        heads = [line["event"] for line in told if line["event"] != "progress"]
        assert heads == ["listening", "added", "metadata", "complete", "stopped"]
        assert told[-1]["found"]["user"] == 1 and set(told[-1]["filtered"].values()) == {0}
        plain = run("download", "a.torrent", "-o", "there", "--peer", where, *HERMETIC, cwd=folder, program=leecher)
        assert [line.split(" in ")[0] for line in plain.stdout.splitlines()[1:]] == [
            "things: 428.0 KiB",
            "things: complete: 428.0 KiB verified",
            "stopped: 428.0 KiB received, 0 B sent",
        ]
        seed.send_signal(signal.SIGINT)
        stopped = until(seed, "stopped")
        assert list(stopped) == ["event", "downloaded", "uploaded", "found", "filtered"]
        assert stopped["found"]["incoming"] == 2 and stopped["uploaded"] >= 2 * 438_330
        assert seed.wait(30) == 130


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_is_chosen_on_the_command_line_counts_and_not_what_an_earlier_run_chose(folder: Path, driver: str) -> None:
    with command("seed", "a.torrent", "--data", "seed", "--json", *HERMETIC, cwd=folder) as seed:
        where = until(seed, "listening")["address"]
        args = ["download", "a.torrent", "-o", "here", "--json", "--peer", where, *HERMETIC, "--driver", driver]
        one = lines(run(*args, "--select", "1", cwd=folder).stdout)
        assert events(one, "complete")[0]["verified"] < 438_330
        all_ = lines(run(*args, cwd=folder).stdout)
        assert events(all_, "complete")[0]["verified"] == 438_330 and things().stored(folder / "here")


# ---- interruptions


@pytest.mark.parametrize("who", ["native", "asyncio", "binary"])
def test_the_first_interruption_takes_leave_and_the_second_ends_at_once(folder: Path, who: str) -> None:
    program, more = ([str(binary())], []) if who == "binary" else (MODULE, ["--driver", who])
    with socket.create_server(("127.0.0.1", 0)) as tracker:
        tracker.settimeout(20)
        url = f"http://127.0.0.1:{tracker.getsockname()[1]}/announce"
        assert run("create", "seed/things", "-o", "b.torrent", "--tracker", url, cwd=folder).returncode == 0
        args = ["seed", "b.torrent", "--data", "seed", "--json", *QUIET, *more]
        with command(*args, cwd=folder, program=program) as seed:
            until(seed, "complete")
            with tracker.accept()[0] as call:
                # it is announced to who never answers, and will be waited for
                assert b"event=started" in call.recv(4096)
                seed.send_signal(signal.SIGINT)
                with pytest.raises(subprocess.TimeoutExpired):
                    seed.wait(0.4)
                seed.send_signal(signal.SIGTERM)
                assert seed.wait(30) == 130 and seed.stdout is not None
                assert not events(lines(seed.stdout.read()), "stopped"), "it ended at once"
        with command(*args, cwd=folder, program=program) as seed:
            until(seed, "complete")
            seed.send_signal(signal.SIGINT)
            assert until(seed, "stopped") and seed.wait(30) == 130, "one is enough for who has time"


def reads(pid: int, file: Path) -> bool:
    """Whether that process has the file open."""
    links = Path(f"/proc/{pid}/fd")
    with suppress(FileNotFoundError):
        return any(os.readlink(links / number) == str(file) for number in os.listdir(links))
    return False


def test_work_that_blocks_is_ended_by_the_first_interruption(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        # a hole is read as what it is: digests take their time
        big.truncate(8 << 30)
    for program in programs().values():
        with command("create", "big", "--v2", "--piece-length", "16K", cwd=tmp_path, program=program) as create:
            end = time.monotonic() + 20
            while not reads(create.pid, tmp_path / "big"):
                assert time.monotonic() < end and create.poll() is None, "it reads"
                time.sleep(0.01)
            create.send_signal(signal.SIGINT)
            assert create.wait(30) == 130
        assert os.listdir(tmp_path) == ["big"], "nothing is left half done"


def test_a_tracker_that_is_interrupted_says_its_sums_and_reads_its_lists_again(tmp_path: Path) -> None:
    told = []
    for program in programs().values():
        (tmp_path / "allow").write_text(f"{HASH}\n")
        args = ["tracker", "--http", "127.0.0.1:0", "--workers", "1", "--allow", "allow", "--json"]
        with command(*args, cwd=tmp_path, program=program) as tracker:
            heard = [{**until(tracker, "listening"), "http": []}]
            tracker.send_signal(signal.SIGHUP)
            heard.append(until(tracker, "reloaded"))
            (tmp_path / "allow").write_text("nonsense\n")
            tracker.send_signal(signal.SIGHUP)
            heard.append(until(tracker, "warning"))
            tracker.send_signal(signal.SIGTERM)
            heard.append(until(tracker, "stopped"))
            assert tracker.wait(30) == 130
            told.append(heard)
    assert told[0] == told[1]


def test_a_tracker_hears_signals_whatever_it_is_at(tmp_path: Path) -> None:
    (tmp_path / "allow").write_text(f"{HASH}\n")
    args = ["tracker", "--http", "127.0.0.1:0", "--workers", "1", "--allow", "allow", "--json"]
    with command(*args, cwd=tmp_path) as tracker:
        until(tracker, "listening")

        def shake() -> None:
            # no two of them at the same distance
            for n in range(5000):
                os.kill(tracker.pid, signal.SIGHUP)
                time.sleep(n % 97 * 3e-6)
            tracker.send_signal(signal.SIGTERM)

        shaking = threading.Thread(target=shake)
        shaking.start()
        told = lines(tracker.communicate(timeout=60)[0])
        shaking.join()
        assert tracker.returncode == 130 and told[-1]["event"] == "stopped"
        assert events(told, "reloaded")


# ---- newer torrents


class Feed(BaseHTTPRequestHandler):
    """Answers everybody with one torrent file."""

    torrent = b""

    def do_GET(self) -> None:
        """The torrent."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.torrent)))
        self.end_headers()
        self.wfile.write(self.torrent)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def release(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Two versions of a file: the torrent of the first names who signs the next, and where it is to be found."""
    for name, size in (("one", 300_000), ("two", 310_000)):
        (tmp_path / name).write_bytes(payload(size))
    sign: list[str | Path] = ["--sign-key", DATA / "signer.key", "--sign-certificate", DATA / "signer.pem"]
    assert run("create", "two", "-o", "feed", *sign, cwd=tmp_path).returncode == 0
    feed = (tmp_path / "feed").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("This", (Feed,), {"torrent": feed}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/feed"
    args: list[str | Path] = ["create", "one", "--update-url", url, "--originator", DATA / "signer.pem"]
    assert run(*args, cwd=tmp_path).returncode == 0
    yield tmp_path, (Metainfo.parse(feed).info_hash_v1 or b"").hex()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_bep_0039_an_update_that_the_originator_signed_is_told_and_saved(
    release: tuple[Path, str], driver: str
) -> None:
    folder, newer = release
    args = ["seed", "one.torrent", "--data", ".", "--json", *QUIET, "--driver", driver]
    with command(*args, cwd=folder) as seed:
        told = until(seed, "update")
        saved = folder / "state" / "millstream" / "updates" / f"{newer}.torrent"
        assert (told["signed"], told["newer_v1"], told["saved"]) == (True, newer, str(saved))
        assert list(told) == ["event", "signed", "newer_v1", "newer_v2", "saved", "name"]
        assert saved.read_bytes() == (folder / "feed").read_bytes()
    with command(*args, "--updates", "new/ones", cwd=folder) as seed:
        assert until(seed, "update")["saved"] == f"new/ones/{newer}.torrent"
        assert (folder / "new" / "ones" / f"{newer}.torrent").read_bytes() == (folder / "feed").read_bytes()


def test_bep_0039_with_updates_off_none_is_looked_for(release: tuple[Path, str]) -> None:
    folder, _ = release
    with command("seed", "one.torrent", "--data", ".", "--json", *QUIET, "--updates", "off", cwd=folder) as seed:
        until(seed, "complete")
        time.sleep(1)
        seed.send_signal(signal.SIGINT)
        assert seed.stdout is not None
        assert not events(lines(seed.stdout.read()), "update")
    assert not (folder / "state" / "millstream" / "updates").exists()


# ---- the DHT


@pytest.fixture
def dht(tmp_path: Path) -> Iterator[str]:
    """A DHT of three nodes, two of them the module's; where it is entered."""
    with ExitStack() as stack:
        entry = "127.0.0.1:9"
        for program in (MODULE, [str(binary())], MODULE):
            args = ["dht", "node", "--listen", "127.0.0.1:0", "--json", "--bootstrap", entry]
            node = stack.enter_context(command(*args, cwd=tmp_path, program=program))
            address = until(node, "listening")["address"]
            entry = address if entry.endswith(":9") else entry
        yield entry


def test_bep_0005_0033_0051_who_is_announced_is_found_and_counted(tmp_path: Path, dht: str) -> None:
    entry = ["--bootstrap", dht, "--json"]
    shapes = []
    for program in programs().values():

        def ask(*args: str, program: list[str] = program) -> list[dict[str, Any]]:
            done = run("dht", *args, *entry, cwd=tmp_path, program=program)
            assert done.returncode == 0, (args, done.stdout, done.stderr)
            return lines(done.stdout)

        missed = run("dht", "get-peers", "f" * 40, *entry, cwd=tmp_path, program=program)
        assert missed.returncode == 1 and "no peers are known" in missed.stderr
        told = [ask("announce", HASH, "--port", "4321", "--seed"), ask("get-peers", f"magnet:?xt=urn:btih:{HASH}")]
        assert told[0][0]["stored"] >= 2 and told[1][0] == {"event": "peer", "address": "127.0.0.1:4321"}
        told += [ask("scrape", HASH), ask("sample")]
        assert told[2][0]["seeds"] == 1 and HASH in {line.get("info_hash") for line in told[3]}
        shapes.append([[list(line) for line in some] for some in told])
        plain = run("dht", "get-peers", HASH, "--bootstrap", dht, cwd=tmp_path, program=program).stdout
        assert plain.startswith("127.0.0.1:4321\n1 peer (")
    assert shapes[0][:3] == shapes[1][:3]


def test_bep_0044_items_are_put_and_got_and_changed_by_their_key_alone(tmp_path: Path, dht: str) -> None:
    entry = ["--bootstrap", dht, "--json"]

    def ask(code: int, *args: str | Path) -> dict[str, Any]:
        done = run("dht", *args, *entry, cwd=tmp_path)
        assert done.returncode == code, (args, done.stdout, done.stderr)
        return lines(done.stdout)[-1]

    put = ask(0, "put", "--text", "Hello World!")
    assert put["target"] == "e5f96f6f38320f0f33959cb4d3d656452117aadb"
    for program in programs().values():
        plain = run("dht", "get", put["target"], "--bootstrap", dht, cwd=tmp_path, program=program)
        assert plain.stdout == "Hello World!"
        got = lines(run("dht", "get", put["target"], *entry, cwd=tmp_path, program=program).stdout)[0]
        assert (got["text"], got["bencoded"]) == ("Hello World!", b"12:Hello World!".hex())
        assert list(got)[:6] == ["event", "target", "bencoded", "text", "public_key", "salt"]
    assert "1000" in ask(1, "put", "--text", "x" * 1001)["message"]
    assert "nothing is stored" in ask(1, "get", HASH)["message"]
    key = run("dht", "keygen", "key", "--json", cwd=tmp_path)
    public = lines(key.stdout)[0]["public_key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert run("dht", "keygen", "key", cwd=tmp_path).returncode == 1, "a key is never overwritten"
    own = ["--key", "key", "--salt", "s"]
    assert [ask(0, "put", "--text", text, *own)["seq"] for text in ("one", "two")] == [1, 2]
    assert ask(0, "get", "--public-key", public, "--salt", "s")["text"] == "two"
    stale = ask(1, "put", "--text", "x", *own, "--seq", "1")["message"]
    assert "sequence number 2 is stored" in stale and "302" in stale
    assert "301" in ask(1, "put", "--text", "x", *own, "--seq", "9", "--cas", "1")["message"]
    (tmp_path / "key").chmod(0o644)
    assert "chmod 600" in ask(1, "put", "--text", "x", *own)["message"]


def test_bep_0044_an_item_that_is_kept_is_stored_again_until_there_is_a_newer_one(tmp_path: Path, dht: str) -> None:
    assert run("dht", "keygen", "key", cwd=tmp_path).returncode == 0
    put = ["dht", "put", "--key", "key", "--bootstrap", dht, "--json"]
    with command(*put, "--text", "one", "--keep", "--keep-interval", "1", cwd=tmp_path) as kept:
        assert [until(kept, "put")["seq"] for _ in range(3)] == [1, 1, 1]
        assert run(*put, "--text", "two", cwd=tmp_path).returncode == 0
        assert "a newer version is stored, 2" in until(kept, "error")["message"]
        assert kept.wait(30) == 1
    with command(*put, "--text", "three", "--keep", cwd=tmp_path) as kept:
        until(kept, "put")
        kept.send_signal(signal.SIGINT)
        assert kept.wait(30) == 130


@pytest.mark.parametrize("driver", DRIVERS)
def test_bep_0046_a_keys_link_is_downloaded_and_later_torrents_are_told(folder: Path, dht: str, driver: str) -> None:
    digest = Metainfo.from_file(folder / "a.torrent").info_hash
    assert digest is not None
    public = lines(run("dht", "keygen", "key", "--json", cwd=folder).stdout)[0]["public_key"]
    put = ["dht", "put", "value", "--bencoded", "--key", "key", "--bootstrap", dht]
    (folder / "value").write_bytes(b"d2:ih20:" + digest + b"e")
    assert run(*put, cwd=folder).returncode == 0
    link = f"magnet:?xs=urn:btpk:{public}"
    alone = ["--listen", "127.0.0.1:0", "--no-lsd", "--port-mapping", "off", "--dht-bootstrap", dht, "--driver", driver]
    with command("seed", "a.torrent", "--data", "seed", "--json", *HERMETIC, cwd=folder) as seed:
        where = until(seed, "listening")["address"]
        done = run("download", link, "-o", "here", "--json", "--peer", where, *alone, cwd=folder)
        told = lines(done.stdout)
        assert done.returncode == 0 and things().stored(folder / "here"), done.stderr
        assert events(told, "followed") == [{"event": "followed", "info_hash": digest.hex(), "seq": 1}]
        plain = run("download", link, "-o", "there", "--peer", where, *alone, cwd=folder).stdout
        assert f"the key names {digest.hex()} (version 1)" in plain.splitlines()
    refused = run("download", link, "--no-dht", *alone, cwd=folder)
    assert refused.returncode == 1 and f"{link}: only the DHT knows which torrent the key names" in refused.stderr


# ---- all of it on this machine


def test_the_demo_shows_it_all_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    shapes = []
    for program in programs().values():
        args = ["demo", "--size", "1MiB", "--leeches", "2", "--json"]
        with command(*args, cwd=tmp_path, program=program, TMPDIR=str(tmp_path / "tmp")) as demo:
            told = lines(demo.communicate(timeout=60)[0])
            assert demo.returncode == 0
        last = told[-1]
        assert (last["event"], last["node"], last["leeches"], last["length"]) == ("stopped", "demo", 2, 1 << 20)
        assert {line["node"] for line in events(told, "complete")} == {"leech 1", "leech 2"}
        assert last["seed_uploaded"] + last["leeches_uploaded"] >= 2 << 20
        assert os.listdir(tmp_path / "tmp") == []
        shapes.append({line["event"]: list(line) for line in told})
    assert shapes[0] == shapes[1]
    plain = run("demo", "--size", "64K", "--leeches", "1", cwd=tmp_path).stdout.splitlines()
    assert plain[0] == "makes a file of 64.0 KiB and its torrent (hybrid, v1 and v2)"
    assert plain[1] == "starts a tracker, a seed and a leech on loopback" and plain[-1].startswith(
        "every copy's SHA-256"
    )


def test_the_demo_is_ended_by_a_signal(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with command("demo", "--size", "1GiB", cwd=tmp_path, TMPDIR=str(tmp_path / "tmp")) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("makes a file of 1.0 GiB")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 130
    assert os.listdir(tmp_path / "tmp") == []
