"""The interop cases between two hosts whose link has nothing but link-local addresses of IPv6: neighbours (BEP 14) find each
other there, and call by the link that they were heard on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from engines.content import marked
from engines.libtorrent_engine import Libtorrent
from engines.node import Job, Node, Reach
from engines.process import poll_until

Case = Callable[[Path], None]
Whole = Callable[[Path, Node], None]

CASE_S = 90.0
ANYWHERE = "[::]:6999"


def link_local_cases(ours: type[Node], home: Path, torrent: Path, whole: Whole) -> dict[str, Case]:
    """Every case by its name; `whole` checks what a leech has."""
    cases: dict[str, Case] = {}
    for seed, leech, utp in (
        (ours, ours, "off"),
        (ours, ours, "only"),
        (Libtorrent, ours, "off"),
        (ours, Libtorrent, "off"),
    ):
        for last in ("seed", "leech"):
            over = "uTP" if utp == "only" else "TCP"
            name = f"{seed.name} -> {leech.name}, link-local neighbours over {over}, the {last} comes last (LSD)"
            cases[name] = _neighbours((seed, leech), last, utp, (home, torrent), whole)
    return cases


class Link:
    """Two hosts, each in a network namespace of its own, and the link between them."""

    def __init__(self) -> None:
        self._holders = [subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) for _ in range(2)]

    def __enter__(self) -> Link:
        ours = os.readlink("/proc/self/ns/net")
        for it in self._holders:
            poll_until(lambda it=it: os.readlink(f"/proc/{it.pid}/ns/net") != ours, CASE_S, 0.01, "a namespace")  # type: ignore[misc]
        a, b = (str(it.pid) for it in self._holders)
        _do("ip", "link", "add", "name", "link0", "netns", a, "type", "veth", "peer", "name", "link0", "netns", b)
        for host in (0, 1):
            # no pause in which an address is tried out
            _do(*self.within(host), "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/link0/accept_dad")
            for name in ("lo", "link0"):
                _do(*self.within(host), "ip", "link", "set", name, "up")
        for host in (0, 1):
            poll_until(lambda host=host: self._has_address(host), CASE_S, 0.05, "an address of the link")  # type: ignore[misc]
        return self

    def __exit__(self, *_: object) -> None:
        for it in self._holders:
            it.kill()
            it.wait()

    def _has_address(self, host: int) -> bool:
        told = subprocess.run(
            [*self.within(host), "ip", "-6", "address", "show", "dev", "link0"],
            capture_output=True, text=True, check=True, timeout=30,
        ).stdout
        return "fe80::" in told and "tentative" not in told

    def within(self, host: int) -> tuple[str, ...]:
        """What runs a command there."""
        return ("nsenter", f"--net=/proc/{self._holders[host].pid}/ns/net")


def _do(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=30, stdin=subprocess.DEVNULL)


def _node(kind: type[Node], job: Job) -> Node:
    """It listens everywhere, and so on the link."""
    if kind is Libtorrent:
        return Libtorrent(job, settings={"listen_interfaces": ANYWHERE})
    return kind(job, extra=("--listen", ANYWHERE))  # type: ignore[call-arg]


def _neighbours(
    kinds: tuple[type[Node], type[Node]], last: str, utp: str, content: tuple[Path, Path], whole: Whole
) -> Case:
    """Two that know nobody; the one that comes last announces to one that listens already."""
    home, torrent = content

    def case(work: Path) -> None:
        reach = Reach(lsd=True, utp=utp)
        (work / "in").mkdir()
        own = marked(torrent, work / "a.torrent", work.name)
        with Link() as link:
            giver = _node(
                kinds[0], Job(home, work / "seed", own, seed=True, reach=reach, within=link.within(0))
            )
            taker = _node(kinds[1], Job(work / "in", work / "leech", own, reach=reach, within=link.within(1)))
            first, second = (taker, giver) if last == "seed" else (giver, taker)
            with first, second:
                first.start(CASE_S)
                second.start(CASE_S)
                taker.wait_complete(CASE_S)
        whole(work / "in", taker)

    return case
