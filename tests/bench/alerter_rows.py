"""The alerter: records a second against a bare receive and append; memory; the engine alone; the
start of both programs after a week."""

import shutil
import time

from drainwatch import RawClient, h12, head, whole
from rig import (ALERTER, INGEST, LOAD_CORE, ROOT, SERVER_CORE, BenchError, Load, Ours, Result,
                 Spread, Stage, in_turn, run_tool, tool, wait_for)

RECORDS = 60_000
STORM_KEYS, STORM_BODIES, STORM_LINES = 1000, 200, 1000
STORM_MATCHES = 10_000_000
KEY_BYTES, TIME_BYTES = 400, 24  # alerter/engine/engine.h
GROUP_BYTES = 1200  # ingest/collect/collect.h

# ---- event records a second ----


def fill_spool(stage):
    """A journal of ingest with records that no alerter has seen, each with one match."""
    ours = Ours(stage, "spool")
    ingest = ours.ingest()
    Load(100, matching=10, n_drains=16).post(ours.port, "requests", RECORDS)  # few for each drain
    ingest.kill()  # on SIGTERM it would wait for an alerter
    return ours.folder / "state"


def hand_over(stage, spool, name="taken"):
    """Microseconds of the alerter's processor time a record."""
    shutil.rmtree(stage.folder / name, ignore_errors=True)
    ours = Ours(stage, name)
    shutil.copytree(spool, ours.folder / "state")
    alerter = ours.alerter(core=SERVER_CORE)
    before = alerter.cpu_ns()
    ingest = ours.ingest(core=LOAD_CORE)
    ingest.settle()
    wait_for(lambda: ours.taken() == RECORDS, "the records to be taken")
    alerter.settle()
    used = alerter.cpu_ns() - before
    ingest.stop()
    alerter.stop()
    return used / RECORDS / 1000


def hand_over_bare(stage, spool):
    endpoint, db = f"ipc://{stage.folder}/bare.sock", stage.folder / "bare.db"
    for path in stage.folder.glob("bare.*"):
        path.unlink()
    receiver = stage.start("bare", [tool("bare_alerter"), "receive", endpoint, db, RECORDS],
                           core=SERVER_CORE)
    sender = stage.start("bare-send", [tool("bare_alerter"), "send", endpoint, spool / "ingest.db"],
                         core=LOAD_CORE)
    if receiver.popen.wait(60) != 0 or sender.popen.wait(60) != 0:
        raise BenchError(f"bare_alerter: {receiver.log.read_text()}{sender.log.read_text()}")
    return int(receiver.log.read_text()) / RECORDS / 1000


def alerter_against_bare():
    with Stage("records") as stage:
        spool = fill_spool(stage)
        mine, bare = in_turn(5, lambda: hand_over(stage, spool),
                             lambda: hand_over_bare(stage, spool))
    return Result(Spread.of_ratio(bare, mine), f"{1e6 / Spread(mine).median:,.0f}/s",
                  f"{1e6 / Spread(bare).median:,.0f}/s")


# ---- memory ----

STORM_RULES = """app: bench
slack: {channel: C0}
rules:
  - {name: storm, match: storm, group_by: process, more_than: 1000000, within: 5m, cooldown: 5m}
"""


_memory = {}


def memory():
    """Resident bytes of ingest and alerter: idle; after a storm on one key, which fills the shared
    buffers; after a storm on all keys. Measured once for the rows that need it."""
    if not _memory:
        with Stage("memory") as stage:
            ours = Ours(stage, rules_yaml=STORM_RULES)
            both = (ours.ingest(), ours.alerter())

            def after(load, requests):
                load.post(ours.port, "requests", requests)
                for process in both:
                    process.settle()
                return [process.resident_bytes() for process in both]

            _memory["idle"] = after(Load(1), 10)
            for name, keys in (("one", 1), ("storm", STORM_KEYS)):
                _memory[name] = after(Load(STORM_LINES, 1000, count=STORM_BODIES, keys=keys),
                                      STORM_MATCHES // STORM_LINES)
    return _memory


def of_both(sizes):
    ingest, alerter = (size / 2**20 for size in sizes)
    return f"ingest {ingest:.1f}, alerter {alerter:.1f} MB"


def idle_memory():
    """The larger of the two, in MB."""
    idle = memory()["idle"]
    return Result(Spread([max(idle) / 2**20]), of_both(idle), "itself")


def storm_growth():
    """The growth of both together, over the documented memory of the keys."""
    sizes = memory()
    times = STORM_BODIES * STORM_LINES // STORM_KEYS
    documented = STORM_KEYS * (KEY_BYTES + TIME_BYTES * times + GROUP_BYTES)
    grown = sum(sizes["storm"]) - sum(sizes["one"])
    return Result(Spread([grown / documented]),
                  f"{grown / 2**20:.1f} MB; {of_both(sizes['storm'])}",
                  f"{documented / 2**20:.1f} MB",
                  f"{times} distinct times a key; as many matches of one key before: "
                  f"{of_both(sizes['one'])}")


# ---- the engine alone ----

# Keys, window in seconds, milliseconds between two matches of a key.
ENGINE_WINDOWS = [(100, window, 60_000) for window in (60, 3600, 86400)]


def engine_flat(cases):
    """The most expensive case over the cheapest."""
    readings = in_turn(3, *[lambda case=case: float(run_tool("engine_cost", *case))
                            for case in cases])
    ratios = [max(costs) / min(costs) for costs in zip(*readings)]
    costs = ", ".join(f"{Spread(r).median:.0f}" for r in readings)
    return Result(Spread(ratios), f"{costs} ns", "itself")


# ---- a start after a week ----

def status(port, request):
    """0 while nobody answers."""
    try:
        with RawClient(port) as client:
            return client.send(request).answer()[0]
    except OSError:
        return 0


def start_ms(stage, week):
    """From the start of both programs to the first 204, and to both being well."""
    shutil.rmtree(stage.folder / "start", ignore_errors=True)
    ours = Ours(stage, "start")
    state = ours.folder / "state"
    state.mkdir()
    shutil.copy(week, state / "alerter.db")
    began = time.monotonic()
    alerter = stage.start("start-alerter", [ALERTER], env=ours.env)
    ingest = stage.start("start-ingest", [INGEST], env=ours.env)
    wait_for(lambda: status(ours.port, whole(h12())) == 204, "the first delivery")
    accepted = time.monotonic()
    health = head(method="GET", path="/healthz", drain=None)
    wait_for(lambda: status(ours.port, health) == 200, "GET /healthz to answer 200")
    well = time.monotonic()
    ingest.stop()
    alerter.stop()
    return (accepted - began) * 1000, (well - began) * 1000


def start_after_a_week():
    with Stage("start") as stage:
        week = stage.folder / "week.db"
        written = run_tool("week", week, ROOT / "rules.yaml")
        (readings,) = in_turn(5, lambda: start_ms(stage, week))
        size = week.stat().st_size / 1e6
    return Result(Spread([ms for ms, _ in readings]),
                  f"healthy after {Spread([ms for _, ms in readings]).median:.0f} ms", "itself",
                  f"{int(written):,} records, {size:.0f} MB")
