"""Requests of attackers, which tests and tests/bench/attacker.py send."""

import gzip

from drainwatch import head

BOMB_BYTES = 8 << 20
PARTIAL_HEAD = b"POST / HTTP/1.1\r\nX: "
ENDLESS_EXTENSION = head(Transfer_Encoding="chunked", drain="hostile") + b"5;" + b"x" * 60000
WITHHELD_BODY = head(Content_Length=60000, drain="hostile") + b"x"


def bomb():
    """A small request of which each line matches; its last byte is withheld."""
    line = b"code=H12 heroku\n"
    body = gzip.compress(line * (BOMB_BYTES // len(line) - 1))
    return head(Content_Length=len(body), Content_Encoding="gzip", drain="hostile") + body[:-1]
