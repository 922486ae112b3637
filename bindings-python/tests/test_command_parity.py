"""The module and the binary, given the same: the same exit code, the same bytes on stdout, the same complaint. Good
input and hostile input.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from commands import DATA, binary
from drivers_stage import payload

from millstream._command import main
from millstream._command.numbers import PROGRAM

HASH, KEY = "0" * 40, "1" * 64
SIGNER = f"--sign-key {DATA}/signer.key --sign-certificate {DATA}/signer.pem"
KEYS_LINK = f"magnet:?xs=urn:btpk:{KEY}"

WRONG = f"""
dht
--json
-v
-vv
-x
nosuch
downloa
help nosuch
help dht nosuch
dht nosuch
man x
inspect
inspect -vx y
download
download a b
download --foo
download --foo=1 a
download --outpt x a
download -V
download --json=1 a
download a --json --json
download a -o
download a -o --json
download a -o=x -o y
download a -o=
download a --max-upload 0
download a --max-upload=
download a --max-upload fast
download a --max-download 99999999T
download a --utp
download a --utp maybe
download a --utp ON
download a --encryption ''
download a --port-mapping maybe
download a --updates=
download a --select x
download a --select 3-1
download a --select 0-4000000000
download a --high x
download a --low 3-1
download a --high 0-3 --low 9,2
download a --peer x
download a --peer ::1:5
download a --peer host:0
download a --peer host:65536
download a --dht-bootstrap x:0
download a --listen x
download a --listen 7002
download a --listen :7002
download a --listen localhost:7002
download a --listen 1.2.3.4:99999
seed
seed a
seed --data d
seed a --data
seed a --data d --data d
create
create one -o=
create ''
create one --v1 --v2
create one --v1 --v2 --hybrid
create one --v1 --v1
create one --private --private
create one --sign-key k
create one --sign-certificate k
create one --comment -1
create one --comment --json
create one --comment -- y
create one --tracker=
create one --tracker nourl
create one --tracker 'http://a b'
create one --update-url x
create one --similar 12
create one --piece-length x
create one --piece-length 5G
verify
verify x
verify '' --data d
verify x --data ''
tracker x
tracker --workers 0
tracker --workers 257
tracker --workers abc
tracker --workers ''
tracker --workers=-1
tracker --workers 99999999999999999999
tracker --interval 0
tracker --interval 604801
tracker --interval=
tracker --http 1.2.3.4
tracker --http ::1:3
tracker --http '[::1%eth0]:3'
tracker --http localhost:80
tracker --udp 6969
tracker --max-peers x
tracker --max-peers=-1
tracker --max-torrents 18446744073709551616
demo x
demo --leeches 0
demo --leeches 51
demo --size x
completions
completions tcsh
completions bash x
dht get
dht get x
dht get {HASH} --public-key 12
dht get {HASH} --public-key {KEY}
dht get-peers 12
dht get-peers {HASH}0
dht get-peers magnet:?dn=x
dht get-peers magnet:?xt=urn:btih:12
dht announce {HASH}
dht announce --port 3
dht announce {HASH} --port 0
dht announce {HASH} --port 65536
dht put
dht put f --text x
dht put --text x f
dht put --text x --salt s
dht put --text x --seq 1 --cas 2
dht put --text x --key k --seq=-1
dht put --text x --key k --seq 99999999999999999999
dht put f --keep-interval 3
dht sample --target x
dht sample --timeout 0
dht sample --timeout 3601
dht sample --timeout=-5
dht keygen
dht node x
""".strip().splitlines()
"""Wrong usage: all of it ends with 2 before anything is begun."""

FILES = f"""
inspect hybrid.torrent
inspect hybrid.torrent --json
inspect v2.torrent --json
inspect signed.torrent
inspect signed.torrent --json
inspect hostile.torrent
inspect hostile.torrent --json
inspect -- -x
inspect nofile
inspect {HASH}
inspect {KEY}
inspect bad.torrent
inspect cut.torrent
inspect d
inspect ''
inspect magnet:?xt=urn:btih:short
inspect magnet:
inspect MAGNET:?xt=urn:btih:{HASH}
inspect 'magnet:?dn=a&xt=urn:btih:{HASH}&tr=http://x/%0a&ws=http://w/&so=1,2' --json
inspect {KEYS_LINK}
inspect '{KEYS_LINK}&s=6e' --json
inspect '{KEYS_LINK}&xt=urn:btih:{HASH}'
inspect magnet:?xs=urn:btpk:12
verify hybrid.torrent --data .
verify hybrid.torrent --data . --json
verify hybrid.torrent --data d
verify hybrid.torrent --data damaged
verify hybrid.torrent --data damaged --json
verify hybrid.torrent --data d --json
verify hybrid.torrent --data nodir
verify hybrid.torrent --data one
verify bad.torrent --data .
verify nofile --data . --json
verify magnet:?xt=urn:btih:{HASH} --data .
create d -o ./made.torrent
create d -o made.torrent --json
create d --v1 -o made.torrent --json
create d --v2 -o made.torrent --json
create one
create ./one --json
create one --piece-length 3
create one --piece-length 100 --v1 -o made.torrent
create one -o nodir/x
create one -o /dev/null
create one --hybrid --comment hi --private --tracker http://a/ --tracker udp://b:1 --web-seed http://w/ --json
create one --private -o made.torrent
create one --similar {HASH} --collection c --update-url http://x/ --json
create one {SIGNER} --originator {DATA}/signer.pem -o made.torrent --json
create one --sign-key {DATA}/signer.key --sign-certificate {DATA}/other.pem
create one --sign-key one --sign-certificate one
create one --sign-key nofile --sign-certificate nofile
create one --originator one
create one --originator nofile
create d -o d/x.torrent
create d/. -o d/sub/../y.torrent
create nosuch
create nosuch -o x --json
create /dev/null -o q
create loose
""".strip().splitlines()
"""Files that are whole, damaged or not there."""

BEGUN = f"""
seed nofile --data .
seed hybrid.torrent nofile --data .
seed magnet:?xt=urn:btih:{HASH} --data .
seed hybrid.torrent --data one
seed hybrid.torrent --data nodir --json
seed hybrid.torrent --data empty --listen 127.0.0.1:0 --only-peers
seed hybrid.torrent --data empty --listen 127.0.0.1:0 --only-peers --json
download nofile --json
download bad.torrent
download {HASH}
download ftp://x/y
download magnet:?xt=urn:btih:short
download hybrid.torrent --select 9
download hybrid.torrent --high 0,9
download hybrid.torrent --low 9 --json
download hybrid.torrent --high 0 --low 0
download hybrid.torrent --select 0,9 --json
download hybrid.torrent --proxy x
download hybrid.torrent --bind nosuch0
download hybrid.torrent --ip-filter nofile
download hybrid.torrent --listen 203.0.113.1:5 --only-peers
download hybrid.torrent -o . --listen 127.0.0.1:0 --only-peers
download http://127.0.0.1:9/a.torrent --listen 127.0.0.1:0 --only-peers
download '{KEYS_LINK}' --listen 127.0.0.1:0 --only-peers --json
download hybrid.torrent --peer no-such-name.invalid:5 --listen 127.0.0.1:0 --only-peers
tracker --allow nofile
tracker --allow one --http 127.0.0.1:0
tracker --deny bad.torrent --http 127.0.0.1:0
tracker --http 203.0.113.1:1
dht keygen d
dht put nofile --bootstrap 127.0.0.1:9
dht put --text x --key one --bootstrap 127.0.0.1:9
dht put --text x --key nofile
dht put one
dht put nofile --bencoded
dht get-peers {HASH} --bootstrap 127.0.0.1:9 --timeout 1 --json
dht node --listen 203.0.113.1:1
""".strip().splitlines()
"""What is begun and comes to an end by itself."""

PORT = re.compile(r"127\.0\.0\.1:[0-9]{2,}")
TIME = re.compile(r'("seconds":|verified in )[0-9.]+')
WHY = re.compile(r"(can't be (?:listened at|fetched|looked up): ).*")
MADE = ("made.torrent", "one.torrent", "q", "x")


@dataclass(frozen=True)
class Told:
    """What came of it: the exit code, what was said, what was complained of, what was made."""

    code: int
    out: str
    complaint: str
    made: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, code: int, out: str, complaint: str) -> Told:
        """Without what differs from run to run, and what helps after a complaint."""
        made = tuple((name, Path(name).read_bytes()) for name in MADE if Path(name).is_file())
        for name, _ in made:
            Path(name).unlink()
        plain = TIME.sub(r"\1T", PORT.sub("127.0.0.1:N", out.replace(PROGRAM, "millstream")))
        return cls(code, plain, complaint.replace(PROGRAM, "millstream").split("\n\n")[0].strip(), made)

    def without_why(self) -> Told:
        """Without the host's own words for what it can't do, which Python says in another way."""
        return replace(self, complaint=WHY.sub(r"\1", self.complaint))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with torrents and what they are of: whole, damaged, hostile."""
    place = tmp_path_factory.mktemp("parity")
    for folder in ("d/sub", "damaged/d/sub", "empty", "loose"):
        (place / folder).mkdir(parents=True)
    for name, size in (("d/a", 100_000), ("d/sub/b", 70_000), ("d/empty", 0), ("one", 1000)):
        (place / name).write_bytes(payload(size, size + 1))
    (place / "d/link").symlink_to("sub/b")
    (place / "loose/link").symlink_to("/nowhere")
    (place / "damaged/d/a").write_bytes(payload(100_000, 5))
    (place / "damaged/d/sub/b").write_bytes((place / "d/sub/b").read_bytes())
    for name, more in (("hybrid", "d"), ("v2", "d --v2"), ("signed", f"one --update-url http://x/ {SIGNER}")):
        made = subprocess.run([binary(), "create", *shlex.split(more), "-o", f"{name}.torrent"], cwd=place, timeout=60)
        assert made.returncode == 0
    whole = (place / "hybrid.torrent").read_bytes()
    (place / "bad.torrent").write_bytes(b"no")
    (place / "cut.torrent").write_bytes(whole[:-20])
    # a name and a comment that steer terminals, a path that leads out, a date before all
    files = b"5:filesld6:lengthi5e4:pathl2:..6:e\x1b[2Jf1:\xe2eee"
    info = b"d" + files + b"4:name5:a\x1b\xc2\x9bb12:piece lengthi16384e6:pieces20:%se"
    comment = "c\u202ed\n".encode()
    hostile = b"d7:comment%d:%s13:creation datei-5e4:info%se" % (len(comment), comment, info % bytes(20))
    (place / "hostile.torrent").write_bytes(hostile)
    return place


