"""`drainwatch-alerter test`: the shipped rules keep their word, and the command shows differences."""

import time

import pytest

from drainwatch import ALERTER, ROOT

RULES = """\
app: shop
apps:
  - {name: blog, drain: d.blog}
slack: {channel: C1}
rules:
  - {name: boom, match: BOOM, more_than: 1, within: 1m, cooldown: 1m}
  - {name: crash, match: CRASH, more_than: 0, within: 1m, cooldown: 1m}
"""
GROUPED = RULES.replace("match: BOOM,", "match: BOOM, group_by: [path, process],")


@pytest.fixture
def run(site):
    """Runs a test file of this text; answers the exit code, and both outputs as text."""
    s = site(rules=RULES)
    s.text = s.folder / "my.test.yaml"

    def go(text, *args):
        s.text.write_text(text)
        result = s.run(ALERTER, "test", *args, "my.test.yaml")
        return result.returncode, result.stdout.decode(), result.stderr.decode()
    go.site = s
    return go


def one(lines, alerts, head="", rules="rules: rules.yaml"):
    """A file of one test: its items stand on the lines from 5 and, of alerts, from 6 + len(lines)."""
    text = f"{rules}\ntests:\n  - name: it\n    lines:\n"
    text += "".join(f"      - {line}\n" for line in lines)
    text += "    alerts:\n" if alerts else "    alerts: []\n"
    return text + "".join(f"      - {alert}\n" for alert in alerts) + head


def differences(out):
    return [line.strip() for line in out.splitlines() if line.startswith("  ")]


# --- the shipped rules


def test_the_shipped_rules_alert_as_they_say(site):
    s = site()
    result = s.run(ALERTER, "test", ROOT / "tests" / "rules" / "shipped.test.yaml")
    assert result.returncode == 0, result.stdout.decode() + result.stderr.decode()
    lines = result.stdout.decode().splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1] == f"{len(lines) - 1} tests: {len(lines) - 1} ok, 0 failed" and len(lines) > 20


@pytest.mark.parametrize("old, new", [
    ("more_than: 3", "more_than: 2"), ("more_than: 3", "more_than: 4"),
    ("within: 5m", "within: 301s"), ("within: 5m", "within: 299s"),
    ("cooldown: 5m", "cooldown: 299s"), ("cooldown: 5m", "cooldown: 301s"),
    ("source: heroku", "source: app"), ("field: code=H12", "match: code=H12"),
    ("more_than: 2", "more_than: 1"), ("more_than: 2", "more_than: 3"),
    ("within: 2m", "within: 121s"), ("within: 2m", "within: 119s"),
    ("source: app", "source: heroku"), ("WORKER TIMEOUT", "TIMEOUT WORKER"),
])
def test_each_change_of_the_shipped_rules_shows(site, old, new):
    """So that the tests above are worth something."""
    text = (ROOT / "rules.yaml").read_text()
    assert old in text
    s = site(rules=text.replace(old, new))
    result = s.run(ALERTER, "test", "--rules", "rules.yaml",
                   ROOT / "tests" / "rules" / "shipped.test.yaml")
    assert result.returncode == 1, result.stdout.decode()
    assert b"FAILED" in result.stdout


# --- what differs


def test_an_alert_that_is_as_expected(run):
    code, out, err = run(one(["{at: 1s, line: BOOM}", "{at: 2s, line: BOOM}"],
                             ["{at: 2s, rule: boom, app: shop, count: 2, first: 1s, last: 2s, "
                              "suppressed: 0, at_least: no, group: {}}"]))
    assert (code, out, err) == (0, "ok my.test.yaml:3: it\n1 test: 1 ok, 0 failed\n", "")


def test_times_may_be_written_out(run):
    text = one(["{at: '2026-05-07T08:00:01Z', line: BOOM}", "{at: 2s, line: BOOM}"],
               ["{at: '2026-05-07T10:00:02+02:00', rule: boom, first: 1s}"],
               head="    start: 2026-05-07T08:00:00Z\n")
    assert run(text)[0] == 0


