"""Scan: saved logs in, a capture out, and the alerts that replay finds in it."""

import gzip
import json
import os
import pty
import stat
import subprocess

import pytest

from counting import ShiftedClock
from drainwatch import ALERTER, H12, INGEST, OK_LINE, PATIENCE, TIMEOUT, frame, wait_for
from router import load_messages

APPS = """
apps:
  - {name: shop, drain: [d.shop-2, d.shop-1]}
  - {name: web, drain: web-drain}
slack: {channel: C01234567}
rules:
  - {name: h12, source: heroku, field: code=H12, more_than: 3, within: 5m}
"""


def at(second, minute=6):
    return f"2026-05-07T08:{minute:02}:{second:02}.250000+00:00"


def heroku(message, second, source="heroku", process="router"):
    return f"{at(second)} {source}[{process}]: {message}\n".encode()


def bare(message, second, source=None, process=None):
    return f"{at(second)} {message}\n".encode()


def framed(message, second, source="heroku", process="router"):
    return frame(message, source, process, at=at(second))


STORM = [(OK_LINE, 1), (H12, 2), (H12, 3), (OK_LINE, 3), (H12, 4), (H12, 5), (H12, 6)]


def log(form, lines=STORM):
    return b"".join(form(message, second) for message, second in lines)


class Entry:
    def __init__(self, entry, pb):
        self.step_us = entry.step_us
        self.kind = entry.WhichOneof("input")
        self.rules = entry.rules if self.kind == "rules" else None
        self.record = pb.Record.FromString(entry.record) if self.kind == "record" else None


def entries(capture, folder):
    from google.protobuf.internal.decoder import _DecodeVarint32
    pb = load_messages(folder)
    messages, here = [], 0
    while here < len(capture):
        n, here = _DecodeVarint32(capture, here)
        messages.append(capture[here:here + n])
        here += n
    assert pb.CaptureHeader.FromString(messages[0]).magic == "drainwatch-capture"
    return [Entry(pb.Entry.FromString(pb.Captured.FromString(m).entry), pb) for m in messages[1:]]


def scan(s, *args, code=0, **kw):
    run = s.run(INGEST, "scan", *args, **kw)
    assert run.returncode == code, run.stderr
    assert code or run.stdout
    return run


def replay(s, capture):
    run = s.run(ALERTER, "replay", "--format", "json", stdin=capture)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


# ---- the capture ----

@pytest.mark.parametrize("form", [framed, heroku, bare])
def test_what_would_have_alerted(site, form):
    s = site()
    alert, = replay(s, scan(s, stdin=log(form)).stdout)
    assert (alert["rule"], alert["app"], alert["count"]) == (
        "h12-request-timeout", "raxx-console-prod", 4)
    assert alert["at"] == alert["last"] == "2026-05-07T08:06:05.250000Z"
    assert alert["first"] == "2026-05-07T08:06:02.250000Z"


def test_in_one_line_of_a_shell(site):
    s = site()
    run = s.run("/bin/sh", "-c", f"'{INGEST}' scan | '{ALERTER}' replay", stdin=log(heroku))
    assert run.returncode == 0
    assert b"h12-request-timeout: 4 in 5 minutes" in run.stdout


def test_forms_mixed_and_both_rules(site):
    s = site()
    mixed = b"".join((framed, heroku)[i % 2](*line) for i, line in enumerate(STORM))
    for second in (7, 8, 9):
        mixed += heroku(TIMEOUT, second, "app", "web.1")
    found = replay(s, scan(s, stdin=mixed).stdout)
    assert [a["rule"] for a in found] == ["h12-request-timeout", "gunicorn-worker-timeout"]


def test_each_line_is_a_record_at_its_own_time(site, tmp_path):
    s = site()
    found = entries(scan(s, stdin=log(heroku)).stdout, tmp_path)
    assert found[0].kind == "rules" and found[0].rules == s.rules.read_text()
    records = [e.record for e in found[1:]]
    assert [r.sequence for r in records] == [1, 2, 3, 4, 5]
    for entry, second in zip(found[1:], (2, 3, 4, 5, 6)):
        r = entry.record
        assert entry.step_us == r.received_us == 1778141160250000 + second * 1000000
        assert entry.step_us > found[0].step_us
        assert (r.sender, r.frame_id, r.drain, r.lines) == (bytes(16), "", "", 1)
        assert [(m.rule, list(m.time_deltas_us)) for m in r.matches] == [
            ("h12-request-timeout", [0])]


