"""What was recorded, replayed, is what ran; and any protobuf implementation can read it."""

import json
import signal
import zlib

import pytest

from drainwatch import ALERTER, INGEST, Site, frame, now, wait_for
from router import load_messages

APPS = """\
app: shop
apps:
  - {name: blog, drain: [d.blog, blog]}
slack: {channel: C1}
"""
RULES = APPS + """\
messages: 1000/1s
rules:
  - {name: h12, source: heroku, field: code=H12, more_than: 3, within: 5m, cooldown: 1s, group_by: path}
  - {name: worker, source: app, match: WORKER TIMEOUT, more_than: 2, within: 2m, cooldown: 1s,
     group_by: [process]}
  - {name: boom, apps: blog, match: BOOM, more_than: 0, within: 1m, cooldown: 1h}
"""
OTHER = (RULES.replace("more_than: 3", "more_than: 4").replace("within: 2m", "within: 3m")
         .replace("match: BOOM", "match: BO+M"))


def alerts(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


def h12(n, path, **kw):
    return b"".join(frame(f'at=error code=H12 path="{path}" dyno=web.1', **kw) for _ in range(n))


def worker(n, process, **kw):
    return b"".join(frame("[4] [CRITICAL] WORKER TIMEOUT (pid:17)", source="app", process=process,
                          **kw) for _ in range(n))


def boom(n):
    return frame("BOOM", source="app", process="web.1") * n


def entries_of(capture, pb):
    """The entries of a capture, as bytes."""
    from google.protobuf.internal.decoder import _DecodeVarint32
    at, messages = 0, []
    while at < len(capture):
        n, at = _DecodeVarint32(capture, at)
        messages.append(capture[at:at + n])
        at += n
    header = pb.CaptureHeader.FromString(messages[0])
    assert (header.magic, header.version) == ("drainwatch-capture", 1)
    captured = [pb.Captured.FromString(m) for m in messages[1:]]
    assert all(zlib.crc32(c.entry) == c.crc for c in captured)
    return [c.entry for c in captured]


def capture_of(entries, pb):
    """The other way round."""
    from google.protobuf.internal.encoder import _VarintBytes
    messages = [pb.CaptureHeader(magic="drainwatch-capture", version=1)]
    messages += [pb.Captured(entry=e, crc=zlib.crc32(e)) for e in entries]
    packed = [m.SerializeToString() for m in messages]
    return b"".join(_VarintBytes(len(m)) + m for m in packed)


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    return load_messages(tmp_path_factory.mktemp("pb"))


def run_live(folder, pb, reload):
    """A live run with storms in two apps and several groups, repeats, late lines, restarts of every
    kind, and, if asked for, new rules, by a signal and by a restart."""
    s = Site(folder, rules=RULES)
    ingest, alerter = s.ingest(), s.alerter()

    def recorded_rules():
        capture = s.run(ALERTER, "export").stdout
        return sum(pb.Entry.FromString(e).WhichOneof("input") == "rules"
                   for e in entries_of(capture, pb))
    for i in range(8):
        s.wait_healthy()
        body = h12(5, "/a") + h12(i, "/b") + worker(2, "web.1") + worker(i, "web.2") + boom(1)
        assert s.post(body, frame_id=f"frame-{i}") == 204
        assert s.post(h12(5, "/a"), frame_id=f"frame-{i}") == 204  # a repeat counts for nothing
        assert s.post(body, drain="d.blog", frame_id=f"frame-{i}") == 204  # but not of another drain
        assert s.post_basic(h12(2, "/c", at=now(-600)) + boom(i), name="blog") == 204
        if i == 1:
            alerter.kill()
            alerter = s.alerter()
        if i == 2:
            assert ingest.stop() == 0
            ingest = s.ingest()
        if i == 3 and reload:
            s.rules.write_text(OTHER)
            ingest.signal(signal.SIGHUP)
            alerter.signal(signal.SIGHUP)
            wait_for(lambda: recorded_rules() == 2, "the new rules in the stream")
        if i == 4:
            ingest.kill()
            ingest = s.ingest()
        if i == 5:
            if reload:
                s.rules.write_text(RULES)
            assert alerter.stop() == 0
            alerter = s.alerter()
    s.wait_healthy()
    assert ingest.stop() == 0
    assert alerter.stop() == 0
    assert recorded_rules() == (3 if reload else 1)
    return s


@pytest.fixture(scope="module")
def ran(tmp_path_factory, pb):
    return run_live(tmp_path_factory.mktemp("ran"), pb, reload=True)


@pytest.fixture(scope="module")
def steady(tmp_path_factory, pb):
    """Of one rules file from the start to the end, so that a cold start under it decides the same."""
    return run_live(tmp_path_factory.mktemp("steady"), pb, reload=False)


def decided_live(site):
    """What the outbox lists, without what became of it, as replay prints it."""
    live = site.run(ALERTER, "outbox", "--format", "json")
    assert live.returncode == 0
    listed = alerts(live)
    for one in listed:
        assert one.pop("delivery")["state"] == "delivered"
    return "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in listed)


@pytest.mark.parametrize("which", ["ran", "steady"])
def test_replay_prints_what_was_decided_live_byte_for_byte(which, request):
    s = request.getfixturevalue(which)
    capture = s.run(ALERTER, "export")
    replay = s.run(ALERTER, "replay", "--format", "json", stdin=capture.stdout)
    assert capture.returncode == replay.returncode == 0
    assert replay.stdout.decode() == decided_live(s)
    keys = {(a["app"], a["rule"], *a["group"].items()) for a in alerts(replay)}
    assert keys == {*((app, "h12", ("path", path)) for app in ("shop", "blog") for path in ("/a", "/b")),
                    *((app, "worker", ("process", dyno)) for app in ("shop", "blog")
                      for dyno in ("web.1", "web.2")),
                    ("blog", "h12", ("path", "/c")), ("blog", "boom")}


def test_a_cold_start_under_the_recorded_rules_decides_the_same(steady):
    capture = steady.run(ALERTER, "export").stdout
    run = steady.run(ALERTER, "replay", "--rules", "rules.yaml", "--format", "json", stdin=capture)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout.decode() == decided_live(steady)


def test_replay_does_not_depend_on_where_and_when(ran, tmp_path):
    path = tmp_path / "stream.capture"
    path.write_bytes(ran.run(ALERTER, "export").stdout)
    prints = {ran.run(ALERTER, "replay", str(path), TZ=zone, LC_ALL=locale).stdout
              for zone, locale in (("UTC", "C"), ("Asia/Tokyo", "C.UTF-8"), ("EST5EDT", "tr_TR"))}
    assert len(prints) == 1 and prints.pop()


def test_export_beside_the_running_alerter(site):
    s = site(rules=RULES)
    s.ingest(), s.alerter()
    s.wait_healthy()
    assert s.post(h12(4, "/a")) == 204

    def decided():
        capture = s.run(ALERTER, "export", "--since", "1h")
        assert capture.returncode == 0
        return alerts(s.run(ALERTER, "replay", "--format", "json", stdin=capture.stdout))
    assert wait_for(decided, "the alert in the exported stream")[0]["count"] == 4


def test_another_protobuf_implementation_reads_a_capture(ran, pb):
    kinds, matches, groups = set(), 0, set()
    for bytes_ in entries_of(ran.run(ALERTER, "export").stdout, pb):
        entry = pb.Entry.FromString(bytes_)
        kinds.add(entry.WhichOneof("input"))
        if entry.WhichOneof("input") == "record":
            for m in pb.Record.FromString(entry.record).matches:
                matches += len(m.time_deltas_us)
                groups |= {(m.rule, g.key, g.value) for g in m.group}
    assert {"record", "rules", "snapshot"} >= kinds >= {"record", "rules"}
    assert matches >= 8 * 3 * 5  # the repeats are recorded too: the engine finds them again
    assert groups == {("h12", "path", path) for path in ("/a", "/b", "/c")}


def test_an_empty_input_is_no_capture(ran):
    run = ran.run(ALERTER, "replay", stdin=b"")
    assert (run.returncode, run.stdout) == (65, b"")
    assert b"standard input: is empty, so it holds no events (scan and export" in run.stderr
    (ran.folder / "empty").write_bytes(b"")
    run = ran.run(ALERTER, "replay", ran.folder / "empty")
    assert run.returncode == 65 and b"empty: is empty, so it holds no events" in run.stderr


@pytest.mark.parametrize("cut", [10, -1, -40])
def test_a_cut_capture_is_replayed_up_to_the_cut(ran, cut):
    whole = ran.run(ALERTER, "export").stdout
    run = ran.run(ALERTER, "replay", "--format", "json", stdin=whole[:cut])
    assert run.returncode == 65
    assert (b"at byte" if cut < 0 else b"no capture") in run.stderr
    assert bool(run.stdout) == (cut < 0)


def test_a_damaged_capture_names_the_place(ran):
    whole = bytearray(ran.run(ALERTER, "export").stdout)
    whole[-20] ^= 0x10
    run = ran.run(ALERTER, "replay", stdin=bytes(whole))
    assert run.returncode == 65 and b"damaged at byte" in run.stderr and run.stdout


@pytest.mark.parametrize("args", [["--format", "xml"], ["--bogus"], ["--format"], ["a", "b", "c"]])
def test_wrong_arguments(site, args):
    s = site()
    assert s.run(ALERTER, "replay", *args).returncode in (1, 64)
    assert s.run(ALERTER, "export", "--since", "x").returncode == 64


def test_a_missing_file_and_a_missing_state_are_named(site):
    s = site()
    run = s.run(ALERTER, "replay", "nowhere.capture")
    assert run.returncode == 1 and b"nowhere.capture" in run.stderr
    run = s.run(ALERTER, "export")
    assert run.returncode == 1 and b"alerter.db" in run.stderr


# ---- damage, whatever is done with the stream

FORMS = {
    "plain": [],
    "tried": ["--rules", "rules.yaml"],
    "compared": ["--compare", "none.yaml", "--rules", "rules.yaml"],
}


@pytest.fixture
def tries(site):
    """A site to replay in, with rules that decide nothing beside its own."""
    s = site(rules=RULES)
    (s.folder / "none.yaml").write_text(RULES.replace("more_than: ", "more_than: 1000"))
    return s


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_before_the_damage_is_replayed(steady, tries, form, pb):
    whole = steady.run(ALERTER, "export").stdout
    entries = entries_of(whole, pb)
    newer = pb.Entry.FromString(entries[-1])
    newer.version = 99
    record = next(pb.Entry.FromString(e) for e in reversed(entries)
                  if pb.Entry.FromString(e).WhichOneof("input") == "record")
    record.record += pb.Record(version=99).SerializeToString()
    unknown = pb.Entry(version=1, step_us=record.step_us)
    flipped, header = bytearray(whole), len(capture_of([], pb))
    flipped[-20] ^= 0x10
    good = tries.run(ALERTER, "replay", *FORMS[form], stdin=whole)
    assert good.returncode == (form == "compared") and good.stdout
    for damaged, said in [
        (bytes(flipped), b"damaged at byte "), (whole[:-5], b"cut off at byte "),
        *((whole + capture_of([e.SerializeToString()], pb)[header:], b"the entry at byte ")
          for e in (newer, record, unknown)),
    ]:
        run = tries.run(ALERTER, "replay", *FORMS[form], stdin=damaged)
        assert run.returncode == 65
        assert b"standard input: " + said in run.stderr
        assert run.stdout and good.stdout.startswith(run.stdout)


def test_what_is_no_capture(tries):
    for form in FORMS.values():
        run = tries.run(ALERTER, "replay", *form, stdin=b"2026-05-07T08:00:00Z app[web.1]: BOOM\n" * 9)
        assert run.returncode == 65 and b"no capture" in run.stderr and not run.stdout


# ---- other rules

def at(s):
    return 1778140800_000000 + round(s * 1000000)  # 2026-05-07T08:00:00Z


def stream(pb, *inputs):
    """A capture of (seconds, rules' text) and (seconds, rule, how many matches)."""
    entries = []
    for n, (second, what, *count) in enumerate(inputs):
        entry = pb.Entry(version=1, step_us=at(second))
        if count:
            matches = pb.Matches(rule=what, source="app", process="web.1",
                                 time_deltas_us=[0] * count[0])
            entry.record = pb.Record(version=1, sender=b"s" * 16, sequence=n + 1, drain="d.1",
                                     received_us=at(second), matches=[matches]).SerializeToString()
        else:
            entry.rules = what
        entries.append(entry.SerializeToString())
    return capture_of(entries, pb)


def one_rule(more_than=3, match="BOOM", name="boom", **keys):
    rest = "".join(f", {key}: {value}" for key, value in keys.items())
    return APPS + f"rules:\n  - {{name: {name}, match: {match}, more_than: {more_than}, within: 5m, cooldown: 1m{rest}}}\n"


@pytest.fixture
def replay(site, pb):
    s = site()

    def go(capture, *args, old=None, new=None):
        for name, text in (("old.yaml", old), ("new.yaml", new)):
            if text:
                (s.folder / name).write_text(text)
                args += ("--compare" if name == "old.yaml" else "--rules", name)
        run = s.run(ALERTER, "replay", *args, stdin=capture)
        return run.returncode, run.stdout.decode().splitlines(), run.stderr.decode().splitlines()
    return go


NOTE = 'matches as recorded; use "drainwatch-ingest scan" on the logs to try this'


def test_other_thresholds_are_tried_from_a_cold_start(replay, pb):
    capture = stream(pb, (0, one_rule(3)), (1, "boom", 2), (2, "boom", 1), (3, "boom", 1))
    code, out, err = replay(capture)
    assert (code, len(out), err) == (0, 1, []) and "boom: 4 in 5 minutes (more than 3)" in out[0]
    code, out, err = replay(capture, new=one_rule(2))
    assert (code, len(out), err) == (0, 1, []) and "boom: 3 in 5 minutes (more than 2)" in out[0]
    assert replay(capture, new=one_rule(4)) == (0, [], [])


def test_recorded_rules_do_not_replace_those_that_are_tried(replay, pb):
    capture = stream(pb, (0, one_rule(3)), (1, "boom", 2), (2, one_rule(0)), (3, "boom", 1))
    assert len(replay(capture)[1]) == 1
    assert replay(capture, new=one_rule(3)) == (0, [], [])


@pytest.mark.parametrize("other", [
    {"match": "BO+M"}, {"source": "app"}, {"process": "web.*"}, {"unless": "x"},
    {"outside_quotes": "yes"}, {"process": "'!web'"},
    {"field": "code=H12"}, {"group_by": "path"}, {"group_by": "[process, path]"},
])
def test_a_rule_with_another_matching_is_named_once(replay, pb, other):
    capture = stream(pb, (0, one_rule()), (1, "boom", 4), (2, one_rule() + "# changed\n"))
    code, out, err = replay(capture, new=one_rule(**other))
    assert code == 0 and len(out) == 1
    assert len(err) == 1 and "new.yaml: boom: " in err[0] and err[0].endswith(NOTE)


@pytest.mark.parametrize("other", [
    {"title": "x"}, {"severity": "critical"}, {"runbook": "x"}, {"channel": "C9"}, {"sample": "no"},
    {"redact": "x+"}, {"mention": "here"}, {"apps": "shop"}, {"group_by": "process"},
])
def test_a_rule_with_the_same_matching_is_not(replay, pb, other):
    code, out, err = replay(stream(pb, (0, one_rule()), (1, "boom", 4)), new=one_rule(**other))
    assert (code, len(out), err) == (0, 1, [])


def test_fewer_groups_than_were_recorded_need_no_logs(replay, pb):
    capture = stream(pb, (0, one_rule(group_by="[path, status]")), (1, "boom", 4))
    for fewer in ({}, {"group_by": "status"}, {"group_by": "[process, path]"}):
        assert replay(capture, new=one_rule(**fewer))[2] == []


def test_groups_that_were_forgotten_are_told(site):
    s = site(rules=one_rule(more_than=1, group_by="k"))
    lines = [f"2026-05-07T08:06:01Z app[web.1]: BOOM k={i}" for i in [*range(4097), 0]]
    scan = s.run(INGEST, "scan", "--rules", s.rules, stdin="\n".join(lines).encode())
    for rules in ([], ["--rules=rules.yaml"], ["--compare", "rules.yaml", "--rules=rules.yaml"]):
        run = s.run(ALERTER, "replay", *rules, stdin=scan.stdout)
        assert run.returncode == 0 and b": 2 groups were forgotten" in run.stderr, run.stderr


@pytest.mark.parametrize("command, option", [
    ("replay", "--rules"), ("replay", "--compare"), ("replay", "--format"), ("test", "--rules"),
    ("export", "--since"), ("outbox", "--format"),
])
def test_a_value_behind_an_option(site, command, option):
    s = site()
    run = s.run(ALERTER, command, option)
    assert run.returncode == 64 and f'a value is missing behind "{option}"' in run.stderr.decode()
    value = {"--format": "json", "--since": "2h"}.get(option, "rules.yaml")
    both = [s.run(ALERTER, command, *argv) for argv in ([option, value], [f"{option}={value}"])]
    assert both[0].returncode == both[1].returncode and both[0].stderr == both[1].stderr


def test_a_rule_is_held_to_all_that_was_recorded(replay, pb):
    capture = stream(pb, (0, one_rule()), (1, "boom", 4), (2, one_rule(match="BANG")), (3, "boom", 4))
    for match in ("BOOM", "BANG"):
        code, _, err = replay(capture, new=one_rule(match=match))
        assert code == 0 and len(err) == 1 and err[0].endswith(NOTE)


@pytest.mark.parametrize("recorded", [(0, one_rule(name="other")), (1, "boom", 1)])
def test_a_rule_that_was_not_recorded_is_named(replay, pb, recorded):
    code, out, err = replay(stream(pb, recorded), new=one_rule())
    assert (code, out) == (0, [])
    assert err == [f"drainwatch-alerter: new.yaml: boom: was not recorded, or not all the time: {NOTE}"]


def test_what_was_recorded_is_known_from_a_snapshot_too(steady, pb):
    entries = entries_of(steady.run(ALERTER, "export").stdout, pb)
    inputs = [pb.Entry.FromString(e).WhichOneof("input") for e in entries]
    capture = capture_of(entries[inputs.index("snapshot"):], pb)
    assert "rules" not in inputs[inputs.index("snapshot"):]
    run = steady.run(ALERTER, "replay", "--rules", "rules.yaml", stdin=capture)
    assert (run.returncode, run.stderr) == (0, b"") and run.stdout
    (steady.folder / "other.yaml").write_text(OTHER)
    run = steady.run(ALERTER, "replay", "--rules", "other.yaml", stdin=capture)
    assert run.returncode == 0
    assert run.stderr.decode().splitlines() == [
        "drainwatch-alerter: other.yaml: boom: takes other lines than the recorded rule: "
        + NOTE]


def test_recorded_rules_that_this_build_refuses(replay, pb):
    capture = stream(pb, (0, one_rule()), (1, "boom", 3), (2, "of a newer build: yes"), (3, "boom", 1))
    code, out, err = replay(capture)
    assert (code, len(out), len(err)) == (0, 1, 1) and "left out" in err[0]
    code, out, err = replay(capture, new=one_rule())
    assert (code, len(out), len(err)) == (0, 1, 1) and "cannot be compared with all" in err[0]


def test_rules_with_faults_are_named_all_at_once(replay, pb):
    bad = one_rule(within="5x", cooldown=0).replace(", within: 5m, cooldown: 1m", "")
    code, out, err = replay(stream(pb, (0, one_rule()), (1, "boom", 4)), new=bad)
    assert (code, out) == (78, []) and len(err) == 2
    assert all("new.yaml:6: " in line for line in err)
    code, out, err = replay(stream(pb, (0, one_rule())), old=bad, new=bad)
    assert (code, out) == (78, []) and len(err) == 4


# ---- two rules files side by side

def test_a_file_compared_with_itself(steady):
    capture = steady.run(ALERTER, "export").stdout
    run = steady.run(ALERTER, "replay", "--compare", "rules.yaml", "--rules", "rules.yaml",
                     stdin=capture)
    n = decided_live(steady).count("\n")
    assert (run.returncode, run.stdout) == (0, b"")
    assert run.stderr.decode() == f"drainwatch-alerter: 0 only old, 0 only new, {n} both\n"


def test_what_only_one_of_two_decides(replay, pb):
    capture = stream(pb, (0, one_rule(0)), (1, "boom", 3), (2, "boom", 1), (50, "boom", 1))
    code, out, err = replay(capture, old=one_rule(3), new=one_rule(4))
    assert code == 1 and err == ["drainwatch-alerter: 1 only old, 1 only new, 0 both"]
    assert [line[:2] for line in out] == ["- ", "+ "]
    assert "boom: 4 in" in out[0] and "boom: 5 in" in out[1]
    plain = replay(capture, new=one_rule(3))[1]
    assert out[0] == "- " + plain[0]
    code, out, err = replay(capture, old=one_rule(4), new=one_rule(3))
    assert [line[:2] for line in out] == ["+ ", "- "]


def test_compared_as_json(replay, pb):
    capture = stream(pb, (0, one_rule(0)), (1, "boom", 3), (2, "boom", 1), (50, "boom", 1))
    code, out, _ = replay(capture, "--format", "json", old=one_rule(3), new=one_rule(4))
    assert code == 1
    assert [next(iter(json.loads(line).items())) for line in out] == [("only", "old"), ("only", "new")]
    plain = replay(capture, "--format", "json", new=one_rule(3))[1]
    assert out[0] == '{"only":"old",' + plain[0][1:]


def test_one_time_is_one_step_to_compare_in(replay, pb):
    """A turn takes many records at one step time: where both decide on the key then, though on
    different records, it is the same alert with the same id."""
    capture = stream(pb, (0, one_rule(0)), (1, "boom", 4), (1, "boom", 3), (2, "boom", 1))
    code, out, err = replay(capture, old=one_rule(3), new=one_rule(5))
    assert (code, out) == (0, [])
    assert err == ["drainwatch-alerter: 0 only old, 0 only new, 1 both"]


def test_each_of_two_names_its_rules(replay, pb):
    capture = stream(pb, (0, one_rule()), (1, "boom", 4))
    code, out, err = replay(capture, old=one_rule(match="x"), new=one_rule(match="y"))
    assert (code, out) == (0, [])  # both decide by the matches that were recorded
    assert [line.split(": ")[1] for line in err] == ["old.yaml", "new.yaml", "0 only old, 0 only new, 1 both"]


@pytest.mark.parametrize("args", [
    ["--compare", "rules.yaml"], ["--compare"], ["--rules"], ["--rules", "rules.yaml", "--compare"]])
def test_a_comparison_needs_two_files(site, args):
    run = site().run(ALERTER, "replay", *args)
    assert run.returncode == 64 and (b"rules" in run.stderr or b"is missing" in run.stderr)
