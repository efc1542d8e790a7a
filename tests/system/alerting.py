"""Both programs with the shipped rules, and the views that an operator has of their decisions."""

import json
import signal

from drainwatch import ALERTER, ROOT, frame, wait_for

SHIPPED = (ROOT / "rules.yaml").read_text()
CHANNEL = "D0AJ7K184TV"
H12_RULE = "h12-request-timeout"
TIMEOUT_RULE = "gunicorn-worker-timeout"
SANITIZED = b"__asan_init" in ALERTER.read_bytes()
FENCES = 20


def rule(name, match, **keys):
    keys = {"more_than": 0, "within": "5m", "cooldown": "5m", **keys}
    lines = [f"  - name: {name}", f"    match: '{match}'"]
    return "\n".join(lines + [f"    {key}: {value}" for key, value in keys.items()]) + "\n"


def rules(*more, text=SHIPPED, **keys):
    """The shipped rules with other values for keys such as cooldown, more rules, and the rules that
    Both.fence uses up."""
    lines = text.splitlines()
    for key, value in keys.items():
        hits = [i for i, line in enumerate(lines) if line.strip().startswith(f"{key}: ")]
        assert hits, key
        for i in hits:
            lines[i] = lines[i][:lines[i].index(key)] + f"{key}: {value}"
    fences = [rule(f"fence-{n}", f"^FENCE {n}$", channel=f"FENCE-{n}") for n in range(FENCES)]
    return "\n".join(lines) + "\n" + "".join(more) + "".join(fences)


def rss_kb(program):
    """What a process holds in memory."""
    with open(f"/proc/{program.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


class Both:
    """A site whose two programs run, the alerter first."""

    def __init__(self, site, slack=None, **settings):
        if slack:
            settings = {"SLACK_API_URL": slack.url, "SLACK_BOT_TOKEN": slack.token, **settings}
        site.settings.update({name: str(value) for name, value in settings.items()})
        self.site = site
        self.slack = slack
        self.fences = 0
        self.alerter = site.alerter()
        self.ingest = site.ingest()
        site.wait_healthy()

    def post(self, body, **kw):
        assert self.site.post(body, **kw) == 204

    def rows(self):
        """All of the outbox."""
        result = self.site.run(ALERTER, "outbox", "--format", "json")
        assert result.returncode == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def outbox(self, rule=None):
        """The alerts that were decided, without the fences'."""
        return [row for row in self.rows() if not row["rule"].startswith("fence-")
                and rule in (None, row["rule"])]

    def wait_outbox(self, condition, what):
        """Waits for a row that satisfies the condition."""
        def look():
            return [row for row in self.outbox() if condition(row)]
        return wait_for(look, f"{what} in the outbox")[0]

    def fence(self):
        """Waits until all that was posted before is decided: records are taken in their order."""
        name = f"fence-{self.fences}"
        self.post(frame(f"FENCE {self.fences}", source="fence", newline=False))
        self.fences += 1
        wait_for(lambda: [row for row in self.rows() if row["rule"] == name], name)

    def decided(self, rule=None):
        """The alerts decided on all that was posted so far."""
        self.fence()
        return self.outbox(rule)

    def messages(self, channel=CHANNEL):
        """What readers of a channel see."""
        return [m for m in self.slack.delivered if m.channel == channel]

    def wait_messages(self, n, channel=CHANNEL):
        wait_for(lambda: len(self.messages(channel)) >= n, f"{n} messages to {channel}")
        return self.messages(channel)

    def end_alerter(self, number=signal.SIGKILL):
        self.alerter.signal(number)
        code = self.alerter.wait()
        assert code == (0 if number == signal.SIGTERM else -number)

    def restart_alerter(self, number=signal.SIGKILL, **settings):
        self.end_alerter(number)
        self.site.settings.update({name: str(value) for name, value in settings.items()})
        self.alerter = self.site.alerter()
        self.site.wait_healthy()
