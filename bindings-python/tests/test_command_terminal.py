"""The command on a terminal: bars at its foot, colours unless they are refused; and what is made of the definition of
its arguments: completion scripts, and the manual page.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from commands import HERMETIC, MODULE, binary, command, run, until
from drivers_stage import payload

from millstream._command import main, shells
from millstream._command.arguments import COMMAND, SHELLS
from millstream._command.bars import Bar, Bars, cut
from millstream._command.grammar import Asked
from millstream._command.helped import walk

VERBS = walk(Asked((COMMAND,)))


def on_terminal(*args: str | Path, cwd: Path, program: list[str] = MODULE, **env: str) -> tuple[int, str]:
    """Runs it with a terminal for stdout and stderr: its exit code, and all that came."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 130))
    environment = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(cwd / "state"), **env}
    environment.pop("NO_COLOR", None)
    environment |= {name: value for name, value in env.items() if name == "NO_COLOR"}
    words = [*program, *map(str, args)]
    process = subprocess.Popen(words, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    came = b""
    try:
        while select.select([ours], [], [], 30)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            came += part
        return process.wait(30), came.decode("utf-8", "replace")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file, its torrent, and one whose name would steer a terminal."""
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed" / "thing.bin").write_bytes(payload(3 << 20))
    assert run("create", "seed/thing.bin", "-o", "a.torrent", cwd=tmp_path).returncode == 0
    return tmp_path


def shown(screen: str) -> str:
    """What is left of what was written, without what moves and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)


@pytest.mark.parametrize("who", ["module", "binary"])
def test_a_download_on_a_terminal_has_a_bar_and_lines_above_it(folder: Path, who: str) -> None:
    program = MODULE if who == "module" else [str(binary())]
    with command("seed", "a.torrent", "--data", "seed", "--json", *HERMETIC, cwd=folder) as seed:
        where = until(seed, "listening")["address"]
        args = ["download", "a.torrent", "-o", "here", "--peer", where, "--max-download", "1MiB", *HERMETIC]
        code, screen = on_terminal(*args, cwd=folder, program=program)
        assert code == 0
        plain = shown(screen)
        assert re.search(r"thing\.bin \[=*>? *\] \d+% of 3\.0 MiB, down [\d.]+ [KM]iB/s, up 0 B/s, ETA", plain), plain
        assert len(re.findall(r"thing\.bin \[", plain)) >= 5, "it moves"
        assert "\x1b[32m" in screen and "\x1b[2m" in screen, "what is done is green, the rest is dim"
        lines = [line.strip() for line in re.split(r"[\r\n]+", plain)]
        assert any(re.fullmatch(r"thing\.bin: complete: 3\.0 MiB verified in [\d.]+ s", line) for line in lines), lines
        assert "stopped: 3.0 MiB received, 0 B sent" in lines
        again, plain_screen = on_terminal(
            *args[:2], "-o", "there", *args[4:], cwd=folder, program=program, NO_COLOR="1"
        )
        assert again == 0 and "\x1b[32m" not in plain_screen


@pytest.mark.parametrize("verb", ["create", "verify"])
def test_blocking_work_on_a_terminal_has_a_bar_that_is_gone_at_the_end(folder: Path, verb: str) -> None:
    args = (
        ["create", "seed/thing.bin", "-o", "b.torrent"]
        if verb == "create"
        else ["verify", "a.torrent", "--data", "seed"]
    )
    code, screen = on_terminal(*args, cwd=folder)
    what = "hashing" if verb == "create" else "verifying"
    assert code == 0 and re.search(rf"{what} \[.*\] \d+% of 3\.0 MiB, ", shown(screen)), screen
    last = screen.rsplit("\x1b[J", 1)[-1]
    assert what not in last, "the bar was taken away before the result"
    assert on_terminal(*args, "--json", cwd=folder)[1].count("\x1b[") == 0