def test_a_line_without_a_time_is_at_that_of_the_one_before(site, tmp_path):
    s = site()
    lines = H12.encode() + b"\n" + heroku(OK_LINE, 7) + H12.encode() + b"\n"
    run = scan(s, stdin=lines)
    assert [e.step_us for e in entries(run.stdout, tmp_path)[1:]] == [0, 1778141167250000]
    assert b"1 matched before the first line with a time, and are taken at 1970-01-01 00:00:00 UTC" in run.stderr


def test_the_same_bytes_wherever_and_whenever(site, tmp_path):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(log(framed) + log(heroku) + log(bare))
    runs = [scan(s, path), scan(s, stdin=path.read_bytes()), scan(s, "-", stdin=path.read_bytes()),
            scan(s, path, TZ="Asia/Tokyo", LC_ALL="C.UTF-8"),
            scan(s, path, TZ="EST5EDT", LC_ALL="tr_TR.UTF-8"), scan(s, path, LC_ALL="de_DE.UTF-8")]
    assert len({run.stdout for run in runs}) == 1
    assert len({run.stderr for run in runs}) == 1


def test_live_and_scanned_agree(site):
    """The same lines, once delivered and once from a file, alert alike."""
    s = site()
    s.ingest(), s.alerter()
    lines = b"".join(frame(H12) for _ in range(4))
    assert s.post(lines) == 204

    def decided():
        return [json.loads(line) for line in
                s.run(ALERTER, "outbox", "--format", "json").stdout.splitlines()]
    live = wait_for(decided, "the alert")[0]
    scanned = replay(s, scan(s, "--drain", live["app"], stdin=lines).stdout)[0]
    for key in ("rule", "app", "group", "count", "threshold", "window_s", "first", "last"):
        assert scanned[key] == live[key]


def test_what_is_lost_makes_an_alert_at_least(site):
    s = site()
    lines = log(heroku, STORM[:4])
    lines += heroku(f"Error L10 (output buffer overflow): 17 messages dropped since {at(1)}.", 4,
                    "heroku", "logplex")
    run = scan(s, stdin=lines + log(heroku, STORM[4:]))
    assert b"17 lost" in run.stderr
    assert [a["at_least"] for a in replay(s, run.stdout)] == [True]


# ---- inputs ----

def test_several_files_are_streams_of_their_own_and_time_goes_on(site, tmp_path):
    s = site()
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    one.write_bytes(heroku(H12, 1) + framed(H12, 2)[:-5])  # the frame is cut off
    two.write_bytes(H12.encode() + b"\n" + heroku(H12, 3))
    run = scan(s, one, two)
    found = [e.step_us % 60000000 for e in entries(run.stdout, tmp_path)[1:]]
    assert found == [1250000, 2250000, 2250000, 3250000]
    again = scan(s, one, "-", stdin=two.read_bytes())
    assert again.stdout == run.stdout


def test_files_in_the_wrong_order_are_noticed(site, tmp_path):
    s = site()
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_bytes(log(heroku).replace(b"T08:", b"T06:"))
    new.write_bytes(log(heroku))
    assert b"older than" not in scan(s, old, new).stderr
    assert b"5 more than an hour older than a line before them" in scan(s, new, old).stderr


@pytest.mark.parametrize("how", ["stdin", "file", "device"])
def test_nothing_comes_of_nothing(site, tmp_path, how):
    s = site()
    (tmp_path / "empty").write_bytes(b"")
    args = {"stdin": [], "file": [tmp_path / "empty"], "device": ["/dev/null", tmp_path / "empty"]}
    run = scan(s, *args[how])
    assert b"scanned 0 lines, 0 bytes" in run.stderr
    assert [e.kind for e in entries(run.stdout, tmp_path)] == ["rules"]
    assert replay(s, run.stdout) == []


def test_a_huge_line_costs_only_itself(site):
    s = site()
    huge = at(2).encode() + b" heroku[router]: code=H12 " + b"x" * 5_000_000 + b"\n"
    run = scan(s, stdin=huge + log(heroku) + b"\0" * 1_000_000)
    assert b"2 malformed" in run.stderr
    assert b"6 matches" in run.stderr
    assert len(run.stdout) < 20_000
    assert [a["count"] for a in replay(s, run.stdout)] == [4]