def test_a_missing_alert(run):
    code, out, _ = run(one(["{at: 1s, line: BOOM}"], ["{at: 1s, rule: boom, count: 2, app: shop}"]))
    assert code == 1
    assert out.splitlines()[0] == "FAILED my.test.yaml:3: it"
    assert differences(out) == ["my.test.yaml:7: missing: boom at 1s, count 2, app shop"]
    assert out.splitlines()[-1] == "1 test: 0 ok, 1 failed"


def test_an_alert_of_a_rule_that_is_none(run):
    code, out, _ = run(one(["{at: 1s, line: x}"], ["{at: 1s, rule: bum}"]))
    assert code == 1
    assert differences(out) == [
        "my.test.yaml:7: missing: bum at 1s (the rules have none of this name)"]


def test_an_unexpected_alert(run):
    code, out, _ = run(one(["{at: 1h1s, line: [BOOM, BOOM, BOOM]}"], []))
    assert code == 1
    assert differences(out) == ["my.test.yaml:3: unexpected: boom at 1h1s, count 3, first 1h1s, "
                                "last 1h1s, suppressed 0, app shop"]


@pytest.mark.parametrize("given, difference", [
    ("count: 4", "count: expected 4, got 2"),
    ("suppressed: 1", "suppressed: expected 1, got 0"),
    ("at_least: yes", "at_least: expected yes, got no"),
    ("first: 0s", "first: expected 0s, got 1s"),
    ("last: 1m", "last: expected 1m, got 2s"),
])
def test_each_field_that_differs(run, given, difference):
    code, out, _ = run(one(["{at: 1s, line: BOOM}", "{at: 2s, line: BOOM}"],
                           [f"{{at: 2s, rule: boom, {given}}}"]))
    assert code == 1
    assert differences(out) == [f"my.test.yaml:8: boom at 2s differs in {difference}"]


def test_an_alert_of_another_app_or_time_or_rule_is_another_alert(run):
    lines = ["{at: 2s, line: [BOOM, BOOM]}"]
    for given in ("at: 2s, rule: boom, app: blog", "at: 2001ms, rule: boom", "at: 2s, rule: crash"):
        code, out, _ = run(one(lines, [f"{{{given}}}"]))
        assert code == 1
        assert sorted(d.split(":")[2] for d in differences(out)) == [" missing", " unexpected"]


def test_the_order_of_what_is_decided_at_once_counts(run):
    lines = ["{at: 2s, line: [CRASH, BOOM, BOOM]}"]
    assert run(one(lines, ["{at: 2s, rule: crash}", "{at: 2s, rule: boom}"]))[0] == 0
    assert run(one(lines, ["{at: 2s, rule: boom}", "{at: 2s, rule: crash}"]))[0] == 1


def test_all_differences_are_shown_and_a_flood_is_cut(run):
    code, out, _ = run(one(["{at: 0s, every: 2m, times: 2000, line: [BOOM, BOOM]}"], []))
    assert code == 1
    shown = differences(out)
    assert 100 < len(shown) < 2000
    assert shown[-1] == f"and {2000 - (len(shown) - 1)} more"


# --- groups and apps


def test_groups_are_told_apart(run):
    run.site.rules.write_text(GROUPED)
    lines = ["{at: 1s, line: ['app[web.1]: BOOM path=/a', 'app[web.2]: BOOM path=/b']}",
             "{at: 2s, line: ['app[web.1]: BOOM path=/b', 'app[web.1]: BOOM path=/a']}"]
    assert run(one(lines, ["{at: 2s, rule: boom, group: {path: /a, process: web.1}, count: 2}"]))[0] == 0
    assert run(one(lines, ["{at: 2s, rule: boom, group: {path: /a}}"]))[0] == 0
    code, out, _ = run(one(lines, ["{at: 2s, rule: boom, group: {path: /b}}"]))
    assert code == 1
    missing, unexpected = sorted(differences(out), key=lambda d: "unexpected" in d)
    assert missing == "my.test.yaml:8: missing: boom at 2s, group {path: /b}"
    assert unexpected.endswith("app shop, group {path: /a, process: web.1}")
    assert run(one(lines, ["{at: 2s, rule: boom, group: {host: x}}"]))[0] == 1


