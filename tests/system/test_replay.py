"""What was recorded, replayed, is what ran; and any protobuf implementation can read it."""

import json
import zlib

import pytest

from drainwatch import ALERTER, ROOT, Site, h12, wait_for, worker_timeout
from router import load_messages

QUICK = (ROOT / "rules.yaml").read_text().replace("cooldown: 5m", "cooldown: 1s")


def alerts(run):
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A live run with a storm, repeats, new rules and restarts of both kinds in it."""
    s = Site(tmp_path_factory.mktemp("ran"), rules=QUICK)
    ingest, alerter = s.ingest(), s.alerter()
    for i in range(6):
        assert s.post(h12(5) + worker_timeout(i), frame_id=f"frame-{i}") == 204
        assert s.post(h12(5), frame_id=f"frame-{i}") == 204  # a repeat counts for nothing
        if i == 1:
            alerter.kill()
            alerter = s.alerter()
        if i == 3:
            s.rules.write_text(QUICK.replace("more_than: 3", "more_than: 4"))
            assert alerter.stop() == 0
            alerter = s.alerter()
        wait_for(lambda: s.health()[0] == 200, "health")
    assert ingest.stop() == 0
    assert alerter.stop() == 0
    return s


def test_replay_prints_what_was_decided_live_byte_for_byte(ran):
    live = ran.run(ALERTER, "outbox", "--format", "json")
    capture = ran.run(ALERTER, "export")
    replay = ran.run(ALERTER, "replay", "--format", "json", stdin=capture.stdout)
    assert live.returncode == capture.returncode == replay.returncode == 0
    listed = alerts(live)
    assert len(listed) >= 2
    for one in listed:
        assert one.pop("delivery")["state"] == "delivered"
    expected = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in listed)
    assert replay.stdout.decode() == expected


def test_replay_does_not_depend_on_where_and_when(ran, tmp_path):
    path = tmp_path / "stream.capture"
    path.write_bytes(ran.run(ALERTER, "export").stdout)
    prints = {ran.run(ALERTER, "replay", str(path), TZ=zone, LC_ALL=locale).stdout
              for zone, locale in (("UTC", "C"), ("Asia/Tokyo", "C.UTF-8"), ("EST5EDT", "tr_TR"))}
    assert len(prints) == 1 and prints.pop()


def test_export_beside_the_running_alerter(site):
    s = site()
    s.ingest(), s.alerter()
    assert s.post(h12(4)) == 204

    def decided():
        capture = s.run(ALERTER, "export", "--since", "1h")
        assert capture.returncode == 0
        return alerts(s.run(ALERTER, "replay", "--format", "json", stdin=capture.stdout))
    assert wait_for(decided, "the alert in the exported stream")[0]["count"] == 4


def test_another_protobuf_implementation_reads_a_capture(ran, tmp_path):
    pb = load_messages(tmp_path)
    from google.protobuf.internal.decoder import _DecodeVarint32
    data, at, messages = ran.run(ALERTER, "export").stdout, 0, []
    while at < len(data):
        n, at = _DecodeVarint32(data, at)
        messages.append(data[at:at + n])
        at += n
    header = pb.CaptureHeader.FromString(messages[0])
    assert (header.magic, header.version) == ("drainwatch-capture", 1)
    kinds, matches = set(), 0
    for message in messages[1:]:
        captured = pb.Captured.FromString(message)
        assert zlib.crc32(captured.entry) == captured.crc
        entry = pb.Entry.FromString(captured.entry)
        kinds.add(entry.WhichOneof("input"))
        if entry.WhichOneof("input") == "record":
            record = pb.Record.FromString(entry.record)
            matches += sum(len(m.time_deltas_us) for m in record.matches)
    assert {"record", "rules", "snapshot"} >= kinds >= {"record", "rules"}
    assert matches >= 6 * 10 + 15  # the repeats are recorded too: the engine finds them again


@pytest.mark.parametrize("cut", [0, 10, -1, -40])
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
