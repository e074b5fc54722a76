// What listens in the box, in the browser of a person who opens it: a page that tries whatever a
// hostile one would, behind the port's own name and behind its path.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, freePort, launch, overflow, PHONE, shot, until, visit } from './kit.mjs';

const CODER = 1000;
let box;
let browser;
let server;
let port;

/** The agent's server, as its own program: a page, a worker, an echo over a WebSocket. */
async function serve() {
  const http = await import('node:http');
  const { createHash } = await import('node:crypto');
  const BOX = process.env.BOX;
  const page = `<!doctype html><title>The agent's</title><h1>Served by the agent</h1>
    <pre id="found"></pre><script type="module" src="app.js"></script>`;
  const app = `
    const found = {};
    const tried = async (name, what) => {
      try { found[name] = String(await what()); } catch (error) { found[name] = error.name; }
    };
    const late = (ms) => new Promise((resolve) => setTimeout(() => resolve('nothing'), ms));
    await tried('own', async () => (await fetch('seen')).status);
    await tried('seen', async () => (await fetch('seen')).text());
    await tried('cookie', () => document.cookie);
    await tried('storage', () => JSON.stringify(localStorage));
    await tried('opener', () => window.opener);
    await tried('worker', () => navigator.serviceWorker.register('worker.js').then(() => 'registered'));
    await tried('asked', () => fetch('${BOX}/api/info', { credentials: 'include' }).then((a) => a.status));
    await tried('made', () => fetch('${BOX}/api/sessions', {
      method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}' }).then(() => 'sent'));
    await tried('framed', async () => {
      const frame = document.createElement('iframe');
      frame.src = '${BOX}/';
      document.body.append(frame);
      // Until something else is in it than the empty page of the beginning.
      for (let looks = 0; looks < 600; looks += 1) {
        const { URL, title } = frame.contentWindow.document;
        if (URL !== 'about:blank') return title;
        await late(100);
      }
      return 'nothing';
    });
    await tried('popup', () => window.open('${BOX}/'));
    await tried('elsewhere', () => fetch('http://elsewhere.localhost:${process.env.ELSEWHERE}/secret', { mode: 'no-cors' })
      .then(() => 'sent'));
    await tried('echo', () => new Promise((resolve, reject) => {
      const socket = new WebSocket(new URL('echo', location.href.replace(/^http/, 'ws')));
      socket.onopen = () => socket.send('hello');
      socket.onmessage = ({ data }) => resolve(data);
      socket.onerror = () => reject(new Error('socket'));
    }));
    await tried('root', async () => (await fetch('/seen')).status);
    document.querySelector('#found').textContent = JSON.stringify(found);
  `;
  const files = {
    '/': ['text/html', page],
    '/app.js': ['text/javascript', app],
    '/worker.js': ['text/javascript', 'onfetch = (event) => event.respondWith(new Response("mine"))'],
  };
  const listener = http.createServer((request, response) => {
    const [type, text] = files[request.url] ?? ['text/plain', JSON.stringify(request.headers)];
    response.writeHead(200, {
      'content-type': type,
      'set-cookie': 'cib-00000000=tossed; path=/',
      'service-worker-allowed': '/',
      'access-control-allow-origin': '*',
    });
    response.end(text);
  });
  listener.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on('error', () => undefined);
    socket.on('data', (piece) => {
      // One short text, masked, as browsers send it.
      if ((piece[0] & 15) !== 1) return;
      const length = piece[1] & 127;
      const text = Buffer.from(piece.subarray(6, 6 + length).map((byte, at) => byte ^ piece[2 + (at % 4)]));
      socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
    });
  });
  listener.listen(Number(process.env.PORT), '127.0.0.1');
}

before(async () => {
  box = await Box.start();
  browser = await launch();
  port = await freePort();
  server = spawn(process.execPath, ['-e', `(${serve})()`], {
    uid: CODER,
    gid: CODER,
    cwd: '/',
    env: { BOX: box.url, PORT: String(port), ELSEWHERE: String(await freePort()) },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await until('the server', async () =>
    (await box.call('GET', '/api/ports')).ports.some((one) => one.port === port),
  );
});
after(async () => {
  await browser?.close();
  if (server?.exitCode === null) {
    server.kill('SIGKILL');
    await once(server, 'exit');
  }
  await box?.stop();
});

async function found(page) {
  const text = await until('the page to have tried', () => page.locator('#found').textContent());
  return JSON.parse(text);
}

/** What must have come of everything that it tried, whatever its address. */
function harmless(tried) {
  assert.equal(tried.own, '200');
  assert.equal(tried.echo, 'hello');
  assert.equal(tried.opener, 'null');
  assert.equal(tried.popup, 'null');
  assert.equal(tried.asked, 'TypeError');
  assert.equal(tried.elsewhere, 'TypeError');
  for (const name of ['worker', 'framed']) assert.match(tried[name], /Error$/, name);
  for (const secret of ['cookie', 'authorization', 'x-cib', 'x-forwarded-user', 'referer']) {
    assert.ok(!(secret in JSON.parse(tried.seen)), secret);
  }
}

test('what listens is opened in a tab that can do nothing to the box', async () => {
  const page = await visit(browser, box, '/ports');
  const opening = page.context().waitForEvent('page');
  await page.getByRole('button', { name: `Open port ${port}` }).click();
  const tab = await opening;
  await tab.getByRole('heading', { name: 'Served by the agent' }).waitFor();
  assert.match(tab.url(), /^http:\/\/p-[0-9a-f]{32}\.localhost:/);
  const byName = await found(tab);
  harmless(byName);
  // An origin of its own: storage of its own, with nothing of the box's in it, and files at the root.
  assert.deepEqual([byName.cookie, byName.storage, byName.root], ['', '{}', '200']);

  const { path } = await box.call('POST', `/api/ports/${port}/open`);
  const other = await page.context().newPage();
  await other.goto(`${box.url}${path}`);
  const byPath = await found(other);
  harmless(byPath);
  // An origin that is nobody's.
  assert.deepEqual([byPath.cookie, byPath.storage], ['SecurityError', 'SecurityError']);
  assert.notEqual(byPath.root, '200');

  assert.deepEqual((await box.call('GET', '/api/sessions')).sessions, []);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('an address of a port that has ended says so', async () => {
  const page = await visit(browser, box, `/ports/${port}/${'0'.repeat(32)}/`);
  await page.getByText('Nothing is open here any more').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

for (const [name, size] of Object.entries({ desk: DESKTOP, phone: PHONE })) {
  test(`axe finds nothing on the page of ports, and it fits, ${name}`, async () => {
    const page = await visit(browser, box, '/ports', { size });
    await page.getByRole('button', { name: `Open port ${port}` }).waitFor();
    assert.deepEqual(await axeFinds(page), []);
    assert.equal(await overflow(page, size.width), 0);
    await shot(page, `ports-${name}`);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  });
}
