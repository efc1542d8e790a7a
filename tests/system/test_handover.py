"""Ingest and the queue: every delivery answered 204 arrives, once and in order, whatever fails."""

import http.client
import random
import resource
import signal
import threading
import time

import pytest

from drainwatch import (DRAIN, OK_LINE, PATH, PATIENCE, Site, chunked, frame, h12, head, token,
                        wait_for, whole)

GOOD = frame(OK_LINE)
SILENCE_S = 10  # without an answer: the alerter is away


# ---- things that take their time, begun before the first test and looked at in the last ----

@pytest.fixture(scope="module", autouse=True)
def slow(tmp_path_factory):
    """Nobody acks; and a stop with an upload that never ends."""
    folder = tmp_path_factory.mktemp("slow")
    alone = Site(folder / "alone")
    alone.ingest()
    alone.began = time.monotonic()
    assert alone.post(h12(2)) == 204
    endless = Site(folder / "endless")
    endless.program = endless.ingest()
    endless.client = endless.raw()
    endless.client.send(head(Content_Length=1000) + b"x" * 10)
    idle = endless.raw()
    assert idle.send(whole(GOOD)).answer()[0] == 204  # the loop has seen the upload, too
    endless.program.signal(signal.SIGTERM)
    endless.began = time.monotonic()
    yield alone, endless
    alone.close()
    endless.close()


# ---- in order, once ----

def test_records_come_in_order(site, router):
    s = site()
    r = router(s).start()
    s.ingest()
    for i in range(50):
        assert s.post(h12(), drain=f"d-{i}") == 204
    r.wait_for(50)
    assert [x.drain for x in r.records] == [f"d-{i}" for i in range(50)]
    first = r.records[0].sequence
    assert r.sequences() == list(range(first, first + 50))
    assert first >> 40 == 1
    assert len({x.sender for x in r.records}) == 1 and len(r.records[0].sender) == 16


def test_what_nobody_takes_waits(site, router):
    s = site()
    s.ingest()
    for i in range(30):
        assert s.post(h12(), drain=f"d-{i}") == 204
    r = router(s).start()
    r.wait_for(30)
    assert [x.drain for x in r.records] == [f"d-{i}" for i in range(30)]


def test_what_is_not_acked_comes_again(site, router):
    s = site()
    r = router(s)
    r.silent = True
    r.start()
    s.ingest()
    for _ in range(10):
        assert s.post(h12()) == 204
    wait_for(lambda: len(r.received) > 10, "the records once more")
    r.silent = False
    r.wait_for(10)
    assert len(r.sequences()) == len(set(r.sequences())) == 10


def test_a_stand_in_that_dies_in_mid_stream(site, router):
    """Killed and replaced while deliveries go on: all arrive, in order, once."""
    s = site()
    r = router(s).start()
    s.ingest()
    sent, stop = [], threading.Event()

    def post():
        connection = s.connect()
        while not stop.is_set():
            drain = f"d-{len(sent)}"
            assert s.post(h12(), drain=drain, connection=connection) == 204
            sent.append(drain)

    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    try:
        for i in range(4):
            n = len(r.records)
            wait_for(lambda: len(r.records) > n + 20, "more records")
            r.silent = i % 2 == 1  # records on their way are lost, too
            time.sleep(0.02)
            r.stop()
            r.silent = False
            r.start()
    finally:
        stop.set()
        thread.join(PATIENCE)
    r.wait_for(len(sent))
    assert [x.drain for x in r.records] == sent
    assert r.sequences() == list(range(r.sequences()[0], r.sequences()[0] + len(sent)))


def test_a_storm_is_sent_in_few_messages(site, router):
    s = site()
    r = router(s)
    s.ingest()
    connection = s.connect()
    for _ in range(500):
        assert s.post(h12(), connection=connection) == 204
    r.start()
    r.wait_for(500)
    assert r.most > 100 and len(r.received) == 500


