"""ConnectionPool: how many connections a network bears, decided by core and told in Python."""

from __future__ import annotations

from typing import Any

import pytest

from millstream import DriverError
from millstream.sansio import ConnectionPool, PoolStatus


def open_all(pool: ConnectionPool, now: float) -> list[int]:
    """Opens what the pool allows."""
    numbers = []
    while (owner := pool.next_open(now)) is not None:
        numbers.append(pool.started(owner, now))
    return numbers


def test_a_pool_opens_what_it_allows_and_counts_it() -> None:
    pool = ConnectionPool(links_max=8, half_open_max=3)
    assert pool.next_open(0) is None, "nobody wants one"
    pool.set_wants(7, True, 0)
    numbers = open_all(pool, 0)
    assert len(numbers) == 3 == len(set(numbers))
    pool.opened(numbers[0], 0.25)
    pool.failed(numbers[1], "refused", 0.25)
    pool.received(numbers[0], 5000, 0.3)
    pool.sent(numbers[0], 5000, 0.3)
    status = pool.status(0.5)
    assert status.rate > 0 and status.held is None
    assert isinstance(status, PoolStatus) and (status.mood, status.sign) == ("free", None)
    assert (status.open, status.half_open, status.lingering, status.opening) == (1, 1, 0, 0.25)
    pool.closed(numbers[0], "finished", 1)
    assert pool.status(1).lingering == 1
    pool.set_wants(7, False, 1)
    assert pool.get_timer() is None, "nobody waits for it"


def test_owners_take_turns() -> None:
    pool = ConnectionPool(links_max=6)
    for owner in (1, 2, 3):
        pool.set_wants(owner, True, 0)
    turns = []
    while (turn := pool.next_open(0)) is not None:
        pool.started(turn, 0)
        turns.append(turn)
    assert sorted(turns[:3]) == [1, 2, 3] == sorted(turns[3:])


def test_a_host_without_room_shrinks_the_pool_until_it_has_recovered() -> None:
    pool = ConnectionPool(size_start=64)
    pool.set_wants(1, True, 0)
    numbers = open_all(pool, 0)
    for number in numbers[1:]:
        pool.opened(number, 0)
    pool.failed(numbers[0], "no_room", 0)
    bounded = pool.status(0)
    assert (bounded.mood, bounded.sign) == ("bounded", "no_room") and bounded.size < 64
    timer = pool.get_timer()
    assert timer is not None and timer > 0
    for later in range(1, 100):
        pool.handle_timer(later * 60.0)
    assert pool.status(6000).size > bounded.size


def test_what_makes_no_sense_is_refused_and_changes_nothing() -> None:
    pool = ConnectionPool(now=5)
    wrong: list[Any] = ["soon", None]
    for name in wrong:
        with pytest.raises((DriverError, TypeError)):
            pool.failed(1, name, 5)
        with pytest.raises((DriverError, TypeError)):
            pool.closed(1, name, 5)
        with pytest.raises((DriverError, TypeError)):
            pool.started(1, 5, prospect=name)
    with pytest.raises(DriverError, match="clock"):
        pool.handle_timer(4)
    pool.opened(99, 5)
    pool.closed(99, "lost", 5)
    assert pool.status(5).open == 0
    settings: dict[str, Any] = {"linksmax": 3}
    with pytest.raises(TypeError, match="links_max"):
        ConnectionPool(**settings)
