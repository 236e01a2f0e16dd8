"""A keep-alive HTTP/1.1 connection that costs next to nothing, so that servers are measured."""

from __future__ import annotations

import json
import socket
import time

CONNECT_SECONDS = 60
RECEIVE_BYTES = 65_536
# Parts that Linux takes in one call (IOV_MAX).
PARTS_MAX = 1_024
SEND_BUFFER_BYTES = 4 * 1024 * 1024


class Connection:
    """One socket to the server on this machine; one request at a time."""

    def __init__(self, port: int, timeout_seconds: float = CONNECT_SECONDS):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def send(self, parts: list) -> None:
        """Sends the parts one after the other, without joining them first."""
        for at in range(0, len(parts), PARTS_MAX):
            some = parts[at: at + PARTS_MAX]
            sent, total = self.socket.sendmsg(some), sum(map(len, some))
            if sent < total:
                self.socket.sendall(memoryview(b"".join(some))[sent:])

    def receive(self) -> tuple[int, bytes]:
        """Status and body of the answer."""
        data = self.socket.recv(RECEIVE_BYTES)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self.more()
        head = data[:end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            raise ConnectionError(f"an answer without a length: {head[:200]!r}")
        length = int(head[at + 15:].split(b"\r\n", 1)[0])
        while len(data) < end + 4 + length:
            data += self.more()
        return int(head[9:12]), data[end + 4:]

    def more(self) -> bytes:
        """Further bytes of an answer that has begun."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def close(self) -> None:
        """Ends it."""
        self.socket.close()


def head(method: str, path: str, length: int, content_type: str = "application/json") -> bytes:
    """Request line and fields."""
    return (f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\n"
            f"content-length: {length}\r\n\r\n").encode()


def get(port: int, path: str) -> dict:
    """A document of the API, over a connection of its own."""
    return asked(port, [head("GET", path, 0)])


def query(port: int, sql: str, **rest) -> list[dict]:
    """Rows of the live tables."""
    body = json.dumps({"sql": sql, **rest}).encode()
    return asked(port, [head("POST", "/api/v1/query", len(body)), body])["data"]


def asked(port: int, parts: list) -> dict:
    """The JSON answer; fails on any status but 200."""
    connection = Connection(port)
    try:
        connection.send(parts)
        status, body = connection.receive()
    finally:
        connection.close()
    if status != 200:
        raise ConnectionError(f"status {status}: {body.decode(errors='replace')}")
    return json.loads(body)


def sleep_until(due: float) -> None:
    """Sleeps until that value of `time.monotonic()`."""
    left = due - time.monotonic()
    if left > 0:
        time.sleep(left)
