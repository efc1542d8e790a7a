"""Comparisons with the tools that people use today: the same job in Flask, SEC, mtail with Prometheus
and Alertmanager, and grep."""

import json
import os
import resource
import subprocess

from rig import (ALERTER, HERE, INGEST, LOAD_CORE, ROOT, SECRET, SERVER_CORE, WORK, BenchError,
                 Load, Ours, Process, Result, Spread, Stage, drains, free_port, in_turn, quantile, quieter_half,
                 run_tool, tool)

THROUGHPUT_S = 0.8
THROUGHPUT_ROUNDS = 5
DAY_MB = 1000
SEC_MB = 200


# ---- deliveries a second ----

def flask(stage, slack_port=None, **settings):
    port = free_port()
    env = {"HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET, **settings}
    if slack_port:
        env |= {"SLACK_API_URL": f"http://127.0.0.1:{slack_port}/api", "SLACK_BOT_TOKEN": "xoxb-1"}
    return stage.start_on_port(
        "flask", ["/usr/bin/python3", "-B", "/usr/bin/gunicorn", "--workers", "1", "--log-level",
                  "error", "--chdir", HERE, "--bind", f"127.0.0.1:{port}", "flask_app:app"],
        port, core=SERVER_CORE, env=env)


def deliveries(server, load):
    """Deliveries a second by the clock, and a second of processor time, while the load generator
    posts as fast as it can."""
    server.settle()
    before = server.cpu_ns()
    report = load.post(server.port, "seconds", THROUGHPUT_S)
    server.settle()
    return (report["requests"] / report["seconds"],
            report["requests"] / (server.cpu_ns() - before) * 1e9)


def against_flask(load):
    with Stage("flask") as stage:
        theirs = flask(stage)
        ingest = Ours(stage).ingest()
        mine, other = in_turn(THROUGHPUT_ROUNDS, lambda: deliveries(ingest, load),
                              lambda: deliveries(theirs, load))
    (rate, by_cpu), (other_rate, other_by_cpu) = zip(*mine), zip(*other)
    return Result(Spread.of_ratio(by_cpu, other_by_cpu), f"{Spread(by_cpu).median:,.0f} a CPU second",
                  f"{Spread(other_by_cpu).median:,.0f} a CPU second",
                  f"by the clock {Spread.of_ratio(rate, other_rate).median:.1f} ×, as far as the "
                  "load generator goes")


# ---- a log file ----

def day_file(mb):
    path = WORK / f"day-{mb}.log"
    if not path.exists():
        with open(path, "wb") as out:
            subprocess.run([tool("heroku_day"), "--mb", str(mb)], stdout=out, check=True)
    return path


def cpu_seconds(command, env=None):
    """The processor time of all programs in a pipeline. Unlike the clock it does not count the
    machine's neighbours."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, shell=True, capture_output=True, timeout=300, cwd=WORK,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C", **(env or {})})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise BenchError(f"{command}: {done.stderr.decode()[-400:]}")
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def scan_command():
    return f"{INGEST} scan --rules {ROOT / 'rules.yaml'} {day_file(DAY_MB)}"


def scan_against_grep():
    day = day_file(DAY_MB)
    mine, other = in_turn(
        5, lambda: cpu_seconds(f"{scan_command()} >{WORK}/capture"),
        lambda: cpu_seconds(f"grep -c -e 'code=H12' -e 'WORKER TIMEOUT' {day}"))
    return Result(Spread.of_ratio(other, mine), f"{Spread(mine).median:.2f} s",
                  f"{Spread(other).median:.2f} s")


SEC_RULES = r"""type=SingleWithThreshold
ptype=RegExp
pattern=heroku\[router\]: .*\bcode=H12\b
desc=h12
action=write - H12 request timeouts
window=300
thresh=4

type=SingleWithThreshold
ptype=SubStr
pattern=WORKER TIMEOUT
desc=timeout
action=write - Gunicorn worker timeouts
window=120
thresh=3
"""


def replay_against_sec():
    """By processor time for a byte: SEC reads a shorter day, or this would take minutes."""
    rules = WORK / "sec.conf"
    rules.write_text(SEC_RULES)
    sec_day = day_file(SEC_MB)
    sec = f"sec --conf={rules} --input={sec_day} --notail --fromstart --log=/dev/null >/dev/null"
    replay = f"{scan_command()} 2>/dev/null | {ALERTER} replay >{WORK}/alerts"
    mine, other = in_turn(3, lambda: cpu_seconds(replay), lambda: cpu_seconds(sec))
    share = day_file(DAY_MB).stat().st_size / sec_day.stat().st_size
    other = [seconds * share for seconds in other]
    return Result(Spread.of_ratio(other, mine), f"{Spread(mine).median:.2f} s",
                  f"{Spread(other).median:.0f} s", f"SEC read {SEC_MB} of the {DAY_MB} MB")


# ---- from the line to Slack ----

IDLE_LINES, LOADED_LINES, FLASK_LOADED_LINES = 300, 1200, 60
LOADED_SLICES = 12
STACK_LINES = 30


def breach_rules(n):
    """A rule and a channel for each line: Slack allows a channel one message a second, and a key
    cools down for a second at least."""
    return "app: bench\nslack: {channel: C0}\nrules:\n" + "".join(
        f"  - name: breach-{i}\n    field: code=H12\n    match: 'path=\"/breach/{i:04d}\"'\n"
        f"    channel: C{i}\n    more_than: 0\n    within: 1m\n    cooldown: 1s\n"
        "    messages: 1000/1s\n"
        for i in range(n))


def breaches(where, slack_port, first, count, pause_ms=4, under_way=1):
    """The milliseconds from each line to the first byte at Slack."""
    took = run_tool("breach", *where, slack_port, first, count, pause_ms, under_way, core=LOAD_CORE)
    return [us / 1000 for us in json.loads(took)]


class Loaded:
    """Posts half of the deliveries that a server can take, while inside. The poster gives way to the
    program with the clock, which shares its core."""

    def __init__(self, server):
        load = Load(100)
        report = load.post(server.port, "seconds", THROUGHPUT_S)
        half = report["requests"] / report["seconds"] / 2
        self.argv = (tool("post"), *load.args(server.port, "seconds", 60, rate=half))

    def __enter__(self):
        self.post = Process("half", self.argv, core=LOAD_CORE, gives_way=True)

    def __exit__(self, *_):
        self.post.stop()


def slack_settings(port, lines):
    """Of an alerter that alerts on so many lines of `breach`, which listens on the port."""
    return {"rules_yaml": breach_rules(lines), "SLACK_BOT_TOKEN": "xoxb-1",
            "SLACK_API_URL": f"http://127.0.0.1:{port}/api"}


def on_one_core(ours):
    """Starts both programs. Returns ingest."""
    ours.alerter(core=SERVER_CORE)
    return ours.ingest()


def idle_and_loaded(server, slack_port, loaded_lines=LOADED_LINES):
    where = ("post", server.port, drains(1))
    idle = breaches(where, slack_port, 0, IDLE_LINES)
    count = loaded_lines // LOADED_SLICES
    firsts = range(IDLE_LINES, IDLE_LINES + loaded_lines, count)
    with Loaded(server):
        loaded = quieter_half(lambda first=first: breaches(where, slack_port, first, count)
                              for first in firsts)
    return idle, loaded


def told(readings):
    return f"{quantile(readings, 0.5):.2f} / {quantile(readings, 0.99):.2f} ms"


_latencies = {}


def latencies():
    """Ours and Flask's, idle and under half load, three times in turn; measured once for the rows
    that need them."""
    if not _latencies:
        slack_ours, slack_flask = free_port(), free_port()
        with Stage("slack") as stage:
            ours = on_one_core(
                Ours(stage, **slack_settings(slack_ours, IDLE_LINES + LOADED_LINES)))
            theirs = flask(stage, slack_flask, MORE_THAN_H12="0", COOLDOWN_S="0")
            mine, other = in_turn(3, lambda: idle_and_loaded(ours, slack_ours),
                                  lambda: idle_and_loaded(theirs, slack_flask,
                                                          FLASK_LOADED_LINES))
        _latencies.update(ours=mine, flask=other)
    return _latencies["ours"], _latencies["flask"]


def both(readings, q):
    """Of the idle readings of each round, and of those under load."""
    return [quantile(idle, q) for idle, _ in readings], [quantile(load, q) for _, load in readings]


def alert_against_flask():
    mine, other = latencies()
    ratio = Spread.of_ratio(both(other, 0.5)[0], both(mine, 0.5)[0])
    return Result(ratio, told(sum((idle for idle, _ in mine), [])),
                  told(sum((idle for idle, _ in other), [])), "p50 / p99, idle")


def alert_under_load_against_flask():
    mine, other = latencies()
    ratio = Spread.of_ratio(both(other, 0.5)[1], both(mine, 0.5)[1])
    return Result(ratio, told(sum((load for _, load in mine), [])),
                  told(sum((load for _, load in other), [])), "p50 / p99, each at half its load")


def alert_under_load():
    mine, _ = latencies()
    idle, loaded = both(mine, 0.5)[0], both(mine, 0.99)[1]
    return Result(Spread.of_ratio(loaded, idle), f"p99 {Spread(loaded).median:.2f} ms",
                  f"p50 idle {Spread(idle).median:.2f} ms")


MTAIL = """counter h12_total by path
/ heroku\\[router\\]: .*code=H12 .*path="(?P<path>[^"]*)"/ {
  h12_total[$path]++
}
"""
PROMETHEUS = """global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: mtail
    static_configs: [{{targets: ["127.0.0.1:{mtail}"]}}]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]