def test_random_bytes(site):
    s = site()
    noise = bytes((i * 7919 + (i >> 7) * 104729) & 0xff for i in range(300_000))
    run = scan(s, stdin=noise + b"\n" + log(heroku))
    assert [a["count"] for a in replay(s, run.stdout)] == [4]


def test_what_cannot_be_read_is_named_before_anything_is_written(site, tmp_path):
    s = site()
    good = tmp_path / "good.log"
    good.write_bytes(log(heroku))
    for bad in ("nowhere.log", str(tmp_path)):
        run = scan(s, good, bad, code=1)
        assert run.stdout == b"" and bad.encode() in run.stderr
        assert len(run.stderr.splitlines()) == 1
    if os.geteuid() != 0:
        good.chmod(stat.S_IWUSR)
        assert scan(s, good, code=1).stdout == b""


def test_a_gzipped_log_is_read(site, tmp_path):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(gzip.compress(log(heroku, STORM[:3])) + gzip.compress(log(heroku, STORM[3:])))
    plain = scan(s, stdin=log(heroku))
    for run in (scan(s, path), scan(s, stdin=path.read_bytes())):
        assert run.stdout == plain.stdout and run.stderr == plain.stderr


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:60] + b"x" * 20 + b[80:]])
def test_a_damaged_gzip_is_named(site, tmp_path, damage):
    s = site()
    path = tmp_path / "app.log.gz"
    path.write_bytes(damage(gzip.compress(log(heroku))))
    run = scan(s, path, code=65)
    assert run.stdout == b"" and b"app.log.gz: the gzip file is damaged or cut off" in run.stderr


@pytest.mark.parametrize("command, head", [
    ("xz -dc", b"\xfd7zXZ\0"), ("bzip2 -dc", b"BZh91AY&SY"), ("zstd -dc", b"\x28\xb5\x2f\xfd"),
    ("unzip -p", b"PK\x03\x04")])
def test_other_packings_are_named_with_the_command_that_unpacks_them(site, tmp_path, command, head):
    s = site()
    path = tmp_path / "app.log.packed"
    path.write_bytes(head + b"\x80" * 200)
    run = scan(s, path, code=65)
    assert run.stdout == b""
    assert f"{command} {path} | drainwatch-ingest scan".encode() in run.stderr
    assert f"{command} FILE |".encode() in scan(s, stdin=path.read_bytes(), code=65).stderr


def papertrail(message, second):
    return (f"{second}\t2026-05-07 08:06:{second:02}\t2026-05-07 08:06:{second:02}\t42\tshop\t"
            f"192.0.2.9\tLocal3\tInfo\theroku/router\t{message}\n").encode()


def papertrail_json(message, second):
    return json.dumps({"id": "7", "generated_at": f"2026-05-07T08:06:{second:02}Z",
                       "program": "heroku/router", "message": message}).encode() + b"\n"


def vector_json(message, second):
    return json.dumps({"app_name": "heroku", "proc_id": "router", "message": message,
                       "timestamp": at(second)}).encode() + b"\n"


def coloured(message, second):
    pairs = " ".join(f"\x1b[2m{k}=\x1b[22m\x1b[31m{v}\x1b[39m" for k, _, v in
                     (pair.partition("=") for pair in message.split(" ") if "=" in pair))
    return f"\x1b[36m{at(second)} heroku[router]:\x1b[39m {pairs}\n".encode()


def viewer(message, second):
    return f"{at(second)} heroku router - - {message}\n".encode()


def without_host(message, second):
    line = f"<158>1 {at(second)} heroku router - {message}\n".encode()
    return b"%d %s" % (len(line), line)


@pytest.mark.parametrize("form, name", [
    (papertrail, b"a Papertrail archive"), (papertrail_json, b"JSON lines"),
    (vector_json, b"JSON lines"), (coloured, None), (viewer, None), (without_host, None)])
