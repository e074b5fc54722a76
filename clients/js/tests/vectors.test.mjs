// The vectors of docs/AES-TRANSPORT.md, read from the page.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const { Carries, Damaged, ItemType, Kind, Records, Session, answerHead, items, join, requestHead, unhex } =
  await import('../dist/envelope.js');

const NOW = 1700000000000;
const page = readFileSync(new URL('../../../docs/AES-TRANSPORT.md', import.meta.url), 'utf8');
const vectors = new Map();
for (const [, block] of page.matchAll(/^```vectors\n(.*?)^```/gms)) {
  for (const line of block.split('\n').filter((line) => line && !line.startsWith('#'))) {
    const [name, hex] = line.split(' ');
    vectors.set(name, unhex(hex));
  }
}
assert.ok(vectors.size >= 30, 'the page has its vectors');
const vector = (name) => vectors.get(name);
const counting = (from, count) => Uint8Array.from({ length: count }, (_, at) => from + at);
const bytes = (text) => new TextEncoder().encode(text);
const open = (challenge, nonce, kind) =>
  Session.open(vector('key-id'), vector('secret'), challenge, nonce, kind);

async function read(pending, message) {
  const records = await pending.records(message.slice(0, 20));
  const plains = [];
  let at = 20;
  while (!records.isOver) {
    const header = message.slice(at, at + 2);
    if (header.length < 2) throw new Damaged('cut');
    const end = at + 2 + Records.length(header);
    plains.push(await records.open(header, message.slice(at + 2, end)));
    at = end;
  }
  if (at !== message.length) throw new Damaged('too long');
  const head = answerHead(plains[0]);
  return { head, plains: [head.rest, ...plains.slice(1)] };
}

test('a conversation is made and read byte for byte', async () => {
  const session = await open(vector('challenge'), counting(0x80, 16));
  assert.deepEqual(session.traffic, vector('traffic'));
  assert.deepEqual(session.sid, vector('sid'));
  const path = '/api/sessions/abc123/input';
  const body = bytes('{"data":"hello\\n","encoding":"utf8"}');
  let sent = await session.request('POST', path, body, NOW, counting(0x20, 8));
  assert.deepEqual(sent.message, vector('request-0'));
  let answer = await read(sent.pending, vector('response-0'));
  assert.deepEqual([answer.head.status, answer.head.timeMs, answer.head.carries], [200, NOW, Carries.body]);
  assert.deepEqual(answer.plains, [bytes('{"bytes":6}')]);

  const target = '/api/sessions/abc123/events?from=0';
  sent = await session.request('GET', target, bytes(''), NOW, counting(0x28, 8), 256);
  assert.deepEqual(sent.message, vector('request-1'));
  answer = await read(sent.pending, vector('response-1'));
  const told = [];
  const stream = async function* () {
    yield* answer.plains.slice(1);
  };
  for await (const item of items(stream())) told.push(item);
  const { frame, heartbeat, end } = ItemType;
  assert.deepEqual(
    told.map((item) => item.type),
    [frame, heartbeat, frame, end],
  );
  assert.deepEqual(told[2].payload, bytes(`{"seq":2,"data":"${'x'.repeat(270)}"}`));

  const { prefix, records, pending } = await session.begin(counting(0x30, 8));
  const one = await records.seal(requestHead('POST', path, NOW, 4096), false);
  const two = await records.seal(bytes('{"data":"two records"}'), true);
  assert.deepEqual(join(prefix, one, two), vector('request-2'));
  answer = await read(pending, vector('response-2'));
  assert.deepEqual(answer.plains, [bytes('{"bytes":6}')]);
});

test('a connection is opened byte for byte', async () => {
  const session = await open(vector('tcp-challenge'), counting(0xa8, 16), Kind.connect);
  const { prefix, records } = await session.begin(counting(0xa0, 8));
  const first = requestHead('GET', '', NOW, 4096).slice(0, 10);
  assert.deepEqual(join(prefix, await records.seal(first, false)), vector('tcp-opening'));
  const push = vector('push-5');
  assert.deepEqual(await session.pushed(push), { number: 5, content: bytes('{"seq":3}') });
  for (let at = 0; at < push.length; at += 1) {
    const changed = push.slice();
    changed[at] ^= 1;
    for (const other of [changed, push.slice(0, at), join(push, bytes('x'))])
      await assert.rejects(session.pushed(other), Damaged);
  }
});

test('no changed, cut or foreign answer is taken', async () => {
  const session = await open(vector('challenge'), counting(0x80, 16));
  const good = vector('response-0');
  const first = await session.request('GET', '/x', bytes(''), NOW, counting(0x20, 8));
  for (let at = 0; at < good.length; at += 1) {
    const changed = good.slice();
    changed[at] ^= 1;
    await assert.rejects(read(first.pending, changed), Damaged);
    await assert.rejects(read(first.pending, good.slice(0, at)));
  }
  const second = await session.request('GET', '/x', bytes(''), NOW, counting(0x28, 8));
  await assert.rejects(read(second.pending, good), Damaged);
});
