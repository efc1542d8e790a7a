"""SIGHUP makes the programs read the rules file again; nothing is lost, doubled or forgotten."""

import json
import os
import signal

import pytest

from drainwatch import ALERTER, INGEST, frame, h12, wait_for

IN_FORCE = "the rules were read again"


def rules(more_than=3, match="field: code=H12", more="", cooldown="5m"):
    return ("app: shop\nslack: {channel: C01234567}\nrules:\n"
            f"  - {{name: h12, {match}, more_than: {more_than}, within: 5m, cooldown: {cooldown}}}\n"
            + more)


OTHER = "  - {name: other, match: OTHER, more_than: 0, within: 1m, cooldown: 1s}\n"


class Both:
    def __init__(self, s):
        self.s = s
        self.start()

    def start(self):
        self.alerter, self.ingest = self.s.alerter(), self.s.ingest()
        self.s.wait_healthy()

    def alerts(self):
        listed = self.s.run(ALERTER, "outbox", "--format", "json").stdout.splitlines()
        return [(a["rule"], a["count"]) for a in map(json.loads, listed)]

    def wait_alerts(self, *expected):
        wait_for(lambda: self.alerts() == list(expected),
                 lambda: f"alerts {list(expected)}: there are {self.alerts()}")

    def recorded(self):
        """What the alerter has taken: what is on its way when it gets new rules is theirs."""
        return self.s.run(ALERTER, "export").stdout

    def write(self, text):
        """At once, as by mv: a signal that is still on its way finds one file or the other."""
        new = self.s.rules.with_suffix(".new")
        new.write_text(text)
        new.rename(self.s.rules)

    def decide_by(self, text):
        """Gives the alerter rules, whatever signals are still on their way to it."""
        self.write(text)
        self.alerter.signal(signal.SIGHUP)
        wait_for(lambda: text.encode() in self.recorded(), "the new rules in the stream")

    def reload(self, text, alerter=IN_FORCE, ingest="was read again"):
        """The alerter first: it takes what the old rules matched as well as the new."""
        self.write(text)
        for program, said in (self.alerter, alerter), (self.ingest, ingest):
            before = len(program.said(said))
            program.signal(signal.SIGHUP)
            wait_for(lambda: len(program.said(said)) > before, said)


@pytest.fixture()
def both(site):
    return Both(site(rules=rules()))


def test_windows_stay_warm(both):
    assert both.s.post(h12(3)) == 204
    both.reload(rules(more=OTHER))
    assert both.s.post(h12(1)) == 204
    both.wait_alerts(("h12", 4))
    said, = both.alerter.said(IN_FORCE)
    assert "2 rules, 1 new, 0 gone; empty windows for 1, kept windows for 1" in said
    assert both.s.post(frame("OTHER")) == 204
    both.wait_alerts(("h12", 4), ("other", 1))


def test_another_threshold_counts_at_once(both):
    assert both.s.post(h12(2)) == 204
    both.reload(rules(more_than=2))
    assert both.s.post(h12(1)) == 204
    both.wait_alerts(("h12", 3))


def test_the_windows_of_a_rule_that_takes_other_lines_start_empty(both):
    before = len(both.recorded())
    assert both.s.post(h12(3)) == 204
    wait_for(lambda: len(both.recorded()) > before, "the first three in the stream")
    both.reload(rules(match="field: 'code=H1[23]'"))
    assert both.s.post(h12(3)) == 204
    both.reload(rules(match="field: 'code=H1[23]'", more=OTHER))
    assert both.s.post(frame("OTHER")) == 204
    both.wait_alerts(("other", 1))  # had the first three counted, h12 would stand before it
    assert both.s.post(h12(1)) == 204
    both.wait_alerts(("other", 1), ("h12", 4))


def test_a_cooldown_outlives_a_reload(both):
    assert both.s.post(h12(4)) == 204
    both.wait_alerts(("h12", 4))
    both.reload(rules(more=OTHER))
    assert both.s.post(h12(9) + frame("OTHER")) == 204
    both.wait_alerts(("h12", 4), ("other", 1))


def test_a_bad_file_leaves_the_old_rules_in_force(both):
    assert both.s.post(h12(3)) == 204
    both.reload(rules(more="  - {name: bad, mach: x, within: 5x}\n"),
                alerter="the old rules stay in force", ingest="the old rules stay in force")
    for program in both.alerter, both.ingest:
        assert program.said('rules.yaml:5: unknown key \\"mach\\" (did you mean \\"match\\"?)')
        assert program.said('rules.yaml:5: within: \\"5x\\" is not a duration')
    both.s.rules.unlink()
    for program in both.alerter, both.ingest:
        program.signal(signal.SIGHUP)
        wait_for(lambda: len(program.said("the old rules stay in force")) == 2, "no file")
    assert both.s.post(h12(1)) == 204
    both.wait_alerts(("h12", 4))


