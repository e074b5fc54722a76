"""The vectors of docs/AES-TRANSPORT.md, read from the page."""

import pathlib
import re
import struct
import sys
import unittest

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
from cib_box import envelope  # noqa: E402
from cib_box.envelope import Damaged, Records, Session, answer_head, items  # noqa: E402

NOW = 1_700_000_000_000
PAGE = (HERE.parents[3] / "docs/AES-TRANSPORT.md").read_text(encoding="utf-8")
VECTORS = {
    name: bytes.fromhex(text)
    for block in re.findall(r"^```vectors\n(.*?)^```", PAGE, re.S | re.M)
    for name, text in (line.split() for line in block.splitlines() if not line.startswith("#"))
}


def counting(first, count):
    return bytes(range(first, first + count))


def read(pending, message):
    """Opens a whole answer: its head and the plaintexts behind it."""
    records, at, plains = pending.records(message[:20]), 20, []
    while not records.is_over:
        header = message[at:at + 2]
        if len(header) < 2:
            raise Damaged("cut")
        end = at + 2 + records.length(header)
        plains.append(records.open(header, message[at + 2:end]))
        at = end
    if at != len(message):
        raise Damaged("too long")
    time_ms, status, kind, rest = answer_head(plains[0])
    return (time_ms, status, kind), [rest, *plains[1:]]


class Vectors(unittest.TestCase):
    def open(self):
        key_id, secret = VECTORS["key-id"], VECTORS["secret"]
        return Session(key_id, secret, VECTORS["challenge"], counting(0x80, 16))

    def test_a_conversation_is_made_and_read_byte_for_byte(self):
        session = self.open()
        self.assertEqual(session.traffic, VECTORS["traffic"])
        self.assertEqual(session.sid, VECTORS["sid"])
        body = rb'{"data":"hello\n","encoding":"utf8"}'
        path = "/api/sessions/abc123/input"
        message, pending = session.request("POST", path, body, NOW, counting(0x20, 8))
        self.assertEqual(message, VECTORS["request-0"])
        head, plains = read(pending, VECTORS["response-0"])
        self.assertEqual((head, plains), ((NOW, 200, envelope.BODY), [b'{"bytes":6}']))

        target = "/api/sessions/abc123/events?from=0"
        message, pending = session.request("GET", target, b"", NOW, counting(0x28, 8), 256)
        self.assertEqual(message, VECTORS["request-1"])
        head, plains = read(pending, VECTORS["response-1"])
        self.assertEqual(head[2], envelope.STREAM)
        told = list(items(iter(plains[1:])))
        self.assertEqual([item[0] for item in told], [envelope.FRAME, envelope.HEARTBEAT, envelope.FRAME, envelope.END])
        self.assertEqual(told[2][2], b'{"seq":2,"data":"' + b"x" * 270 + b'"}')

        prefix, records, pending = session.begin(counting(0x30, 8))
        head = struct.pack(">QHBH", NOW, 4096, 2, len(path)) + path.encode()
        message = prefix + records.seal(head, False) + records.seal(b'{"data":"two records"}', True)
        self.assertEqual(message, VECTORS["request-2"])
        self.assertEqual(read(pending, VECTORS["response-2"])[1], [b'{"bytes":6}'])

    def test_a_connection_is_made_byte_for_byte(self):
        session = Session(VECTORS["key-id"], VECTORS["secret"], VECTORS["tcp-challenge"],
                          counting(0xA8, 16), envelope.CONNECT)
        prefix, records, pending = session.begin(counting(0xA0, 8))
        self.assertEqual(prefix + records.seal(struct.pack(">QH", NOW, 4096), False), VECTORS["tcp-opening"])
        opened = pending.records(VECTORS["tcp-answer"][:20])
        for name, start in (("tcp-answer", 20), ("tcp-reply", 0), ("tcp-end", 0)):
            record = VECTORS[name][start:]
            opened.open(record[:2], record[2:])
        self.assertTrue(opened.is_over)
        push = VECTORS["push-5"]
        self.assertEqual(session.pushed(push), (5, b'{"seq":3}'))
        for at in range(len(push)):
            changed = bytearray(push)
            changed[at] ^= 1
            for other in bytes(changed), push[:at], push + b"x":
                with self.assertRaises(Damaged):
                    session.pushed(other)

    def test_no_changed_cut_or_foreign_answer_is_taken(self):
        session = self.open()
        _, first = session.request("GET", "/x", b"", NOW, counting(0x20, 8))
        good = VECTORS["response-0"]
        for at in range(len(good)):
            changed = bytearray(good)
            changed[at] ^= 1
            with self.assertRaises(Damaged):
                read(first, bytes(changed))
            with self.assertRaises(Exception):
                read(first, good[:at])
        _, second = session.request("GET", "/x", b"", NOW, counting(0x28, 8))
        with self.assertRaises(Damaged):
            read(second, good)

    def test_a_message_has_an_end(self):
        records = Records(bytes(32), b"")
        records.seal(b"", True)
        with self.assertRaises(Damaged):
            records.seal(b"", True)


if __name__ == "__main__":
    unittest.main()
