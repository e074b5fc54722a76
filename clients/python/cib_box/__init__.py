"""A client of claude-in-box for lines without TLS.

    box = Box("http://box:8080", key_id="0102030405060708", secret="00...1f")
    for session in box.sessions():
        print(session["id"], session["state"])
    box.send(session["id"], "run the tests", name="tests-1")
    for frame in box.follow(session["id"]):
        print(frame["seq"], frame["kind"])

One thing at a time, one connection, and a new one where the old one broke.
"""

from __future__ import annotations

import http.client
import json
import os
import time
from typing import Any, Dict, Iterator, Optional
from urllib.parse import urlsplit

from . import envelope
from .envelope import Damaged

__all__ = ["Box", "Damaged", "Fault", "Refused"]

_MEDIA = "application/cib-aes-3"


class Fault(Exception):
    """What the box answers under seal instead of what was asked for."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body
        self.code = body.get("error") if isinstance(body, dict) else None


class Refused(Exception):
    """A refusal in the clear. Anybody on the line can forge it: wait and ask again, and never throw
    the secret away."""


class _Lost(Exception):
    """The session is gone; a new one is made."""


class Box:
    """A box, as a device with a key sees it."""

    def __init__(self, url: str, key_id: str, secret: str, timeout: float = 60.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("the address of a box begins with http://; over https use the API as it is")
        self._host, self._port = parts.hostname, parts.port or 80
        self._key_id, self._secret = bytes.fromhex(key_id), bytes.fromhex(secret)
        if len(self._key_id) != 8 or len(self._secret) != 32:
            raise ValueError("a key id has 16 hexadecimal digits and a secret 64")
        self._timeout = timeout
        self._line: Optional[http.client.HTTPConnection] = None
        self._session: Optional[envelope.Session] = None
        self._offset = 0.0

    # What most devices do.

    def sessions(self) -> list:
        """Every session."""
        return self.ask("GET", "/api/sessions")["sessions"]

    def create(self, **fields: Any) -> Dict[str, Any]:
        """Starts a session; the fields are those of `POST /api/sessions`."""
        return self.ask("POST", "/api/sessions", fields)

    def send(self, session: str, text: str, name: Optional[str] = None) -> Any:
        """Sends a prompt. Sent again with the same `name`, it is done once."""
        body = {"data": text + "\n", "client_id": name} if name else {"data": text + "\n"}
        return self.ask("POST", f"/api/sessions/{session}/input", body)

    def answer(self, session: str, question: str, answers: Dict[str, str]) -> Any:
        """Answers a question: its id, and a label for each question's text."""
        return self.ask("POST", f"/api/sessions/{session}/answer", {"id": question, "answers": answers})

    def follow(self, session: str, after: int = 0, kinds: str = "") -> Iterator[Dict[str, Any]]:
        """Frames from behind a seq until the session ends, each once, whatever the line does."""
        pause = 1.0
        while True:
            target = f"/api/sessions/{session}/events?from={after}" + (f"&kinds={kinds}" if kinds else "")
            try:
                for number, payload in self._stream(target):
                    pause = 1.0
                    if number == envelope.FRAME:
                        frame = json.loads(payload)
                        after = frame["seq"]
                        yield frame
                    elif number == envelope.END:
                        reason = json.loads(payload)["reason"]
                        if reason not in ("shutting_down", "rekey"):
                            return
            except (OSError, http.client.HTTPException, Damaged, Refused):
                self._close()
            time.sleep(pause)
            pause = min(60.0, pause * 2)

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        """Asks a route and returns its JSON. Raises Fault, Refused, Damaged or OSError."""
        raw = b"" if body is None else json.dumps(body).encode()
        for attempt in range(3):
            try:
                status, kind, plains, off = self._exchange(method, target, raw)
            except _Lost:
                continue
            if kind != envelope.BODY:
                self._close()
                raise Damaged("a stream where a body was expected")
            text = b"".join(plains)
            value = json.loads(text) if text else None
            if status == 401 and abs(off) > 30_000 and attempt < 2:
                continue
            if status >= 400:
                raise Fault(status, value)
            return value
        raise Refused("the box makes no session")

    # The line.

    def _close(self) -> None:
        if self._line:
            self._line.close()
        self._line = None

    def _http(self, method: str, body: Optional[bytes]) -> http.client.HTTPResponse:
        """One exchange of HTTP; a kept connection that was closed meanwhile is made anew, before
        anything was answered."""
        for is_fresh in (self._line is None, True):
            if self._line is None:
                self._line = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
            try:
                self._line.request(method, "/aes/v3", body, {"Content-Type": _MEDIA} if body else {})
                return self._line.getresponse()
            except (OSError, http.client.HTTPException):
                self._close()
                if is_fresh:
                    raise
        raise AssertionError("unreachable")

    def _now(self) -> int:
        return int(time.monotonic() * 1000 + self._offset)

    def _take_time(self, told: int) -> int:
        off = told - self._now()
        self._offset += off
        return off

    def _refusal(self, response: http.client.HTTPResponse) -> Exception:
        response.read()
        lost = response.status in (401, 403, 409)
        had_session, self._session = self._session, None if lost else self._session
        if response.status in (401, 409) and had_session:
            return _Lost()
        return Refused(f"HTTP {response.status}")

    def _exchange(self, method: str, target: str, body: bytes):
        if self._session is None:
            response = self._http("GET", None)
            if response.status != 200:
                raise self._refusal(response)
            self._session = envelope.Session(self._key_id, self._secret, response.read(), os.urandom(16))
            self._take_time(self._session.time_ms)
        message, pending = self._session.request(method, target, body, self._now(), os.urandom(8))
        response = self._http("POST", message)
        if response.status != 200:
            raise self._refusal(response)
        plains = self._records(response, pending)
        told, status, kind, rest = envelope.answer_head(next(plains))
        off = self._take_time(told)

        def all_plains() -> Iterator[bytes]:
            if rest:
                yield rest
            yield from plains

        return status, kind, all_plains(), off

    def _records(self, response: http.client.HTTPResponse, pending: envelope.Pending) -> Iterator[bytes]:
        def exactly(count: int) -> bytes:
            data = b""
            while len(data) < count:
                piece = response.read1(count - len(data)) if count - len(data) else b""
                if not piece:
                    raise Damaged("the answer was cut")
                data += piece
            return data

        records = pending.records(exactly(envelope.RESPONSE_PREFIX))
        while not records.is_over:
            header = exactly(2)
            yield records.open(header, exactly(records.length(header)))
        if response.read():
            raise Damaged("something stands behind the last record")

    def _stream(self, target: str) -> Iterator:
        for _ in range(3):
            try:
                status, kind, plains, off = self._exchange("GET", target, b"")
            except _Lost:
                continue
            if kind == envelope.STREAM:
                for number, _, payload in envelope.items(plains):
                    yield number, payload
                return
            body = json.loads(b"".join(plains))
            if not (status == 401 and abs(off) > 30_000):
                raise Fault(status, body)
        raise Refused("the box makes no session")