def test_the_same_file_changes_nothing(both):
    before = both.recorded()
    both.reload(rules(), alerter="nothing has changed")
    assert both.recorded() == before
    assert not both.alerter.said(IN_FORCE)


@pytest.mark.parametrize("program", [ALERTER, INGEST])
def test_a_signal_while_the_first_rules_are_read(site, program):
    s = site(rules=rules())
    whole = s.rules.read_text()
    s.rules.unlink()
    os.mkfifo(s.rules)
    started = s.start(program)
    with open(s.rules, "w") as file:  # comes back when the program has begun to read
        started.signal(signal.SIGHUP)
        (s.folder / "new").write_text(whole)
        (s.folder / "new").rename(s.rules)
        file.write(whole)
    started.wait_said("was read again")


@pytest.mark.parametrize("program", [ALERTER, INGEST])
def test_a_program_that_was_started_with_hangups_ignored_takes_them(site, program):
    """As nohup and scripts/run start it."""
    started = site(rules=rules()).start("sh", "-c", f"trap '' HUP; exec {program}")
    started.wait_said("ready; " if program == ALERTER else "listening on port")
    started.signal(signal.SIGHUP)
    started.wait_said("was read again")


def test_killed_right_after_it_was_said(both):
    assert both.s.post(h12(3)) == 204
    both.reload(rules(more=OTHER))
    both.alerter.kill()
    both.ingest.kill()
    both.start()
    assert not both.alerter.said(IN_FORCE)
    assert both.s.post(h12(1)) == 204
    both.wait_alerts(("h12", 4))


def test_replay_agrees_with_what_ran(both):
    for i in range(12):
        extra = OTHER.replace("other", f"other-{i}")
        both.reload(rules(more_than=i % 4, cooldown="1s", more=extra))
        assert both.s.post(h12(i) + frame("OTHER"), frame_id=f"f{i}") == 204
        if i % 2 == 0:  # else the next rules may come before what these ones matched
            wait_for(lambda: (f"other-{i}", 1) in both.alerts(), "the alert of the new rule")
        if i % 5 == 0:
            both.alerter.kill()
            both.alerter = both.s.alerter()
    assert both.ingest.stop() == both.alerter.stop() == 0
    listed = [json.loads(line) for line in
              both.s.run(ALERTER, "outbox", "--format", "json").stdout.splitlines()]
    for one in listed:
        assert one.pop("delivery")
    assert len(listed) >= 7
    capture = both.recorded()
    replay = both.s.run(ALERTER, "replay", "--format", "json", stdin=capture).stdout.decode()
    assert replay == "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in listed)


def test_a_storm_of_reloads_under_load_loses_nothing(both):
    sent = 0
    both.decide_by(rules(more_than=1000000))
    for i in range(30):
        both.write(rules(more_than=1000000, more=OTHER if i % 2 else ""))
        both.alerter.signal(signal.SIGHUP)
        both.ingest.signal(signal.SIGHUP)
        assert both.s.post(h12(20)) == 204
        sent += 20
    both.decide_by(rules(more_than=sent))
    assert both.s.post(h12(1)) == 204
    both.wait_alerts(("h12", sent + 1))


@pytest.mark.sqlite
def test_new_rules_wait_for_a_disk_that_is_full(site, small_disk):
    """They are recorded before they are in force; until then the old ones are."""
    disk = small_disk("24m")
    s = site(rules=rules())
    alerter = s.alerter(DRAINWATCH_STATE_DIR=disk.folder / "state",
                        DRAINWATCH_QUEUE=f"ipc://{s.folder}/queue.sock")
    ingest = s.ingest(DRAINWATCH_QUEUE=f"ipc://{s.folder}/queue.sock")
    s.wait_healthy()
    disk.fill()
    for i in range(8):  # more than the room that is taken ahead
        s.rules.write_text(rules(more_than=1, more=f"# {i}" + "long " * 180000 + "\n" + OTHER))
        said = len(alerter.said(IN_FORCE))
        alerter.signal(signal.SIGHUP)
        wait_for(lambda: len(alerter.said(IN_FORCE)) > said or alerter.said("nothing is recorded"),
                 "an answer to SIGHUP")
        if alerter.said("nothing is recorded"):
            break
    assert alerter.said("nothing is recorded")
    said = len(alerter.said(IN_FORCE))
    disk.free()
    wait_for(lambda: len(alerter.said(IN_FORCE)) > said, "the new rules")
    ingest.signal(signal.SIGHUP)
    ingest.wait_said("was read again")
    assert s.post(h12(2) + frame("OTHER")) == 204
    alerter.wait_said("other: 1 ")
    assert alerter.said("h12: 2 ")
