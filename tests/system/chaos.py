"""Kills everything at random moments, and then counts.

Two ingests and an alerter on one queue. Drains deliver as Logplex does, through both ingests, and
retry through either; all three programs are killed with SIGKILL, alone and together, up and just
starting; Slack misbehaves. At the end, when all is quiet:

  * the recorded stream is compared with the deliveries, frame by frame. Every frame that was
    answered 2xx is there with each of its matches. A frame that was never answered may be there.
    There are no others;
  * the engine's count of each rule is the number of matches in these frames, each frame once. The
    rules alert on every match with a window of a month, so the last alert's count is the total;
  * `outbox --format json` lists each alert once, and `export | replay --format json` lists the
    same;
  * each alert is on Slack, in the order of decision. It is there twice only if Slack's answer was
    cut off or the alerter was killed before it noted the answer.

The long form:

    python3 tests/system/chaos.py --seed 7 --seconds 120
    python3 tests/system/chaos.py --seed 7 --seconds 120 --slow-disk 300
    python3 tests/system/chaos.py --seed 7 --seconds 120 --queue tcp --history 256KiB

takes the programs from DRAINWATCH_BIN (build/bin if unset), prints its actions as one JSON object,
and exits 0 if every check passed. The seed decides the actions; their exact moments depend on the
machine. With --history the recorded stream is kept short, so that snapshots and trimming are tested,
too. Frames are then not compared one by one: the counts of the stubborn drains are exact, those of
the others lie within bounds. After the first minute ingests are also frozen for longer than Logplex
waits.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

from drainwatch import (ALERTER, INGEST, OK_LINE, Site, frame, free_port, now, preloaded,
                        wait_for)
from logplex import Door, Frame, LogplexDrain
from router import load_messages
from slack import SlackStandIn

GIVEN_UP = [f"given-up-{n}" for n in range(4)]  # of drains that try three times
STUBBORN = [f"stubborn-{n}" for n in range(4)]  # of drains that try until they are answered
RULES = GIVEN_UP + STUBBORN
COOLDOWN_S = 2
CHANNELS = {rule: f"C{rule.upper()}" for rule in RULES}
BAD = ("damaged", "set aside", "never be read", "AddressSanitizer", "runtime error", "Assertion",
       "not handed over", "newer build")
SLACK = ("ok", "ok", "500", "503", "429:1", "lost", "lost", "truncated", "close", "garbage", "empty",
         "slow:0.3", "error:internal_error", "hang")
NEAR_S = 1  # between a post and the kill that kept the alerter from noting its answer
HANG_S = 15  # how long the alerter waits for an answer


def rules_text(rules=RULES, within="31d", cooldown=f"{COOLDOWN_S}s"):
    head = "app: chaos\nmessages: 1000/1s\nslack:\n  channel: C0\nrules:\n"
    return head + "".join(
        f"  - name: {rule}\n    match: 'marker {rule}\\b'\n    more_than: 0\n    within: {within}\n"
        f"    cooldown: {cooldown}\n    channel: {CHANNELS.get(rule, 'C0')}\n" for rule in rules)


def marker(rule, **kw):
    return frame(f"marker {rule} of a test", **kw)


class Recorded:
    """What a capture holds: the frames in it, each once."""

    def __init__(self, capture, folder):
        from google.protobuf.internal.decoder import _DecodeVarint32
        pb = load_messages(folder)
        self.records, self.repeats, at, first = [], 0, 0, True
        while at < len(capture):
            n, at = _DecodeVarint32(capture, at)
            if not first:
                entry = pb.Entry.FromString(pb.Captured.FromString(capture[at:at + n]).entry)
                if entry.WhichOneof("input") == "record":
                    self.records.append(pb.Record.FromString(entry.record))
            first, at = False, at + n
        self.frames = {}
        for record in self.records:
            key = record.drain, record.frame_id
            self.repeats += key in self.frames
            self.frames.setdefault(key, self.matches(record))

    @staticmethod
    def matches(record):
        found = {}
        for group in record.matches:
            found[group.rule] = found.get(group.rule, 0) + len(group.time_deltas_us)
        return found

    def total(self, rule):
        return sum(matches.get(rule, 0) for matches in self.frames.values())


class Life:
    """A program that is started and killed again and again."""

    def __init__(self, name, start, ready):
        self.name = name
        self.kills = []  # when, by time.monotonic()
        self.program = None
        self._start = start
        self.ready = ready

    def start(self):
        self.program = self._start()

    def wait_ready(self):
        self.program.wait_said(self.ready)

    @property
    def alive(self):
        return self.program is not None

    def kill(self):
        code = self.program.process.poll()
        self.kills.append(time.monotonic())
        self.program.kill()
        self.check(code is None, f"ended by itself with {code}")
        self.program = None

    def stop(self):
        code = self.program.stop()
        self.check(code == 0, f"SIGTERM ended it with {code}")
        self.program = None

    def said(self):
        return self.program.lines[-5:] + self.program.errors[-10:]

    def check(self, good, what):
        bad = [line for word in BAD for line in self.program.said(word)]
        if not good or bad:
            raise AssertionError(f"{self.name}: {what if not good else bad}: {self.said()}")


def difference(replayed, listed):
    """The first alert that differs, short enough for a failure's text."""
    at = next((i for i, pair in enumerate(zip(replayed, listed)) if pair[0] != pair[1]),
              min(len(replayed), len(listed)))
    return (f"alert {at} of {len(replayed)} replayed and {len(listed)} listed: "
            f"{replayed[at:at + 1]} {listed[at:at + 1]}")


