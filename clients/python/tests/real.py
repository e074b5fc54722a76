"""Does once what devices do, and says so on a line each: real.py URL KEY-ID SECRET SESSION."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from cib_box import Box, Fault  # noqa: E402

url, key_id, secret, session = sys.argv[1:]
box = Box(url, key_id, secret)
for found in box.sessions():
    print("found", found["id"], found["state"])
print("listed 200")
print("created 201", box.create(prompt="say hi")["id"])
for _ in range(2):
    box.send(session, 'a "quoted" line', name="first")
    print("sent 200")
box.answer(session, "q1", {"Which one?": "the first"})
print("answered 200")
try:
    box.ask("DELETE", f"/api/tokens/{key_id}")
except Fault as fault:
    print("refused", fault.code)
print("followed 200", flush=True)
for frame in box.follow(session):
    print("frame", frame["seq"], frame["data"].get("text", "")[:60], flush=True)
print("bye 0")