def test_logs_as_people_have_them(site, tmp_path, form, name):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(log(form))
    run = scan(s, path)
    alert, = replay(s, run.stdout)
    assert (alert["rule"], alert["count"]) == ("h12-request-timeout", 4)
    assert alert["at"].startswith("2026-05-07T08:06:05.")
    assert (b"app.log: read as " in run.stderr) == (name is not None)
    assert name is None or b"read as " + name in run.stderr
    packed = scan(s, stdin=gzip.compress(path.read_bytes()))
    assert packed.stdout == run.stdout
    run = scan(s, stdin=log(form).replace(b"H12", b"H13"))
    assert b"h12-request-timeout: 0 matches" in run.stderr


def test_hours_apart_is_no_storm(site):
    s = site()
    rows = b"".join(papertrail(H12, 12).replace(b"08:06:12", b"%02d:06:12" % hour)
                    for hour in range(8, 13))
    run = scan(s, stdin=rows)
    assert b"h12-request-timeout: 5 matches" in run.stderr and replay(s, run.stdout) == []


def test_a_continuation_belongs_to_the_line_before(site):
    s = site()
    lines = b"".join(heroku("StandardError: upstream said 422", second, "app", "worker.1")
                     + b"  at=error code=H12\n" for second in range(6))
    assert b"h12-request-timeout: 0 matches" in scan(s, stdin=lines).stderr
    lines = lines.replace(b"app[worker.1]", b"heroku[router]")
    assert b"h12-request-timeout: 6 matches" in scan(s, stdin=lines).stderr


def test_a_log_without_times_is_said_loudly(site, tmp_path):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(b"May  7 08:00:12 shop heroku/router: code=H12\n" * 7)
    run = scan(s, path, code=65)
    loud = b"app.log: none of its 7 lines has a time or a source that can be read"
    assert run.stdout == b"" and loud in run.stderr
    (tmp_path / "good.log").write_bytes(log(heroku))
    run = scan(s, tmp_path / "good.log", path)
    assert loud in run.stderr and b"h12-request-timeout: 12 matches" in run.stderr


def test_marks_of_other_encodings(site, tmp_path):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(log(heroku).decode().encode("utf-16"))
    run = scan(s, path, code=65)
    assert run.stdout == b"" and b"iconv" in run.stderr
    path.write_bytes(b"\xef\xbb\xbf" + log(heroku))
    marked = scan(s, path).stdout
    path.write_bytes(log(heroku))
    assert marked == scan(s, path).stdout


# ---- rules and drains ----

def test_bad_rules_are_named_with_all_their_faults(site, tmp_path):
    s = site()
    bad = tmp_path / "bad.yaml"
    bad.write_text(APPS.replace("within: 5m", "within: 5").replace("more_than: 3", "more_than: x"))
    run = scan(s, "--rules", bad, code=78)
    assert run.stdout == b"" and run.stderr.count(b"bad.yaml:") == 2
    run = scan(s, "--rules", "nowhere.yaml", code=78)
    assert run.stdout == b"" and b"nowhere.yaml" in run.stderr


def test_a_failed_scan_is_named_once_in_a_pipe(site):
    s = site()
    for args, named in (("--rules nowhere.yaml", b"nowhere.yaml"), ("nowhere.log", b"nowhere.log")):
        run = s.run("/bin/sh", "-c", f"'{INGEST}' scan {args} | '{ALERTER}' replay")
        assert run.returncode == 65 and run.stdout == b""
        said = sorted(run.stderr.splitlines())
        assert said[0].startswith(b"drainwatch-alerter: standard input: is empty")
        assert said[1].startswith(b"drainwatch-ingest: ") and named in said[1] and len(said) == 2
    run = s.run("/bin/sh", "-c", f"'{ALERTER}' replay </dev/null")
    assert run.returncode == 65 and b"drainwatch-alerter: standard input" in run.stderr


def test_only_the_rules_setting_is_used(site):
    s = site()
    run = scan(s, stdin=log(heroku), HEROKU_LOG_DRAIN_HMAC_SECRET="",
               FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING="", DRAINWATCH_STATE_DIR="/proc/no-such")
    assert len(replay(s, run.stdout)) == 1
    assert sorted(p.name for p in s.folder.iterdir()) == ["rules.yaml"]
    run = scan(s, "--rules", s.rules, stdin=log(heroku), DRAINWATCH_RULES="nowhere.yaml")
    assert len(replay(s, run.stdout)) == 1