@pytest.mark.parametrize("case", [*WRONG, *FILES, *BEGUN])
def test_both_say_the_same(
    case: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    args = shlex.split(case)
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    done = subprocess.run([binary(), *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    theirs = Told.of(done.returncode, done.stdout, done.stderr)
    code = main(args)
    out, err = capfd.readouterr()
    assert Told.of(code, out, err) == theirs
    if case in WRONG:
        assert code == 2 and not out
    if code:
        assert out or err, "it says why"


@pytest.mark.parametrize("case", [case for case in BEGUN if case.startswith(("seed", "download"))])
def test_the_asyncio_driver_says_the_same(
    case: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    args = shlex.split(case)
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    done = subprocess.run([binary(), *args], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    code = main([*args, "--driver", "asyncio"])
    out, err = capfd.readouterr()
    ours, theirs = Told.of(code, out, err), Told.of(done.returncode, done.stdout, done.stderr)
    assert ours.without_why() == theirs.without_why()


def test_names_of_any_bytes_are_taken_as_paths_and_refused_as_texts(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    for args in ([b"download", b"\xff"], [b"create", b"\xff"], [b"create", b"one", b"-o", b"x\xff", b"--json"]):
        done = subprocess.run([os.fsencode(binary()), *args], capture_output=True, text=True, timeout=60)
        code = main([os.fsdecode(arg) for arg in args])
        out, err = capfd.readouterr()
        assert Told.of(code, out, err) == Told.of(done.returncode, done.stdout, done.stderr)


def test_values_may_be_joined_and_names_may_stand_anywhere(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    alike = (
        "create one -o made.torrent --json",
        "create -omade.torrent one --json",
        "create --json -o=made.torrent one",
    )
    told = []
    for case in (*alike, "create --output=made.torrent --json -- one"):
        done = subprocess.run([binary(), *shlex.split(case)], capture_output=True, text=True, timeout=60)
        told.append(Told.of(done.returncode, done.stdout, done.stderr))
        code = main(shlex.split(case))
        out, err = capfd.readouterr()
        told.append(Told.of(code, out, err))
    assert told == [told[0]] * 8 and told[0].code == 0 and told[0].made
