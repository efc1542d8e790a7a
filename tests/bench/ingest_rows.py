"""Ingest: the server's processor time for a request, against a server that discards it, and against
itself; deliveries a second against the same job in Python."""

from rig import (ROOT, SERVER_CORE, Load, Ours, Result, Spread, Stage, cpu_per_request, discard,
                 in_turn, pool, run_tool)

SLICE_S = 0.25
ROUNDS = 11


def us(readings):
    return f"{Spread(readings).median:.1f} µs"


def against_discard(load, rules=2, alerter=False):
    """The cost of a server that only reads, over ours."""
    with Stage("discard") as stage:
        theirs = discard(stage)
        ours = Ours(stage, rules=rules)
        if alerter:
            ours.alerter()
        ingest = ours.ingest()
        mine, floor = in_turn(ROUNDS, lambda: cpu_per_request(ingest, load, SLICE_S),
                              lambda: cpu_per_request(theirs, load, SLICE_S))
    return Result(Spread.of_ratio(floor, mine), us(mine), us(floor))


def against_itself(load, other_load=None, rules=2, other_rules=2):
    """The cost in the ordinary case, over the cost in this one."""
    with Stage("itself") as stage:
        ordinary = Ours(stage, "ordinary", rules=other_rules).ingest()
        this = Ours(stage, "this", rules=rules).ingest()
        mine, usual = in_turn(ROUNDS, lambda: cpu_per_request(this, load, SLICE_S),
                              lambda: cpu_per_request(ordinary, other_load or load, SLICE_S))
    return Result(Spread.of_ratio(usual, mine), us(mine), us(usual))


STALL_S = 60


def longest_stall():
    """The longest time, in seconds, in which no connection at all was answered."""
    with Stage("stall") as stage:
        ingest = Ours(stage).ingest()
        gaps = {n: Load(100, connections=n).post(ingest.port, "seconds", STALL_S)["gap_us"] / 1e6
                for n in (16, 256)}
    return Result(Spread([max(gaps.values())]),
                  ", ".join(f"{gap * 1000:.0f} ms at {n}" for n, gap in gaps.items()), "itself")


STAGES = {"no match": (100, 0), "1 match": (100, 10), "50 matches": (100, 500)}


def stages():
    """The microseconds of each stage of ingest alone, for 100 lines with some matches. The kernel and
    libmicrohttpd are left out; `discard` measures those."""
    found = {}
    for name, bodies in STAGES.items():
        out = run_tool("stages", pool(*bodies), ROOT / "rules.yaml", core=SERVER_CORE)
        us = {stage: float(n) for stage, n in map(str.split, out.splitlines())}
        found[name] = {"check the credentials": us["authenticate"],
                       "one pass of Hyperscan": us["look"],
                       "walk the frames": us["walk"] - us["look"],
                       "judge, collect, pack": us["deliver"] - us["walk"]}
    return found
