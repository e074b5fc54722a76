"""The bytes of the sealed envelope, apart from any line. docs/AES-TRANSPORT.md is what they are."""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HELLO, CHALLENGE, OPEN, NEXT, CONNECT, RESPONSE, PUSH = range(1, 8)
METHODS = {"GET": 1, "POST": 2, "PUT": 3, "PATCH": 4, "DELETE": 5}
BODY, STREAM, CONNECTION = 1, 2, 3
HEARTBEAT, CALL, REPLY, FRAME, STREAM_END, END = 0x00, 0x01, 0x02, 0x03, 0x7E, 0x7F
MAX_RECORD = 4096
RESPONSE_PREFIX = 20


class Damaged(Exception):
    """The answer is not authentic, or was cut."""


def lead(kind: int) -> bytes:
    """What a message begins with."""
    return b"CIB3" + bytes([kind, 1, 0, 0])


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _expand(key: bytes, info: bytes) -> bytes:
    return _mac(key, info + b"\x01")


class Records:
    """One direction of one message: its records in their order."""

    def __init__(self, key: bytes, prefix: bytes) -> None:
        self._cipher = AESGCM(key)
        self._prefix = prefix
        self._count = 0
        self.is_over = False

    def _step(self, last: bool) -> Tuple[bytes, bytes]:
        if self.is_over or self._count >= 1 << 24:
            raise Damaged("a record behind the last")
        nonce = bytes(7) + struct.pack(">IB", self._count, last)
        aad = self._prefix if self._count == 0 else b""
        self._count += 1
        self.is_over = last
        return nonce, aad

    def seal(self, plain: bytes, last: bool) -> bytes:
        """A record."""
        nonce, aad = self._step(last)
        return struct.pack(">H", len(plain) | (last << 15)) + self._cipher.encrypt(nonce, plain, aad)

    @staticmethod
    def length(header: bytes) -> int:
        """How many bytes follow the first two of a record."""
        length = struct.unpack(">H", header)[0] & 0x7FFF
        if length > MAX_RECORD:
            raise Damaged("a record is too long")
        return length + 16

    def open(self, header: bytes, sealed: bytes) -> bytes:
        """The plaintext of a record, given its first two bytes and the rest."""
        nonce, aad = self._step(bool(header[0] & 0x80))
        try:
            return self._cipher.decrypt(nonce, sealed, aad)
        except InvalidTag:
            self.is_over = True
            raise Damaged("a record does not open") from None


@dataclass
class Pending:
    """What opens the answer to one request."""

    session: "Session"
    number: bytes
    salt: bytes

    def records(self, prefix: bytes) -> Records:
        """The records of the answer that begins so."""
        if prefix[:12] != lead(RESPONSE) + self.number:
            raise Damaged("the answer is to something else")
        info = b"CIB3 response" + self.number + self.salt + prefix[12:]
        return Records(_expand(self.session.traffic, info), prefix)


class Session:
    """The keys of one session, from a challenge."""

    def __init__(self, key_id: bytes, secret: bytes, challenge: bytes, nonce: bytes, kind: int = OPEN) -> None:
        if len(challenge) != 48 or challenge[:8] != lead(CHALLENGE):
            raise Damaged("not a challenge")
        self._opening: Optional[bytes] = lead(kind) + key_id + nonce + challenge[8:]
        prk = _mac(hashlib.sha256(self._opening).digest(), secret)
        self.traffic = _expand(prk, b"CIB3 traffic")
        self.sid = _expand(prk, b"CIB3 session")[:16]
        self.time_ms: int = struct.unpack(">Q", challenge[8:16])[0]
        self._next = 0

    def begin(self, salt: bytes) -> Tuple[bytes, Records, Pending]:
        """The next message: its prefix, its records, and what opens its answer."""
        number = struct.pack(">I", self._next)
        self._next += 1
        opening, self._opening = self._opening, None
        prefix = (opening or lead(NEXT) + self.sid) + number + salt
        key = _expand(self.traffic, b"CIB3 request" + number + salt)
        return prefix, Records(key, prefix), Pending(self, number, salt)

    def request(self, method: str, target: str, body: bytes, time_ms: int, salt: bytes,
                max_record: int = MAX_RECORD) -> Tuple[bytes, Pending]:
        """A whole message."""
        path = target.encode("ascii")
        head = struct.pack(">QHBH", time_ms, max_record, METHODS[method], len(path)) + path
        prefix, records, pending = self.begin(salt)
        room = MAX_RECORD - len(head)
        pieces = [head + body[:room]]
        pieces += [body[at:at + MAX_RECORD] for at in range(room, len(body), MAX_RECORD)]
        sealed = [records.seal(piece, n + 1 == len(pieces)) for n, piece in enumerate(pieces)]
        return prefix + b"".join(sealed), pending

    def pushed(self, message: bytes) -> Tuple[int, bytes]:
        """A message that was subscribed to at a broker: its number, and what is in it. Drop one whose number
        was there before."""
        prefix, rest = message[:36], message[36:]
        if len(prefix) < 36 or prefix[:24] != lead(PUSH) + self.sid:
            raise Damaged("not a message of this session")
        records, content = Records(_expand(self.traffic, b"CIB3 push" + prefix[24:]), prefix), b""
        while not records.is_over:
            header = rest[:2]
            end = 2 + records.length(header) if len(header) == 2 else 2
            if len(rest) < end:
                raise Damaged("the message was cut")
            content += records.open(header, rest[2:end])
            rest = rest[end:]
        if rest:
            raise Damaged("a record behind the last")
        return struct.unpack(">I", prefix[24:28])[0], content


def answer_head(plain: bytes) -> Tuple[int, int, int, bytes]:
    """Time, status and kind of an answer, and what follows them in its first record."""
    if len(plain) < 11:
        raise Damaged("not the head of an answer")
    time_ms, status, kind = struct.unpack(">QHB", plain[:11])
    return time_ms, status, kind, plain[11:]


def items(plains: Iterator[bytes]) -> Iterator[Tuple[int, int, bytes]]:
    """Items, joined, of the records of a stream: type, ref and payload."""
    parts = {}
    for plain in plains:
        if len(plain) < 4 or plain[1] & 0xFE:
            raise Damaged("not an item")
        number, flags, reference = struct.unpack(">BBH", plain[:4])
        joined = parts.pop((number, reference), b"") + plain[4:]
        if flags:
            parts[number, reference] = joined
        else:
            yield number, reference, joined