def test_drains_are_of_their_apps(run):
    lines = ["{at: 1s, line: BOOM}", "{at: 2s, line: BOOM, drain: d.blog}",
             "{at: 3s, line: BOOM, drain: d.blog}"]
    assert run(one(lines, ["{at: 3s, rule: boom, app: blog, count: 2}"]))[0] == 0
    both = one(lines[:1] + ["{at: 2s, line: BOOM}"], ["{at: 2s, rule: boom, app: blog}"],
               head="    drain: d.blog\n")
    assert run(both)[0] == 0


def test_a_drain_of_no_app_never_gets_in(run):
    run.site.rules.write_text(RULES.replace("app: shop\n", ""))
    code, out, err = run(one(["{at: 1s, line: BOOM}", "{at: 2s, line: BOOM, drain: d.blog}"], []))
    assert code == 65
    assert 'my.test.yaml:5: drain "test" belongs to no app' in err
    assert "my.test.yaml:6" not in err
    assert out == "0 tests: 0 ok, 0 failed; 1 file not run\n"


# --- delivering


def test_deliveries_come_in_order_of_time_whatever_their_order_in_the_file(run):
    lines = ["{at: 10s, line: BOOM}", "{at: 1s, every: 3s, times: 4, line: x}", "{at: 5s, line: BOOM}"]
    assert run(one(lines, ["{at: 10s, rule: boom, first: 5s, last: 10s}"]))[0] == 0


def test_the_lines_of_one_delivery_are_judged_together(run):
    together = ["{at: 1s, line: [BOOM, BOOM, BOOM]}"]
    apart = ["{at: 1s, every: 0s, times: 3, line: BOOM}"]
    assert run(one(together, ["{at: 1s, rule: boom, count: 3}"]))[0] == 0
    assert run(one(apart, ["{at: 1s, rule: boom, count: 2}"]))[0] == 0


def test_each_test_starts_cold(run):
    text = "rules: rules.yaml\ntests:\n" + "".join(
        f"  - name: test {n}\n    lines: [{{at: 0s, line: BOOM}}]\n    alerts: []\n" for n in range(3))
    code, out, _ = run(text)
    assert code == 0 and out.splitlines()[-1] == "3 tests: 3 ok, 0 failed"


@pytest.mark.parametrize("line", [
    "BOOM", "' BOOM'", "'app[web.1]: BOOM'", "'2026-01-01T00:00:01Z app[web.1]: BOOM'",
    "'<158>1 2026-01-01T00:00:01Z host app web.1 - BOOM'", "'<158>1 - host app web.1 - BOOM'",
    "'12 BOOM'", "'99 <158>1 BOOM'", '"\\e[31mBOOM\\e[0m"', "'BOOM é ☃'", "'# BOOM'",
    "'x <158>1 2026-01-01T00:00:01Z host app web.1 - BOOM'", "'" + "x" * 59000 + "BOOM'",
], ids=range(13))
def test_a_line_of_any_form_is_one_line(run, line):
    code, out, err = run(one([f"{{at: 1s, line: [{line}, {line}]}}"],
                             ["{at: 1s, rule: boom, count: 2, first: 1s, last: 1s}"]))
    assert code == 0, out + err


def test_a_day_of_lines_is_a_matter_of_no_time(run):
    begin = time.monotonic()
    code, _, _ = run(one(["{at: 0s, every: 1s, times: 86400, line: 'heroku[router]: at=info'}"], []))
    assert code == 0 and time.monotonic() - begin < 10  # some 60 ms; a sanitizer on a busy machine


# --- faults