class Chaos:
    def __init__(self, folder, seed=7, seconds=20, queue="ipc", history=None, slow_disk=0):
        self.folder = pathlib.Path(folder)
        self.rng = random.Random(seed)
        self.seconds = seconds
        self.history = history
        self.result = {"seed": seed, "queue": queue, "history": history, "slow_disk": slow_disk}
        self.slack = SlackStandIn()
        endpoint = f"tcp://127.0.0.1:{free_port()}" if queue == "tcp" else \
            f"ipc://{self.folder}/queue.sock"
        settings = {"SLACK_API_URL": self.slack.url, "SLACK_BOT_TOKEN": self.slack.token,
                    "DRAINWATCH_QUEUE": endpoint}
        if history:
            settings["DRAINWATCH_HISTORY_MAX_BYTES"] = history
        self.site = Site(self.folder / "site", rules=rules_text(), **settings)
        self.preload = {}
        if slow_disk:
            self.preload = preloaded(self.folder, SLOW_DISK_US=slow_disk)
        self.doors = [Door(free_port()), Door(free_port())]
        self.ingests = [self._ingest(n, door) for n, door in enumerate(self.doors)]
        self.alerter = Life("alerter", lambda: self.site.alerter(ready=False, **self.preload), "ready")
        self.alerters = [self.alerter]
        self.lives = [*self.ingests, self.alerter]
        self.stopping = threading.Event()
        self.faults = []
        self.pause_s = 0.012  # of a drain after a delivery, at most
        self.freezes = 0
        self.upset = {}  # channel: how many tries it must have seen to be upset again
        self.newest = {}  # rule: its newest alert

    def _ingest(self, n, door):
        def start():
            return self.site.ingest(ready=False, PORT=door.port, **self.preload,
                                    DRAINWATCH_STATE_DIR=self.folder / f"ingest-{n}")
        return Life(f"ingest {n}", start, "listening on port")

    def run(self):
        began = time.monotonic()
        with self.slack:
            try:
                self._run()
            finally:
                self.stopping.set()
                for life in self.lives:
                    if life.alive:
                        life.program.process.kill()
                        life.program.wait()
        self.result["took_s"] = round(time.monotonic() - began, 1)
        return self.result

    def _run(self):
        for life in self.lives:
            life.start()
        for life in self.lives:
            life.wait_ready()
        self._make_drains()
        threads = [threading.Thread(target=self._deliver, args=(drain, rules, random.Random(n)),
                                    daemon=True)
                   for n, (drain, rules) in enumerate(self.drains)]
        for thread in threads:
            thread.start()
        try:
            self._wreck()
        finally:
            self.stopping.set()
            if sys.exc_info()[0]:
                for drain, _ in self.drains:
                    drain.enough.set()
            for thread in threads:
                thread.join()
        assert not self.faults, self.faults
        self._settle()
        self._judge()

    # --- the drains ---

    def _make_drains(self):
        def drain(name, rules, **kw):
            rng = random.Random(f"{self.result['seed']} {name}")
            return LogplexDrain(name, self.doors, rng, zipped=0.2, **kw), rules

        self.drains = [drain(f"plain-{n}", GIVEN_UP) for n in range(2)]
        self.drains += [drain(f"cut-{n}", GIVEN_UP, cut=0.1) for n in range(2)]
        self.drains += [drain(f"stubborn-{n}", STUBBORN, stubborn=True, cut=0.1) for n in range(2)]

    def _deliver(self, drain, rules, rng):
        try:
            while not self.stopping.is_set():
                one = self._frame(rules, rng)
                drain.deliver(one)
                one.body = b""  # there are many in a long run
                time.sleep(rng.uniform(0, self.pause_s))
            drain.close()
        except Exception as fault:  # a thread's exception would pass unseen
            self.faults.append(f"{drain.name}: {fault!r}")

    @staticmethod
    def _frame(rules, rng):
        n = rng.choice((1, 1, 1, 2, 3, 5, 8, 13)) if rng.random() < 0.98 else 300
        matches, lines = {}, []
        for _ in range(n):
            at = now(-rng.uniform(0, 30))
            if rng.random() < 0.5:
                rule = rng.choice(rules)
                matches[rule] = matches.get(rule, 0) + 1
                lines.append(marker(rule, at=at, source="app", process=f"web.{rng.randint(1, 3)}",
                                    newline=rng.random() < 0.9))
            elif rng.random() < 0.95:
                lines.append(frame(OK_LINE, at=at))
            else:
                lines.append(frame("x" * rng.randint(1000, 9000), at=at, source="app"))
        return Frame(b"".join(lines), matches, lines=n)

    # --- the chaos ---

    def _wreck(self):
        a, b, c = self.lives
        until = time.monotonic() + self.seconds
        while time.monotonic() < until and not self.faults:
            time.sleep(self.rng.uniform(0, 0.5))
            self._upset_slack(until)
            if self.seconds >= 60 and self.rng.random() < 0.02:
                self._freeze(self.rng.choice((a, b)))
            victims = self.rng.choice(([a], [b], [c], [c], [c], [a, c], [b, c], [a, b], [a, b, c]))
            for life in victims:
                life.kill()
            time.sleep(self.rng.choice((0, self.rng.uniform(0, 0.05), self.rng.uniform(0, 0.6))))
            for life in self.rng.sample(victims, len(victims)):
                life.start()
                if self.rng.random() < 0.2:  # just starting: journals being made or opened
                    time.sleep(self.rng.uniform(0, 0.03))
                    life.kill()
                    life.start()

    def _upset_slack(self, until):
        behaviour, channel = self.rng.choice(SLACK), self.rng.choice(list(CHANNELS.values()))
        tries = sum(post.channel == channel for post in self.slack.posts)
        # One that fails again and again is tried less and less, and the end has to wait for it.
        rests = tries < self.upset.get(channel, 0)
        if not rests and until - time.monotonic() > (HANG_S if behaviour == "hang" else 5):
            self.slack.behave(behaviour, channel=channel)
            self.upset[channel] = tries + 2

    def _freeze(self, life):
        """Longer than Logplex waits."""
        self.freezes += 1
        life.program.signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(5.5, 6.5))
        life.program.signal(signal.SIGCONT)

    # --- the end ---

    def _outbox(self):
        """Lists the alerts, and keeps each rule's newest one: a short history forgets it, too, as
        soon as Slack has it."""
        run = self.site.run(ALERTER, "outbox", "--format", "json")
        assert run.returncode == 0, run.stderr
        rows = [json.loads(line) for line in run.stdout.splitlines()]
        self.newest.update((row["rule"], row) for row in rows)
        return rows

    def _settle(self):
        """Everything is handed over, decided and posted; then all stop in order."""
        first, second = self.ingests
        self.slack.recover()
        for life in self.lives:
            life.wait_ready()
        second.stop()  # only when the alerter has acked all that it holds
        self._ask()
        wait_for(lambda: all(a["delivery"]["state"] == "delivered" for a in self._outbox()),
                 "everything on Slack", timeout=60)
        self.site.wait_healthy(port=self.doors[0].port)
        order = self.rng.choice(([first, self.alerter], [self.alerter, first]))
        for life in order:
            life.program.signal(signal.SIGTERM)
        for life in order:
            life.stop()

    def _ask(self):
        """Makes all rules alert on one last frame. The alerter takes each ingest's records in their
        order, so nothing comes after it. A record shortly before it may have alerted, so that the
        frame falls into a cooldown; then the frame is sent again."""
        self.last = LogplexDrain("last", self.doors[:1], self.rng, stubborn=True)
        body = b"".join(marker(rule) for rule in RULES)
        until = time.monotonic() + 60
        while True:
            time.sleep(COOLDOWN_S + 0.1)
            before = max(self._last_alerts())
            assert self.last.deliver(Frame(body, {rule: 1 for rule in RULES}, lines=len(RULES)))
            end = min(time.monotonic() + 5, until)
            while time.monotonic() < end:
                times = set(self._last_alerts())
                if len(times) == 1 and times.pop() > before:
                    return
                time.sleep(0.05)
            assert end < until, f"no last alerts: {self._last_alerts()}, {self.alerter.said()}"

    def _last_alerts(self):
        """When each rule alerted last."""
        self._outbox()
        return [self.newest[rule]["at"] if rule in self.newest else "" for rule in RULES]

    # --- the count ---

    def _judge(self):
        alerts = self._outbox()
        counts = {rule: alert["count"] for rule, alert in self.newest.items()}
        drains = [drain for drain, _ in self.drains] + [self.last]
        capture = self.site.run(ALERTER, "export", timeout=60)
        assert capture.returncode == 0, capture.stderr
        recorded = Recorded(capture.stdout, self.folder)
        self._tell(drains, recorded, alerts)
        self._judge_counts(drains, counts)
        if not self.history:
            self._judge_frames(drains, recorded)
            for rule in RULES:
                assert counts[rule] == recorded.total(rule), (rule, counts, self.result)
        self._judge_alerts(alerts, capture.stdout)
        self._judge_slack(alerts)

    def _tell(self, drains, recorded, alerts):
        self.result.update(
            kills=sum(len(life.kills) for life in self.lives),
            kills_of_alerter=sum(len(life.kills) for life in self.alerters), freezes=self.freezes,
            frames=sum(len(d.frames) for d in drains),
            answered=sum(len(d.answered) for d in drains),
            given_up=sum(len(d.unanswered) for d in drains),
            retries=sum(d.retries for d in drains), elsewhere=sum(d.elsewhere for d in drains),
            reports=sum(d.reports for d in drains),
            matches_answered=sum(sum(d.sum(d.answered).values()) for d in drains),
            records=len(recorded.records), repeats=recorded.repeats, alerts=len(alerts),
            posts=len(self.slack.posts), messages=len(self.slack.delivered))

    def _judge_counts(self, drains, counts):
        """Compares the engine's counts with the answered deliveries."""
        for rule in RULES:
            sure = sum(d.sum(d.answered).get(rule, 0) for d in drains)
            perhaps = sum(d.sum(d.unanswered).get(rule, 0) for d in drains)
            if rule in STUBBORN:
                assert perhaps == 0
            assert sure <= counts[rule] <= sure + perhaps, (rule, sure, perhaps, counts, self.result)

    def _judge_frames(self, drains, recorded):
        sent = {(d.name, f.id): f for d in drains for f in d.frames}
        lost = [(d.name, f.id, f.tries) for d in drains for f in d.answered
                if f.matches and (d.name, f.id) not in recorded.frames]
        assert not lost, f"{len(lost)} answered and not recorded: {lost[:5]}"
        strange = [key for key in recorded.frames if key not in sent]
        assert not strange, f"{len(strange)} that nobody sent: {strange[:5]}"
        wrong = [(key, sent[key].matches, found) for key, found in recorded.frames.items()
                 if sent[key].matches != found]
        assert not wrong, f"{len(wrong)} with other matches: {wrong[:5]}"
        extra = [key for key in recorded.frames if not sent[key].answered]
        self.result["counted_without_answer"] = len(extra)

    def _judge_alerts(self, alerts, capture):
        ids = [alert["id"] for alert in alerts]
        assert len(ids) == len(set(ids)), "an alert is listed twice"
        replay = self.site.run(ALERTER, "replay", "--format", "json", stdin=capture, timeout=60)
        assert replay.returncode == 0, replay.stderr
        replayed = [json.loads(line) for line in replay.stdout.splitlines()]
        listed = [{k: v for k, v in a.items() if k != "delivery"} for a in alerts]
        # A shortened history replays the last alerts only.
        if self.history:
            listed = listed[-len(replayed):] if replayed else []
        assert replayed == listed, difference(replayed, listed)

    def _may_be_twice(self, one, again):
        """Whether the alerter was killed before it could note the answer to the first one."""
        # The stand-in is a thread of a busy process and may notice a post late.
        return any(abs(at - one.monotonic) < NEAR_S and at < again.monotonic
                   for at in self.alerter.kills)

    def _may_be_strange(self, post):
        """Whether a post may be of an alert that is not listed."""
        return False

    def _judge_slack(self, alerts):
        # A request whose sender was killed while it sent is cut off.
        refused = [error for error, _ in self.slack.refusals]
        kills = sum(len(life.kills) for life in self.alerters)
        assert set(refused) <= {"invalid_json"} and len(refused) <= kills, refused
        posts = {}
        for post in self.slack.delivered:
            posts.setdefault(post.id, []).append(post)
        missing = [a["id"] for a in alerts if a["id"] not in posts]
        assert not missing, f"never on Slack: {missing}"
        if not self.history:
            listed = {a["id"] for a in alerts}
            strange = {p.id for p in self.slack.delivered
                       if p.id not in listed and not self._may_be_strange(p)}
            assert not strange, f"on Slack and not in the outbox: {strange}"
        self.result["twice"] = 0
        for id_, ones in posts.items():
            for one, again in zip(ones, ones[1:]):
                self.result["twice"] += 1
                cut_off = one.behaviour.partition(":")[0] in ("lost", "truncated")
                assert cut_off or self._may_be_twice(one, again), \
                    f"{id_} twice for no reason: {one} {again}"
        for channel in CHANNELS.values():
            seen = dict.fromkeys(p.id for p in self.slack.delivered if p.channel == channel)
            order = [a["id"] for a in alerts if a["delivery"]["channel"] == channel]
            assert [i for i in seen if i in set(order)] == order, f"out of order in {channel}"


def report(one):
    """Runs it, prints its figures as JSON, and returns the exit code."""
    try:
        one.run()
    except AssertionError as fault:
        print(f"FAILED: {fault}", file=sys.stderr)
        return 1
    finally:
        print(json.dumps(one.result))
    return 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=120, help="of chaos; the end takes longer")
    parser.add_argument("--queue", choices=("ipc", "tcp"), default="ipc")
    parser.add_argument("--history", help="how much of the stream is kept, such as 256KiB")
    parser.add_argument("--slow-disk", type=int, default=0, metavar="US",
                        help="each write takes so long at least, so that a commit can be hit")
    parser.add_argument("--folder", help="keep everything here, which must not exist yet")
    args = parser.parse_args()
    for program in (INGEST, ALERTER):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program}: not there (build it, or set DRAINWATCH_BIN)")

    def run(folder):
        return report(Chaos(folder, args.seed, args.seconds, args.queue, args.history,
                            args.slow_disk))

    if args.folder:
        os.mkdir(args.folder)
        return run(args.folder)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        return run(folder)


if __name__ == "__main__":
    sys.exit(main())