def test_a_complaint_is_red_on_a_terminal_and_steers_nothing(folder: Path) -> None:
    code, screen = on_terminal("inspect", "no\x1b[2Jsuch", cwd=folder)
    assert code == 1 and screen.startswith("\x1b[1;31merror:\x1b[0m no\ufffd[2Jsuch can't be read")
    assert on_terminal("inspect", "x", cwd=folder, NO_COLOR="1")[1].startswith("error: x can't")


def test_bars_are_no_wider_than_the_terminal_and_say_how_far_it_is() -> None:
    bar = Bar("name", 10)
    bar.done, bar.all, bar.words = 0, 4, "words"
    drawn = []
    for bar.done in range(5):
        drawn.append(bar.drawn(False))
    assert drawn == [
        "name [          ] words",
        "name [==>       ] words",
        "name [=====>    ] words",
        "name [=======>  ] words",
        "name [==========] words",
    ]
    assert cut("\x1b[32mgreen\x1b[0m and more", 5) == "\x1b[32mgreen\x1b[0m"
    bars = Bars()
    assert bars.add(bar) is bar
    with bars.aside():
        pass
    bars.remove(bar)


def test_a_closed_stdout_ends_nothing(folder: Path) -> None:
    for module in ([sys.executable, "-m", "millstream"], [str(binary())]):
        words = " ".join([*module, "verify", "a.torrent", "--data", "seed"])
        done = subprocess.run(
            f"{words} >&-; echo $?", shell=True, cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert (done.stdout, done.stderr) == ("0\n", "")
        script = f"set -o pipefail; {words} | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("0\n", "")


# ---- completion scripts


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A completion script."""
    assert main(["completions", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_knows_every_verb_and_every_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for asked in VERBS:
        assert " ".join(("millstream", *asked.names)) in text
        for option in shells.options(asked):
            assert (f"-l {option.name}" if shell == "fish" else f"--{option.name}") in text
    assert "keep-interval" not in text, "what is hidden stays hidden"
    if shell == "bash":
        checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, timeout=30)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("", {"download", "dht", "help"}, {"--select"}),
        ("dow", {"download"}, {"seed"}),
        ("download --", {"--select", "--driver", "--json", "--help"}, {"--data"}),
        ("-v download --sel", {"--select"}, {"--seed"}),
        ("download --utp ", {"on", "off", "only"}, {"--json"}),
        ("download --max-upload ", set(), {"--json"}),
        ("dht ", {"get-peers", "put"}, {"download"}),
        ("dht put --k", {"--key", "--keep"}, {"--keep-interval"}),
        ("completions ", set(SHELLS), {"download"}),
        ("download x.tor", set(), {"download"}),
        ("inspect some", {"some.torrent"}, {"--json"}),
    ],
)
def test_bash_completes_by_its_script(
    line: str, wanted: set[str], unwanted: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some.torrent").touch()
    words = ["millstream", *line.split(" ")]
    listed = " ".join(f"'{word}'" for word in words)
    ask = f'COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _millstream; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", script("bash", capsys) + ask], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    found = set(done.stdout.split())
    assert done.returncode == 0 and wanted <= found and not unwanted & found, (done.stdout, done.stderr)


# ---- the manual page


def test_the_manual_page_has_every_verb_and_every_option_and_no_stray_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["man"]) == 0
    page = capsys.readouterr().out
    assert page.isascii(), "what troff reads is"
    known = re.compile(r"\.(TH|SH|TP|PP|nf|fi)( .*)?")
    for line in page.splitlines():
        assert not line.startswith("'") and (not line.startswith(".") or known.fullmatch(line)), line
    plain = page.replace(r"\-", "-")
    for asked in VERBS[1:]:
        section = plain.split(f'.SH "MILLSTREAM {" ".join(asked.names).upper()}"\n', 1)[1].split("\n.SH", 1)[0]
        for option in shells.options(asked):
            assert f"\\fB--{option.name}\\fR" in section
    assert "keep-interval" not in plain and "Exit codes:" in plain