FAULTS = [
    ("", ["1: the file is empty"]),
    ("tests: [", ["2: not YAML"]),
    ("tests: 5", ['1: tests: is not a list']),
    ("tests: []", ["1: tests: is an empty list"]),
    ("rules: [a]\ntests: []", ["1: rules: is a list", "2: tests: is an empty list"]),
    ("rule: rules.yaml\ntests:\n  - 5", ['1: unknown key "rule" (did you mean "rules"?)',
                                        "3: a test is not a mapping"]),
    ("tests:\n  - {}", ['2: a test has no "name"', '2: a test has no "lines"',
                        '2: a test has no "alerts"']),
    (one(["{line: x}", "{at: 1s}", "5"], ["{}", "{at: 1s}", "7"]),
     ['5: an item of "lines" has no "at"', '6: an item of "lines" has no "line"',
      '7: an item of "lines" is not a mapping', '9: an item of "alerts" has no "at"',
      '9: an item of "alerts" has no "rule"', '10: an item of "alerts" has no "rule"',
      '11: an item of "alerts" is not a mapping']),
    (one(["{at: 5x, line: x}", "{at: -1s, line: x}", "{at: 5, line: x}"], []),
     ['5: at: "5x" is neither', '6: at: "-1s" is neither', '7: at: "5" is neither']),
    (one(["{at: '2020-01-01T00:00:00Z', line: x}"], []), ["5: at: lies before the start"]),
    (one(["{at: 1s, line: []}", "{at: 1s, line: ''}", '{at: 1s, line: "a\\nb"}',
          '{at: 1s, line: "a\\0b"}', "{at: 1s, line: [[x]]}", f"{{at: 1s, line: {'x' * 60001}}}"], []),
     ["5: line: is an empty list", "6: line: is no text", "7: line: holds a line end",
      "8: line: holds a line end or a zero byte", "9: line: is no text",
      "10: line: is 60001 bytes long"]),
    (one(["{at: 1s, line: x, times: 3}", "{at: 1s, line: x, every: 3s}",
          "{at: 1s, line: x, every: 1s, times: 0}", "{at: 1s, line: x, every: 1, times: x}",
          "{at: 1s, line: x, every: 1000d, times: 9000000}"], []),
     ['5: "times" stands alone', '6: "every" stands alone', "7: times: 0 is no delivery",
      '8: every: "1" is not a duration', '8: times: "x" is not a whole number',
      "9: every: the last of them would come after the year 9999"]),
    (one(["{at: 1s, line: [a, b], every: 0s, times: 5000000}", "{at: 1s, line: x}",
          "{at: 1s, line: x, every: 0s, times: 1000000000}"], []),
     ["6: times: with these lines the file has more than 10000000"]),
    (one(["{at: 1s, line: x}"], ["{at: 2s, rule: boom}", "{at: 1s, rule: boom}"]),
     ["8: alerts: this one is earlier"]),
    (one(["{at: 1s, line: x}"], ["{at: 2s, rule: boom, count: -1, at_least: perhaps, group: /x}",
                                 "{at: 2s, rule: boom, group: {path: [a]}, counts: 5}"]),
     ['7: count: "-1" is not a whole number', '7: at_least: "perhaps" is neither',
      "7: group: is not a mapping", "8: group: keys and values are texts",
      '8: unknown key "counts" (did you mean "count"?)']),
    (one(["{at: 1s, line: x}"], [], head="    start: yesterday\n"),
     ['7: start: "yesterday" is not an RFC 3339 time']),
    (one(["{at: 1s, line: &a x}", "{at: 1s, line: *a}"], []),
     ["5: ", "6: "]),
]


@pytest.mark.parametrize("text, faults", FAULTS, ids=range(len(FAULTS)))
def test_every_fault_is_named_in_one_go(run, text, faults):
    code, out, err = run(text)
    assert code == 65
    lines = err.splitlines()
    assert len(lines) == len(faults), err
    for line, fault in zip(lines, faults):
        assert line.startswith(f"drainwatch-alerter: my.test.yaml:{fault}"), err
        assert "(" in line  # the remedy
    assert "ok my" not in out


def test_bad_rules_are_another_exit_code(run):
    run.site.rules.write_text(RULES.replace("within: 1m", "within: 1x"))
    code, _, err = run(one(["{at: 1s, line: x}"], []))
    assert code == 78
    assert err.count("is not a duration") == 2  # both rules: all faults in one go
    assert "rules.yaml:6" in err and "rules.yaml:7" in err


def test_a_rules_file_that_is_not_there(run):
    code, _, err = run(one(["{at: 1s, line: x}"], [], rules="rules: none.yaml"))
    assert code == 78 and "none.yaml" in err


def test_no_rules_are_named(run):
    text = one(["{at: 1s, line: [BOOM, BOOM]}"], ["{at: 1s, rule: boom}"], rules="# none")
    code, _, err = run(text)
    assert code == 65 and "my.test.yaml:1: no rules are named" in err and "--rules" in err
    assert run(text, "--rules", "rules.yaml")[0] == 0


