"""An honest drain beside an attacker: the time that its deliveries take, over the time without the
attack."""

import time

from attacker import ATTACKS
from rig import HERE, LOAD_CORE, Load, Ours, Result, Spread, Stage, in_turn, rules_text

SLICE_S = 2
BEGIN_S = 0.7  # of the attack, before its slice
RATE = 250  # honest deliveries a second
ROUNDS = 3
HONEST = Load(1, connections=1)
EVERY_LINE = """  - name: every-line
    match: code=H12
    more_than: 1000000
    within: 1m
"""


def honest(ingest):
    """The 95th percentile in ms, and ingest's share of its core meanwhile. The 99th is one of the
    five slowest deliveries of a slice, so one pause of the host doubles it."""
    began, used = time.monotonic(), ingest.cpu_ns()
    report = HONEST.post(ingest.port, "seconds", SLICE_S, rate=RATE)
    return (report["p95_us"] / 1000,
            (ingest.cpu_ns() - used) / 1e9 / (time.monotonic() - began))


def beside(stage, ingest, attack):
    """The attacker has the load's core, and there the honest drain goes first."""
    attacker = stage.start("attacker", ["/usr/bin/python3", "-B", HERE / "attacker.py", attack,
                                        ingest.port], core=LOAD_CORE, gives_way=True)
    time.sleep(BEGIN_S)
    reading = honest(ingest)
    attacker.check()
    attacker.kill()
    ingest.settle()
    return reading


def told(readings):
    p95, busy = zip(*readings)
    return f"p95 {Spread(p95).median:.2f} ms, core {100 * Spread(busy).median:.0f} % busy"


def against_calm(attack):
    with Stage("attack") as stage:
        ingest = Ours(stage, rules_yaml=rules_text(2) + EVERY_LINE).ingest()
        attacked, calm = in_turn(ROUNDS, lambda: beside(stage, ingest, attack),
                                 lambda: honest(ingest))
    p95 = [[p95 for p95, _ in readings] for readings in (attacked, calm)]
    return Result(Spread.of_ratio(*p95), told(attacked), told(calm),
                  f"{ATTACKS[attack].a_second} a second")