@pytest.mark.parametrize("name, drain, app", [
    ("d.shop-1", "d.shop-1", "shop"), ("web-drain", "web-drain", "web"),
    ("web", "web-drain", "web"), ("shop", "d.shop-1", "shop")])
def test_whose_logs_they_are(site, tmp_path, name, drain, app):
    s = site(rules=APPS)
    for args in (["--drain", name], [f"--drain={name}"]):
        run = scan(s, *args, stdin=log(heroku))
        assert {e.record.drain for e in entries(run.stdout, tmp_path)[1:]} == {drain}
        assert [a["app"] for a in replay(s, run.stdout)] == [app]


def test_a_drain_of_no_app_is_refused_with_those_that_there_are(site):
    s = site(rules=APPS)
    for args in ([], ["--drain", "d.unknown"], ["--drain", ""]):
        run = scan(s, *args, code=64, stdin=log(heroku))
        assert run.stdout == b""
        for known in (b"d.shop-1, of shop", b"d.shop-2, of shop", b"web-drain, of web"):
            assert known in run.stderr


def test_any_drain_is_of_the_default_app(site):
    s = site(rules="app: rest\n" + APPS)
    for args in ([], ["--drain", "d.unknown"], ["--drain", "rest"]):
        assert [a["app"] for a in replay(s, scan(s, *args, stdin=log(heroku)).stdout)] == ["rest"]
    run = scan(s, "--drain", "web", stdin=log(heroku))
    assert [a["app"] for a in replay(s, run.stdout)] == ["web"]


# ---- messages ----

def test_the_summary(site):
    s = site()
    lines = log(heroku)
    assert scan(s, stdin=lines).stderr.decode().splitlines() == [
        f"drainwatch-ingest: scanned 7 lines, {len(lines)} bytes",
        "drainwatch-ingest:   h12-request-timeout: 5 matches",
        "drainwatch-ingest:   gunicorn-worker-timeout: 0 matches"]


def test_many_rules_that_match_nothing_are_counted(site):
    rules = "app: a\nslack: {channel: C1}\nrules:\n" + "".join(
        f"  - {{name: r{i}, match: 'no{i}such', more_than: 0, within: 1m}}\n" for i in range(50))
    s = site(rules=rules)
    run = scan(s, stdin=b"2026-05-07T08:06:12Z no7such\n")
    assert b"r7: 1 match\n" in run.stderr and b"49 more rules matched nothing" in run.stderr
    assert len(run.stderr.splitlines()) == 3


def test_usage(site, tmp_path):
    s = site()
    for args in (["--bogus"], ["-x"], ["--rules"], ["--drain"], ["-", "-"]):
        run = scan(s, *args, code=64)
        assert run.stdout == b"" and run.stderr.startswith(b"drainwatch-ingest: ")
    run = scan(s, "--help")
    assert b"scan [--rules FILE] [--drain NAME] [FILE...]" in run.stdout and not run.stderr
    assert b"scan [--rules FILE]" in s.run(INGEST, "--help").stdout
    odd = s.folder / "--odd.log"
    odd.write_bytes(log(heroku))
    assert b"scanned 7 lines" in scan(s, "--", "--odd.log").stderr


class OnTerminal:
    """A scan whose standard error (or another stream) is a terminal."""

    def __init__(self, s, *args, env=None, **streams):
        self.master, self.slave = pty.openpty()
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": self.slave,
                   **{name: self.slave if where == "terminal" else where
                      for name, where in streams.items()}}
        self.process = subprocess.Popen([str(INGEST), "scan", *map(str, args)],
                                        env={**s.env(), **(env or {})}, cwd=s.folder, **streams)
        os.close(self.slave)
        self.shown = b""

    def read_until(self, text):
        while text not in self.shown:
            self.shown += os.read(self.master, 4096)

    def read_all(self):
        try:
            while (more := os.read(self.master, 4096)):
                self.shown += more
        except OSError:  # EIO: nobody has the other end any more
            pass
        os.close(self.master)
        return self.shown


def screen(shown):
    """The lines that are left on a terminal."""
    left = []
    for line in shown.decode().replace("\r\n", "\n").split("\n"):
        seen = ""
        for text in line.split("\r"):
            seen = text + seen[len(text):]
        left.append(seen.rstrip())
    return left


