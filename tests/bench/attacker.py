#!/usr/bin/python3
"""Attacks an ingest at a bounded rate, until it is stopped.

    attacker.py ATTACK PORT

Opens one connection after the other, sends a request or a part of one, and keeps so many open.
"""

import collections
import dataclasses
import os
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(os.path.abspath(__file__)).parents[1] / "system"))

from attacks import ENDLESS_EXTENSION, PARTIAL_HEAD, WITHHELD_BODY, bomb
from drainwatch import OK_LINE, RawClient, frame, whole


@dataclasses.dataclass
class Attack:
    what: str
    a_second: int  # new connections
    kept: int  # open at once
    request: bytes


ATTACKS = {
    "bombs": Attack("gzip bombs of 8 MB", 2, 60, bomb()),
    "bodies": Attack("bodies that do not end", 100, 500, WITHHELD_BODY),
    "silent": Attack("connections that send a part of a head", 100, 500, PARTIAL_HEAD),
    "extensions": Attack("chunk extensions without end", 20, 50, ENDLESS_EXTENSION),
    "strangers": Attack("deliveries with a wrong secret", 200, 50,
                        whole(frame(OK_LINE) * 100, drain="hostile", secret="wrong" * 8)),
}


def open_one(port, request):
    """None if it was closed meanwhile."""
    try:
        return RawClient(port).send(request)
    except OSError:
        return None


def run(attack, port):
    clients = collections.deque()
    began = time.monotonic()
    for n in range(1, sys.maxsize):
        clients.append(open_one(port, attack.request))
        if len(clients) > attack.kept and (oldest := clients.popleft()):
            oldest.close()
        time.sleep(max(0, began + n / attack.a_second - time.monotonic()))


if __name__ == "__main__":
    run(ATTACKS[sys.argv[1]], int(sys.argv[2]))
