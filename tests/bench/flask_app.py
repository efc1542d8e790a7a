"""The same job, written well in Python: credentials by HMAC, compared in constant time; each rule is
one expression over the whole body, not over each line; windows in memory; one kept connection to
Slack.

    gunicorn --workers 1 --bind 127.0.0.1:PORT flask_app:app

It does less than drainwatch. It has no journal, so a restart empties its windows. It does not retry,
and a slow Slack holds up the drain.
"""

import base64
import binascii
import collections
import hashlib
import hmac
import os
import re
import time

import flask
import requests

SECRET = os.environ["HEROKU_LOG_DRAIN_HMAC_SECRET"].encode()
SLACK_URL = os.environ.get("SLACK_API_URL", "https://slack.com/api") + "/chat.postMessage"
SLACK_TOKEN = os.environ.get("SLACK_BOT_TOKEN")
COOLDOWN_S = float(os.environ.get("COOLDOWN_S", "300"))
MORE_THAN_H12 = int(os.environ.get("MORE_THAN_H12", "3"))

app = flask.Flask(__name__)
slack = requests.Session()


class Rule:
    def __init__(self, title, expression, source, more_than, within):
        self.title = title
        self.search = re.compile(expression).finditer
        self.source = source
        self.more_than = more_than
        self.within = within
        self.times = collections.deque(maxlen=10_000)
        self.quiet_until = 0.0

    def feed(self, body):
        now, sample = time.time(), None
        for hit in self.search(body):
            begin = body.rfind(b"\n", 0, hit.start()) + 1
            if self.source in body[begin:begin + 80]:
                self.times.append(now)
                sample = body[begin:body.find(b"\n", hit.end())]
        if sample is None:
            return
        while self.times and self.times[0] <= now - self.within:
            self.times.popleft()
        if len(self.times) > self.more_than and now >= self.quiet_until:
            self.quiet_until = now + COOLDOWN_S
            tell(f"{self.title}: {len(self.times)} in {self.within} s: "
                 f"{sample.decode('utf-8', 'replace')}")


RULES = [
    Rule("H12 request timeouts", rb"code=H12", b" host heroku ", MORE_THAN_H12, 300),
    Rule("Gunicorn worker timeouts", rb"WORKER TIMEOUT", b" host app ", 2, 120),
]


def tell(text):
    if SLACK_TOKEN:
        slack.post(SLACK_URL, json={"channel": "D0AJ7K184TV", "text": text},
                   headers={"Authorization": f"Bearer {SLACK_TOKEN}"}, timeout=10)


def is_authentic():
    scheme, _, pair = flask.request.headers.get("Authorization", "").partition(" ")
    try:
        name, _, token = base64.b64decode(pair).partition(b":")
    except binascii.Error:
        return False
    right = hmac.digest(SECRET, name, hashlib.sha256).hex()
    return scheme.lower() == "basic" and hmac.compare_digest(right, token.decode("latin-1").lower())


@app.post("/api/internal/heroku-log-drain")
def drain():
    if not is_authentic():
        return "", 401
    body = flask.request.get_data(cache=False)
    for rule in RULES:
        rule.feed(body)
    return "", 204