def test_a_peer_of_the_future_or_of_rubbish(site, router):
    """Acks that make no sense change nothing."""
    s = site()
    r = router(s)
    good = r.pb.Ack.SerializeToString
    answers = [b"", b"rubbish" * 99, b"\xff" * 10]
    original = r._take

    def take(push):
        again = original(push)
        for text in answers:
            r.socket.send_multipart([r.peer, text])
        for ack in (r.pb.Ack(version=99, sender=push.sender, taken=1 << 63),
                    r.pb.Ack(version=1, sender=b"x" * 16, taken=push.oldest + 100),
                    r.pb.Ack(version=1, sender=b"", taken=1),
                    r.pb.Ack(version=1, sender=push.sender, taken=push.oldest + 1000000)):
            r.socket.send_multipart([r.peer, good(ack)])
        return again

    r._take = take
    r.start()
    program = s.ingest()
    for i in range(20):
        assert s.post(h12(), drain=f"d-{i}") == 204
    r.wait_for(20)
    assert [x.drain for x in r.records] == [f"d-{i}" for i in range(20)]
    s.wait_healthy()
    assert program.process.poll() is None


# ---- the alerter away ----

def test_health_follows_the_alerter(site, router):
    s = site()
    r = router(s).start()
    program = s.ingest()
    s.wait_healthy()
    assert s.health() == (200, "ok")
    r.stop()
    gone = time.monotonic()
    wait_for(lambda: s.health()[0] == 503, "health to say 503", SILENCE_S + 5)
    took = time.monotonic() - gone
    assert took > SILENCE_S / 2
    reason = s.health()[1]
    assert reason.startswith("no answer from the alerter for ") and "\n" not in reason
    line = program.wait_said("no answer from the alerter", 5)[0]
    assert "level=error" in line and s.endpoint in line
    for i in range(5):
        assert s.post(h12(), drain=f"d-{i}") == 204
    assert "5 deliveries wait" in s.health()[1]
    r.start()
    s.wait_healthy()
    program.wait_said("the alerter answers again")
    assert [x.drain for x in r.wait_for(5)] == [f"d-{i}" for i in range(5)]
    assert len(program.said("no answer from the alerter")) == 1


def test_an_alerter_that_refuses_is_said(site, router):
    s = site()
    r = router(s)
    r.refusing = "record of version 2, this build reads 1"
    r.start()
    program = s.ingest()
    assert s.post(h12()) == 204
    wait_for(lambda: r.refusing in s.health()[1], "the reason at /healthz")
    assert s.health()[0] == 503
    r.refusing = ""
    r.wait_for(1)
    s.wait_healthy()
    assert program.stop() == 0


def test_alerts_that_are_kept_make_it_unhealthy(site, router):
    s = site()
    r = router(s).start()
    s.ingest()
    s.wait_healthy()
    r.trouble = "3 alerts kept: invalid_auth"
    wait_for(lambda: s.health() == (503, r.trouble), "the reason at /healthz")
    assert s.post(h12()) == 204
    r.wait_for(1)
    r.trouble = ""
    s.wait_healthy()


# ---- the spool ----

def test_a_full_spool_answers_503_and_recovers(site, router):
    s = site(DRAINWATCH_SPOOL_MAX_BYTES="512 KiB")
    r = router(s)
    program = s.ingest()
    connection = s.connect()
    body = worker_and_h12()
    accepted, small = 0, []
    while (answer := s.request("POST", **delivery(body), connection=connection))[0] == 204:
        accepted += 1
        assert accepted < 20000
    code, headers, text = answer
    assert code == 503 and int(headers["Retry-After"]) >= 1 and text
    assert accepted > 20
    for _ in range(100):  # nothing to record, or only a little: taken even now
        assert s.post(GOOD, connection=connection) == 204
        small.append(s.post(h12(), connection=connection))
        assert s.request("POST", **delivery(body), connection=connection)[0] == 503
    assert 204 in small
    assert s.health()[0] == 503
    size = sum(f.stat().st_size for f in (s.folder / "state").glob("ingest.db*"))
    assert size <= 640 << 10
    # It was full many times, with room in between; that is logged once.
    assert len(program.said("deliveries with matches are answered 503")) == 1
    assert not program.said("takes records again")
    r.start()
    wait_for(lambda: s.request("POST", **delivery(body), connection=connection)[0] == 204,
             "a 204 once the alerter acks")
    s.wait_healthy()
    program.wait_said("the journal takes records again")
    n = len(r.records)
    assert r.sequences() == list(range(r.sequences()[0], r.sequences()[0] + n)) and n > accepted


