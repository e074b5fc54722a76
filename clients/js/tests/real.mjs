// Does once what devices do, and says so on a line each: real.mjs URL KEY-ID SECRET SESSION.

import { Box, Fault } from '../dist/index.js';

const [url, keyId, secret, session] = process.argv.slice(2);
const box = new Box(url, keyId, secret);
for (const found of await box.sessions()) console.log('found', found.id, found.state);
console.log('listed 200');
console.log('created 201', (await box.create({ prompt: 'say hi' })).id);
for (let times = 0; times < 2; times += 1) {
  await box.send(session, 'a "quoted" line', 'first');
  console.log('sent 200');
}
await box.answer(session, 'q1', { 'Which one?': 'the first' });
console.log('answered 200');
await box.ask('DELETE', `/api/tokens/${keyId}`).catch((fault) => {
  if (fault instanceof Fault) console.log('refused', fault.code);
});
console.log('followed 200');
for await (const frame of box.follow(session)) {
  console.log('frame', frame.seq, String(frame.data.text ?? '').slice(0, 60));
}
console.log('bye 0');