def test_a_terminal_takes_no_capture(site):
    s = site()
    t = OnTerminal(s, s.rules, stdout="terminal", stderr=subprocess.PIPE)
    assert t.process.wait(PATIENCE) == 64
    assert b"binary" in t.process.stderr.read() and t.read_all() == b""
    t = OnTerminal(s, stdin="terminal")
    assert t.process.wait(PATIENCE) == 64
    assert b"terminal" in t.read_all() and t.process.stdout.read() == b""


def test_progress_of_a_file(site, tmp_path):
    """The scan waits for its reader while the clock goes on."""
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(log(heroku) * 20_000)
    clock = ShiftedClock(tmp_path)
    t = OnTerminal(s, path, env={k: str(v) for k, v in clock.settings.items()})
    capture = t.process.stdout.read(1000)
    clock.sleep(60)
    reader = subprocess.Popen(["cat"], stdin=t.process.stdout, stdout=subprocess.DEVNULL)
    t.read_until(b" left")
    t.process.stdout.close()
    assert t.process.wait(PATIENCE) == 0 and reader.wait(PATIENCE) == 0
    shown = t.read_all()
    assert capture and b"\rscan: " in shown and b" % of " in shown
    left = screen(shown)
    assert left[0].startswith("drainwatch-ingest: scanned 140000 lines")
    assert not [line for line in left if "scan: " in line]


def test_progress_of_a_pipe_and_of_what_is_quick(site, tmp_path):
    s = site()
    clock = ShiftedClock(tmp_path)
    env = {k: str(v) for k, v in clock.settings.items()}
    t = OnTerminal(s, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env)
    # Zeros of a size that no pipe holds: once they are written, the scan has read some of them.
    t.process.stdin.write(at(1).encode() + b" " + b"\0" * (2 << 20))
    t.process.stdin.flush()
    clock.sleep(60)
    t.process.stdin.write(b"\0" * (2 << 20))
    t.process.stdin.flush()
    t.read_until(b"\rscan: ")
    t.process.stdin.close()
    assert t.process.wait(PATIENCE) == 0
    shown = t.read_all()
    assert b" MB" in shown and b"%" not in shown and "scan: " not in "".join(screen(shown))
    quick = tmp_path / "quick.log"
    quick.write_bytes(log(heroku))
    t = OnTerminal(s, quick, stdout=subprocess.DEVNULL)
    assert t.process.wait(PATIENCE) == 0 and b"\r" not in t.read_all().replace(b"\r\n", b"")


def test_a_reader_that_goes(site, tmp_path):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(log(heroku) * 20_000)
    p = subprocess.Popen([str(INGEST), "scan", str(path)], env=s.env(), cwd=s.folder,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(1000)
    p.stdout.close()
    assert p.wait(PATIENCE) == 1
    assert p.stderr.read() == b""


def test_a_full_disk(site, tmp_path):
    s = site()
    path = tmp_path / "app.log"
    path.write_bytes(log(heroku))
    with open("/dev/full", "wb") as full:
        run = subprocess.run([str(INGEST), "scan", str(path)], env=s.env(), stdout=full,
                             stderr=subprocess.PIPE, timeout=PATIENCE)
    assert run.returncode == 1 and b"cannot write: No space left" in run.stderr


def test_memory_stays_flat(site, tmp_path):
    """40 MB of matching lines, and one line of 40 MB, take little more than none at all."""
    s = site()
    # AddressSanitizer keeps freed memory for a while; here that would look like growth.
    env = s.env() | {"ASAN_OPTIONS": "quarantine_size_mb=1"}

    def peak_kb(chunk, times):
        p = subprocess.Popen([str(INGEST), "scan"], env=env, stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        p.stdin.write(heroku(OK_LINE, 1))
        for _ in range(times):
            p.stdin.write(chunk)
        p.stdin.flush()
        status = (f"/proc/{p.pid}/status")
        kb = [int(line.split()[1]) for line in open(status) if line.startswith("VmHWM")][0]
        p.stdin.close()
        assert p.wait(PATIENCE) == 0
        return kb

    lines = log(framed) * 100
    small = peak_kb(lines, 20)
    for chunk in (lines, b"x" * len(lines)):
        assert peak_kb(chunk, 40_000_000 // len(lines)) < 1.5 * small
