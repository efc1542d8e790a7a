"""A stand-in for Slack: chat.postMessage on loopback that misbehaves on demand.

In a test:

    with SlackStandIn() as slack:
        slack.behave("429:2", "lost", "ok")      # for the next three requests, then "ok" again
        slack.behave("hang", channel="D2")       # only for requests to that channel
        ... SLACK_API_URL=slack.url SLACK_BOT_TOKEN=slack.token ...
        slack.wait_for(1)[0].text

As a command it prints one JSON object for each request:

    python3 slack.py --port 0 [--token T] [--mode hang] [--script 429:2,lost,ok]

Behaviours, as text; N is a number, seconds unless another unit is named:

    ok              the message is posted
    error:NAME      HTTP 200, {"ok": false, "error": NAME}
    429, 429:N      ratelimited, with Retry-After: N
    500, 503        an error of the server: JSON; a page of HTML (any other status: HTML, too)
    slow:N          posted, answered after N seconds
    hang            read, and never answered
    close           the connection is closed before the request's body is read (in a channel's own
                    script: after it, since only then the channel is known); nothing is posted
    lost            posted, and the connection closed instead of an answer
    truncated       posted, and the answer is cut in the middle of its JSON
    garbage         an answer that is not JSON
    empty           an answer of no bytes
    huge            an answer of 4 MiB (huge:N: of N bytes)
    heads           heads of answers, without an end
    trailers        a whole answer in chunks, and then trailers without an end
    extension       an answer whose first chunk's size never ends
    302             a redirect to elsewhere on this server, where requests are counted as `strays`

A wrong token, a wrong form, and blocks over Slack's limits get Slack's own error. Such a request uses
up no behaviour.
"""

import argparse
import dataclasses
import http.server
import json
import re
import ssl
import subprocess
import sys
import threading
import time

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {  # the beginning of an answer, and the line that then comes again and again
    "heads": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "trailers": (CHUNKED + b'b\r\n{"ok":true}\r\n0\r\n', b"a: b\r\n"),
    "extension": (CHUNKED + b"b;", b"x"),
}
TOKEN = "xoxb-stand-in-token"
PATH = "/api/chat.postMessage"
DELIVERED = ("ok", "slow", "lost", "truncated")


@dataclasses.dataclass
class Message:
    """One request that had the right form."""

    at: float  # time.time() when the request was there
    monotonic: float  # time.monotonic() at the same moment, to measure with
    channel: str
    text: str
    id: str  # the alert's, "" if the message names none
    behaviour: str
    delivered: bool  # a reader of the channel would see it
    connection: int  # requests on one connection share this number
    json: dict  # the message as sent
    headers: dict

    @property
    def title(self):
        """The rule's title in "🔴 APP: TITLE, 4 in 5 minutes (limit 3)"."""
        return self.text.partition(": ")[2].partition(",")[0]

    @property
    def everything(self):
        """All texts of the message, as one."""
        return "\n".join(texts(self.json))


