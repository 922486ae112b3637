"""A tracker over UDP (BEP 15) on a plain socket: `python udp_tracker.py [PORT [HOST]]`.

It listens at this machine's own address, 127.0.0.1, unless HOST says otherwise: 0.0.0.0 is for everybody.
"""

from __future__ import annotations

import secrets
import socket
import sys
import time

from millstream.sansio import Tracker


def serve(sock: socket.socket, tracker: Tracker, *, datagrams: int | None = None) -> None:
    """Answers what comes: so many datagrams, or for ever."""
    while datagrams is None or datagrams > 0:
        due = tracker.get_timer()
        sock.settimeout(None if due is None else max(due - time.monotonic(), 0.001))
        try:
            data, addr = sock.recvfrom(2048)
        except TimeoutError:
            tracker.handle_timer(time.monotonic())
            continue
        if (answer := tracker.receive_datagram(data, addr, time.monotonic())) is not None:
            sock.sendto(answer, addr)
        datagrams = None if datagrams is None else datagrams - 1


if __name__ == "__main__":
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        port = int(sys.argv[1]) if len(sys.argv) > 1 else 6969
        own.bind((sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", port))
        print("listening at udp://{}:{}".format(*own.getsockname()), flush=True)
        serve(own, Tracker(secrets.token_bytes(32), now=time.monotonic(), interval_s=900))