"""
# Any value of the counter is a breach, because increase() misses the first value of a new series.
PROMETHEUS_RULES = """groups:
  - name: breach
    rules: [{alert: h12, expr: "h12_total > 0"}]
"""
ALERTMANAGER = """route: {{receiver: slack, group_by: [path], group_wait: 0s, group_interval: 1s}}
receivers:
  - name: slack
    webhook_configs: [{{url: "http://127.0.0.1:{slack}/", send_resolved: false}}]
"""


def prometheus_stack(stage, slack_port):
    """mtail on a log file, Prometheus, Alertmanager, each with its shortest intervals."""
    mtail, prometheus, alertmanager = free_port(), free_port(), free_port()
    folder = stage.folder
    log = folder / "app.log"
    log.touch()
    (folder / "h12.mtail").write_text(MTAIL)
    (folder / "rules.yml").write_text(PROMETHEUS_RULES)
    (folder / "prometheus.yml").write_text(
        PROMETHEUS.format(mtail=mtail, alertmanager=alertmanager))
    (folder / "alertmanager.yml").write_text(ALERTMANAGER.format(slack=slack_port))
    stage.start_on_port("mtail", ["mtail", "--progs", folder / "h12.mtail", "--logs", log,
                                  "--address", "127.0.0.1", "--port", mtail], mtail, cwd=folder)
    stage.start_on_port("alertmanager", [
        "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/am", f"--web.listen-address=127.0.0.1:{alertmanager}",
        "--cluster.listen-address="], alertmanager, cwd=folder)
    stage.start_on_port("prometheus", [
        "prometheus", f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{prometheus}"],
        prometheus, cwd=folder)
    return log


def alert_against_prometheus():
    mine, _ = latencies()
    idle = both(mine, 0.5)[0]
    slack_port = free_port()
    with Stage("prometheus") as stage:
        log = prometheus_stack(stage, slack_port)
        theirs = breaches(("append", log), slack_port, 0, STACK_LINES, pause_ms=370, under_way=8)
    p50 = quantile(theirs, 0.5)
    return Result(Spread([p50 / ms for ms in idle]), f"p50 {Spread(idle).median:.2f} ms",
                  f"p50 {p50:,.0f} ms")
