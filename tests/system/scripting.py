"""Runs the scripts as an operator does: as commands, on a terminal, against an odd server."""

import http.server
import os
import pty
import select
import signal
import subprocess
import threading

from drainwatch import ROOT, wait_for

SCRIPTS = ROOT / "scripts"


def environment(**settings):
    keep = {k: v for k, v in os.environ.items()
            if k in ("PATH", "HOME", "LANG", "TMPDIR") or k.startswith(("ASAN_", "UBSAN_", "LSAN_"))}
    return {**keep, **{k: str(v) for k, v in settings.items()}}


def script(name, *args, cwd="/", timeout=120, stdin=subprocess.DEVNULL, **settings):
    return subprocess.run([SCRIPTS / name, *map(str, args)], cwd=cwd, env=environment(**settings),
                          timeout=timeout, stdin=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def told(result):
    return f"exit {result.returncode}\n{result.stdout}{result.stderr}"


class Terminal:
    """A script on a terminal of its own."""

    def __init__(self, name, *args, **settings):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(SCRIPTS / name, [name, *args], environment(**settings))

    def read(self):
        """Takes what is there; False at the end."""
        if not select.select([self.fd], [], [], 0.05)[0]:
            return True
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # Linux says EIO when the last process has closed its side
            more = b""
        self.text += more.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(more)

    def wait_for(self, text):
        def look():
            open_still = self.read()
            assert open_still or text in self.text, self.text
            return text in self.text
        wait_for(look, f"{text!r} on the terminal")

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self):
        wait_for(lambda: not self.read(), "the end of the script")
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Answers:
    """A server that gives each delivery the next of some answers, and so each /healthz."""

    def __init__(self, *statuses, health=()):
        left, health_left = list(statuses), list(health)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(left.pop(0))
                self.end_headers()

            def do_GET(self):
                status, reason = health_left.pop(0)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(reason.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