def test_the_rules_are_found_beside_the_test_file(site):
    s = site(rules=RULES)
    (s.folder / "deep" / "er").mkdir(parents=True)
    path = s.folder / "deep" / "er" / "a.test.yaml"
    path.write_text(one(["{at: 1s, line: [BOOM, BOOM]}"], ["{at: 1s, rule: boom}"],
                        rules="rules: ../../rules.yaml"))
    assert s.run(ALERTER, "test", path).returncode == 0
    assert s.run(ALERTER, "test", "deep/er/a.test.yaml").returncode == 0
    path.write_text(one(["{at: 1s, line: x}"], [], rules=f"rules: {s.rules}"))
    assert s.run(ALERTER, "test", "deep/er/a.test.yaml").returncode == 0


def test_rules_on_the_command_line_come_before_those_of_the_file(run):
    other = run.site.folder / "other.yaml"
    other.write_text(RULES.replace("more_than: 1", "more_than: 2"))
    text = one(["{at: 1s, line: [BOOM, BOOM]}"], ["{at: 1s, rule: boom}"])
    assert run(text)[0] == 0
    assert run(text, "--rules", "other.yaml")[0] == 1


def test_of_several_files_all_are_run_and_the_worst_tells(site):
    s = site(rules=RULES)
    good = one(["{at: 1s, line: [BOOM, BOOM]}"], ["{at: 1s, rule: boom}"])
    (s.folder / "good.yaml").write_text(good)
    (s.folder / "bad.yaml").write_text(good.replace("boom", "bum"))
    (s.folder / "broken.yaml").write_text("tests: 1")

    def exit_of(*files):
        result = s.run(ALERTER, "test", *files)
        return result.returncode, result.stdout.decode().splitlines()[-1]
    assert exit_of("good.yaml", "good.yaml") == (0, "2 tests: 2 ok, 0 failed")
    assert exit_of("bad.yaml", "good.yaml") == (1, "2 tests: 1 ok, 1 failed")
    assert exit_of("broken.yaml", "bad.yaml", "nowhere.yaml", "good.yaml") == (
        65, "2 tests: 1 ok, 1 failed; 2 files not run")


@pytest.mark.parametrize("args", [[], ["--rules"], ["--rules", "rules.yaml"], ["--bogus", "x"]])
def test_wrong_arguments(site, args):
    result = site().run(ALERTER, "test", *args)
    assert result.returncode == 64 and b"--help" in result.stderr


@pytest.mark.parametrize("command", ["outbox", "export", "replay", "test"])
def test_each_command_tells_how_it_is_called(site, command):
    s = site()
    result = s.run(ALERTER, command, "--help")
    assert result.returncode == 0 and not result.stderr
    usage = result.stdout.decode()
    assert usage.startswith(f"usage:\n  drainwatch-alerter {command} ")
    assert usage.removeprefix("usage:\n") in s.run(ALERTER, "--help").stdout.decode()


BY_PATH = """\
app: shop
slack: {channel: C1}
rules:
  - {name: errors, process: router, field: status=5.., group_by: path, more_than: 3, within: 1m}
  - {name: folded, process: router, field: status=5.., group_by: path, fold_ids: yes, more_than: 3,
     within: 1m}
"""


@pytest.mark.parametrize("path, groups", [
    ("/search?q={}&page=2", {"errors": "/search", "folded": "/search"}),
    ("/users/{}/edit", {"folded": "/users/:id/edit"}),
    ("/reports/" + 200 * "x" + "/a{}", {}),
], ids=["query", "id", "long"])
def test_paths_are_grouped_without_what_differs_by_visitor(site, path, groups):
    s = site(rules=BY_PATH)
    lines = "".join(f"""      - {{at: {i}s, line: 'heroku[router]: at=info path="{path.format(i)}" status=503'}}\n"""
                    for i in range(4))
    alerts = "".join(f"      - {{at: 3s, rule: {rule}, count: 4, group: {{path: {group}}}}}\n"
                     for rule, group in groups.items()) or "      []\n"
    (s.folder / "my.test.yaml").write_text(
        f"tests:\n  - name: paths\n    lines:\n{lines}    alerts:\n{alerts}")
    run = s.run(ALERTER, "test", "--rules", "rules.yaml", "my.test.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