def texts(node):
    """Every string in a JSON value but the names of things."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key != "type":
                yield from texts(value)


def fault_of_text(node, kind, most):
    text = node.get("text") if isinstance(node, dict) else None
    if not isinstance(text, str) or not 1 <= len(text) <= most:
        return f"a text of 1 to {most} characters is wanted: {text!r}"
    if node.get("type") not in kind:
        return f"type {node.get('type')!r} instead of {kind}"
    return None


def faults_of_block(block):
    """The reasons for which Slack would answer invalid_blocks."""
    any_text = ("mrkdwn", "plain_text")
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "header":
        return [fault_of_text(block.get("text"), ("plain_text",), 150)]
    if kind == "section":
        faults = []
        if "text" in block:
            faults.append(fault_of_text(block["text"], any_text, 3000))
        if "fields" in block:
            fields = block["fields"]
            faults += [fault_of_text(field, any_text, 2000) for field in fields]
            faults.append(None if 1 <= len(fields) <= 10 else f"{len(fields)} fields")
        return faults or ["a section with neither text nor fields"]
    if kind == "context":
        elements = block.get("elements", [])
        count = None if 1 <= len(elements) <= 10 else f"{len(elements)} elements"
        return [count] + [fault_of_text(element, any_text, 3000) for element in elements]
    return [] if kind == "divider" else [f"block of type {kind!r}"]


def faults_of_blocks(blocks):
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= 50:
        return ["1 to 50 blocks are wanted"]
    return [fault for block in blocks for fault in faults_of_block(block) if fault]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "slack-stand-in"
    disable_nagle_algorithm = True
    timeout = 120  # of an idle connection

    def setup(self):
        super().setup()
        self.stand_in = self.server.stand_in
        self.number = self.stand_in.connected(self.connection)

    def finish(self):
        self.stand_in.disconnected(self.connection)
        super().finish()

    def log_message(self, format, *args):
        pass

    def answer(self, status, body, headers=(), kind="application/json; charset=utf-8"):
        """The answer in one write, so that no part of it waits for an acknowledgement."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"HTTP/1.1 {status} {self.responses.get(status, ('Odd',))[0]}",
                f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers]
        self.wfile.write("\r\n".join(head + ["", ""]).encode() + body)

    def refuse(self, error, **more):
        self.stand_in.refused(error, more)
        self.answer(200, {"ok": False, "error": error, **more})

    def do_GET(self):
        self.stand_in.strayed(self.path)
        self.answer(404, b"<html>no such page</html>", kind="text/html")

    def do_POST(self):
        if self.stand_in.closes_unread():
            self.close_connection = True
            return
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        except ValueError:
            self.answer(400, b"<html>bad length</html>", kind="text/html")
            return
        if self.path != PATH:
            self.stand_in.strayed(self.path)
            self.answer(404, b"<html>no such page</html>", kind="text/html")
            return
        message = self.check(body)
        if message is not None:
            self.behave(self.stand_in.take(message, dict(self.headers), self.number))

    def check(self, body):
        """The message, or None if it was refused as Slack refuses it."""
        authorization = self.headers.get("Authorization", "")
        if not authorization.startswith("Bearer "):
            return self.refuse("not_authed")
        if authorization != f"Bearer {self.stand_in.token}":
            return self.refuse("invalid_auth")
        if not self.headers.get("Content-Type", "").startswith("application/json"):
            return self.refuse("invalid_post_type")
        try:
            message = json.loads(body.decode("utf-8"))
        except ValueError:
            return self.refuse("invalid_json")
        if not isinstance(message, dict):
            return self.refuse("json_not_object")
        if not isinstance(message.get("channel"), str) or not message["channel"]:
            return self.refuse("channel_not_found")
        if not message.get("text"):
            return self.refuse("no_text")
        if len(message["text"]) > 40000:
            return self.refuse("msg_too_long")
        faults = faults_of_blocks(message["blocks"]) if "blocks" in message else []
        if faults:
            return self.refuse("invalid_blocks", errors=faults)
        return message

    def echo(self, message):
        """Slack's reply repeats the posted message."""
        ts = f"{message.at:.6f}"
        return {"ok": True, "channel": message.channel, "ts": ts,
                "message": {**message.json, "type": "message", "ts": ts}}

    def behave(self, message):
        name, _, value = message.behaviour.partition(":")
        whole = json.dumps(self.echo(message)).encode()
        if name == "ok":
            self.answer(200, whole)
        elif name == "slow":
            if not self.stand_in.stopping.wait(float(value)):
                self.answer(200, whole)
        elif name == "error":
            self.answer(200, {"ok": False, "error": value})
        elif name == "429":
            self.answer(429, {"ok": False, "error": "ratelimited"},
                        [("Retry-After", value)] if value else [])
        elif name == "500":
            self.answer(500, {"ok": False, "error": "internal_error"})
        elif name == "302":
            self.answer(302, b"", [("Location", "/elsewhere")])
        elif name.isdigit():
            self.answer(int(name), b"<html><body>upstream trouble</body></html>", kind="text/html")
        elif name == "hang":
            self.hang()
        elif name in ("lost", "close"):
            self.close_connection = True
        elif name == "truncated":
            self.answer(200, whole[:len(whole) // 2])
        elif name == "garbage":
            self.answer(200, b"\x00\xff\xfe this is no JSON }{")
        elif name == "empty":
            self.answer(200, b"")
        elif name == "huge":
            self.answer(200, b'{"ok":true,"padding":"' + b"x" * int(value or 4 << 20) + b'"}')
        else:
            self.answer_for_ever(*ENDLESS[name])

    def answer_for_ever(self, head, line):
        """Until the client gives up or the test ends, which closes the connection."""
        self.close_connection = True
        self.wfile.write(head)
        while not self.stand_in.stopping.is_set():
            self.wfile.write(line * (65536 // len(line)))

    def hang(self):
        """Until the client gives up or the test ends, which closes the connection."""
        self.close_connection = True
        try:
            self.connection.settimeout(None)
            while self.connection.recv(4096):
                pass
        except OSError:
            pass


@dataclasses.dataclass
class Authority:
    """A certificate for 127.0.0.1 that is its own authority."""

    folder: str  # as SSL_CERT_DIR wants it
    certificate: str
    key: str


def make_authority(folder):
    certificate, key = f"{folder}/ca.pem", f"{folder}/key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=stand-in",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    return Authority(str(folder), certificate, key)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that gave up is part of the game; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class SlackStandIn:
    """Serves on loopback from `start` to `stop`; all else may be called at any time."""

    def __init__(self, token=TOKEN, port=0, mode="ok", on_message=None, tls=None):
        self.token = token
        self.mode = mode  # the behaviour when the script is used up
        self.stopping = threading.Event()
        self._on_message = on_message
        self._changed = threading.Condition()
        self._messages = []
        self._refusals = []  # (error, more)
        self._strays = []
        self._script = []
        self._scripts = {}
        self._connections = {}
        self._n_connections = 0
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.stand_in = self
        self._tls = tls  # an Authority: serve HTTPS
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True,
                                                      do_handshake_on_connect=False)
        self._thread = None
        check_behaviour(mode)

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def url(self):
        """For SLACK_API_URL."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/api"

    def start(self):
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def stop(self):
        self.stopping.set()
        if self._thread:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        with self._changed:
            open_ones = list(self._connections)
        for connection in open_ones:
            try:
                connection.shutdown(2)
            except OSError:
                pass

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # --- for the tests ---

    def behave(self, *behaviours, channel=None):
        """Adds behaviours for the next requests, of one channel or of those without a script."""
        for behaviour in behaviours:
            check_behaviour(behaviour)
        with self._changed:
            script = self._script if channel is None else self._scripts.setdefault(channel, [])
            script.extend(behaviours)

    def recover(self):
        """Forgets the script: from now on `mode` decides."""
        with self._changed:
            self._script.clear()
            self._scripts.clear()

    @property
    def posts(self):
        """All tries that had the right form, in the order in which they came."""
        with self._changed:
            return list(self._messages)

    @property
    def delivered(self):
        """The messages that a reader of the channel sees."""
        return [m for m in self.posts if m.delivered]

    @property
    def refusals(self):
        with self._changed:
            return list(self._refusals)

    @property
    def strays(self):
        """Requested paths that Slack does not have."""
        with self._changed:
            return list(self._strays)

    @property
    def connections(self):
        """How many were ever made."""
        with self._changed:
            return self._n_connections

    def wait_for(self, n, timeout=30, delivered=True):
        """Waits until `n` messages are delivered, or with delivered=False tried; returns all."""
        def enough():
            return sum(m.delivered or not delivered for m in self._messages) >= n

        with self._changed:
            if not self._changed.wait_for(enough, timeout):
                raise AssertionError(f"waited {timeout} s in vain for {n} messages; there came "
                                     f"{self._messages}, refused: {self._refusals}")
        return self.delivered if delivered else self.posts

    def clear(self):
        """Forgets the requests and the script."""
        with self._changed:
            for one in (self._messages, self._refusals, self._strays, self._script):
                one.clear()
            self._scripts.clear()

    # --- for the handlers ---

    def connected(self, connection):
        with self._changed:
            self._n_connections += 1
            self._connections[connection] = self._n_connections
            return self._n_connections

    def disconnected(self, connection):
        with self._changed:
            self._connections.pop(connection, None)

    def strayed(self, path):
        with self._changed:
            self._strays.append(path)

    def refused(self, error, more):
        with self._changed:
            self._refusals.append((error, more))

    def closes_unread(self):
        """The one behaviour that comes before the message is known."""
        with self._changed:
            if self._script and self._script[0] == "close":
                self._script.pop(0)
                return True
            return self.mode == "close" and not self._script

    def take(self, json_message, headers, connection):
        with self._changed:
            channel = json_message["channel"]
            script = self._scripts.get(channel) or self._script
            behaviour = script.pop(0) if script else self.mode
            everything = "\n".join(texts(json_message))
            found = re.search(r"\bid ([0-9a-f]{16})\b", everything)
            message = Message(
                at=time.time(), monotonic=time.monotonic(), channel=channel,
                text=json_message["text"], id=found[1] if found else "", behaviour=behaviour,
                delivered=behaviour.partition(":")[0] in DELIVERED, connection=connection,
                json=json_message, headers=headers)
            self._messages.append(message)
            self._changed.notify_all()
        if self._on_message:
            self._on_message(message)
        return message


def check_behaviour(behaviour):
    """A misspelt behaviour must not pass as one that does nothing."""
    known = (r"ok|hang|close|lost|truncated|garbage|empty|huge(:\d+)?|heads|trailers"
             r"|extension|slow:[\d.]+|error:[\w -]+"
             r"|429(:\d+)?|[345]\d\d")
    if not re.fullmatch(known, behaviour):
        raise ValueError(f"{behaviour!r} is no behaviour of the stand-in")


def print_message(message):
    print(json.dumps({"at": message.at, "channel": message.channel, "id": message.id,
                      "text": message.text, "behaviour": message.behaviour,
                      "delivered": message.delivered, "json": message.json}, ensure_ascii=False),
          flush=True)


def main():
    parser = argparse.ArgumentParser(description="A Slack to test against, on loopback.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--token", default=TOKEN)
    parser.add_argument("--mode", default="ok", help="the behaviour of every request")
    parser.add_argument("--script", default="", help="behaviours of the first requests, by commas")
    args = parser.parse_args()
    stand_in = SlackStandIn(args.token, args.port, args.mode, print_message)
    stand_in.behave(*filter(None, args.script.split(",")))
    with stand_in:
        print(json.dumps({"url": stand_in.url, "token": stand_in.token}), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