def worker_and_h12():
    return h12(20) + b"".join(frame("WORKER TIMEOUT " + "x" * 600, source="app", process=f"web.{i}")
                              for i in range(20))


def delivery(body):
    return {"path": f"{PATH}?drain_token={token(DRAIN)}", "body": body,
            "headers": {"Logplex-Drain-Token": DRAIN}}


def test_every_204_of_a_full_spool_is_a_record(site, router):
    s = site(DRAINWATCH_SPOOL_MAX_BYTES="256 KiB")
    r = router(s)
    s.ingest()
    accepted = [0] * 8

    def post(i):
        connection = s.connect()
        for n in range(150):
            answer = s.post(h12(1 + n % 3), drain=f"d-{i}", connection=connection,
                            frame_id=f"{i}-{n}", headers={"X": "y"})
            accepted[i] += (1 + n % 3) * (answer == 204)

    threads = [threading.Thread(target=post, args=(i,), daemon=True) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    r.start()
    wait_for(lambda: r.matches() >= sum(accepted), "what was accepted")
    s.wait_healthy()
    assert [r.matches(drain=f"d-{i}") for i in range(8)] == accepted


def test_a_disk_that_takes_no_more(site, router):
    """By a limit on the size of files, lifted later."""
    s = site()
    r = router(s).start()
    program = s.ingest()
    assert s.post(h12()) == 204
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    wait_for(lambda: s.post(h12(), drain="in vain") == 503, "a 503")
    assert s.post(GOOD) == 204
    code, reason = s.health()
    assert code == 503 and reason.startswith("ingest.db: ")  # strangers see no folder
    assert program.said(f"{s.folder}/state/ingest.db: ")
    n = len(r.records)
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    wait_for(lambda: s.post(h12(2), drain="at last") == 204, "a 204")
    s.wait_healthy()
    r.wait_for(n + 1)
    assert r.records[-1].drain == "at last" and program.stop() == 0
    assert r.sequences() == sorted(set(r.sequences()))


# ---- deaths ----

def test_kill_9_after_a_204(site, router):
    s = site()
    r = router(s)
    program = s.ingest()
    for i in range(20):
        assert s.post(h12(), drain=f"d-{i}") == 204
    program.kill()
    program = s.ingest()
    for i in range(20, 25):
        assert s.post(h12(), drain=f"d-{i}") == 204
    r.start()
    r.wait_for(25)
    assert [x.drain for x in r.records] == [f"d-{i}" for i in range(25)]
    starts = [x >> 40 for x in r.sequences()]
    assert starts == [1] * 20 + [2] * 5
    assert len({x.sender for x in r.records}) == 1
    assert all(a < b for a, b in zip(r.sequences(), r.sequences()[1:]))


def test_kill_9_in_mid_stream(site, router):
    """Each delivery that was answered counts; none counts twice that was posted once."""
    s = site()
    r = router(s).start()
    accepted, unanswered = [], []
    for start in range(5):
        program = s.ingest()
        done = threading.Event()

        def post(start=start):
            connection = s.connect()
            for n in range(100000):
                name = f"{start}-{n}"
                try:
                    if s.post(h12(), drain=name, connection=connection) == 204:
                        accepted.append(name)
                except OSError:
                    unanswered.append(name)
                    break
                except Exception:  # half an answer
                    unanswered.append(name)
                    break
            done.set()

        threading.Thread(target=post, daemon=True).start()
        n = len(accepted)
        wait_for(lambda: len(accepted) > n + 30, "some deliveries")
        program.kill()
        assert done.wait(PATIENCE)
    s.ingest()
    assert s.post(h12(), drain="last") == 204
    wait_for(lambda: r.of("last"), "the last record")
    came = [x.drain for x in r.records]
    assert len(came) == len(set(came))
    assert set(accepted) <= set(came) <= set(accepted + unanswered + ["last"])


def test_a_lost_folder_is_a_new_sender(site, router):
    s = site()
    r = router(s).start()
    program = s.ingest()
    assert s.post(h12()) == 204
    r.wait_for(1)
    program.stop()
    for file in (s.folder / "state").glob("ingest.db*"):
        file.unlink()
    s.ingest()
    assert s.post(h12()) == 204
    one, two = r.wait_for(2)
    assert one.sender != two.sender


def test_a_damaged_journal_is_set_aside(site, router):
    s = site()
    program = s.ingest()
    assert s.post(h12()) == 204
    program.kill()
    for log in ("ingest.db-wal", "ingest.db-shm"):  # from which SQLite would mend it
        (s.folder / "state" / log).unlink(missing_ok=True)
    (s.folder / "state" / "ingest.db").write_bytes(b"no database at all" * 1000)
    program = s.ingest()
    program.wait_said("set aside")
    r = router(s).start()
    assert s.post(h12()) == 204
    r.wait_for(1)


# ---- the end ----

def test_sigterm_hands_over(site, router):
    s = site()
    r = router(s).start()
    program = s.ingest()
    s.wait_healthy()
    r.paused = True
    for _ in range(10):
        assert s.post(h12()) == 204
    program.signal(signal.SIGTERM)
    time.sleep(0.2)
    assert program.process.poll() is None  # it waits for the alerter
    r.paused = False
    assert program.wait() == 0
    assert len(r.wait_for(10)) == 10
    wait_for(lambda: r.goodbyes == 1, "a goodbye")
    assert program.errors[-1].endswith('"stopped"')


def test_the_end_comes_in_order_under_load(site, router):
    """Clients that never pause, and SIGTERM at any moment: exit 0, and no answered delivery is lost."""
    s = site()
    r = router(s).start()
    answered, rng = 0, random.Random(7)
    for _ in range(12):
        ingest, stopping = s.ingest(), threading.Event()
        counts = []

        def deliver():
            connection, n = None, 0
            while not stopping.is_set():
                try:
                    connection = connection or s.connect()
                    n += s.post(h12(), connection=connection) == 204
                except (OSError, http.client.HTTPException):
                    connection = None
            counts.append(n)

        threads = [threading.Thread(target=deliver, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.02, 0.2))
        ingest.signal(signal.SIGTERM)
        code = ingest.wait()
        stopping.set()
        for thread in threads:
            thread.join()
        assert code == 0, ingest.errors
        answered += sum(counts)
    wait_for(lambda: r.matches() >= answered, "what was answered")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_it_has_begun(site, router, number):
    s = site()
    r = router(s).start()
    program = s.ingest()
    body = h12(3)
    with s.raw() as slow_one, s.raw() as idle, s.raw() as chunks:
        slow_one.send(head(Content_Length=len(body)) + body[:20])
        chunks.send(head(Transfer_Encoding="chunked") + chunked(body, 50)[:60])
        assert idle.send(whole(GOOD)).answer()[0] == 204
        program.signal(number)
        program.wait_said("stopping")
        with pytest.raises(OSError):
            s.post(GOOD)  # no newcomers
        code, headers, _ = slow_one.send(body[20:]).answer()
        assert (code, headers["connection"]) == (204, "close")
        assert program.process.poll() is None
        assert chunks.send(chunked(body, 50)[60:]).answer()[0] == 204
        assert program.wait() == 0
        assert idle.is_closed()
    assert r.matches() == 6


def test_sigterm_with_nothing_to_do_is_quick(site):
    s = site()
    program = s.ingest()
    began = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - began < 5


def test_sighup_does_no_harm(site):
    s = site()
    program = s.ingest()
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
        program.signal(number)
    assert s.post(GOOD) == 204
    assert program.stop() == 0


# ---- what began with the first test ----

@pytest.mark.sqlite
def test_records_that_nobody_acks_are_said(slow):
    alone, _ = slow
    program = alone.programs[0]
    line = program.wait_said("level=error")[0]
    assert program.times[line] - alone.began < 30
    assert "1 delivery waits" in line and "alert" in line
    assert alone.post(h12()) == 204
    assert alone.health()[0] == 503


def test_an_endless_upload_does_not_hold_up_the_end(slow):
    _, endless = slow
    assert endless.program.wait() == 0
    line = endless.program.errors[-1]
    assert line.endswith('"stopped"')
    assert endless.program.times[line] - endless.began < 10  # 2 s, looked at once a second
    assert endless.client.is_closed()
