// The box behind real reverse proxies, configured as deploy/ ships them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { constants, createGunzip } from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import Provider from 'oidc-provider';
import { apache, ask, caddy, nginx, SECRET, send } from './door.mjs';
import { Box, DESKTOP, freePort, launch, PATIENCE, TOKEN, until } from './kit.mjs';

const token = { authorization: `Bearer ${TOKEN}` };

let box;
let browser;
before(async () => {
  box = await Box.start({ proxySecret: SECRET });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

async function open(url) {
  const context = await browser.newContext({ viewport: DESKTOP, ignoreHTTPSErrors: true, locale: 'en-GB' });
  // As long as what it waits for may take: Claude Code begins behind it.
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

/** Who the box takes a client of a door for. */
async function name(door, headers) {
  const answer = await ask(`${door.url}/api/info`, { headers });
  return answer.status === 200 ? JSON.parse(answer.text).caller.name : answer.status;
}

/** The status of a path that is sent as it is written. */
function raw(url, path, headers) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    request({ hostname, port, path, headers }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
}

/** Everything that has come of a stream so far. */
function heard(answer) {
  const stream = { text: '' };
  // What is asked for in gzip comes so, piece by piece.
  const isPacked = answer.headers['content-encoding'] === 'gzip';
  const plain = isPacked ? answer.pipe(createGunzip({ finishFlush: constants.Z_SYNC_FLUSH })) : answer;
  for (const one of [answer, plain]) one.on('error', () => undefined);
  plain.on('data', (piece) => (stream.text += piece));
  return stream;
}

/** What a door with no login of its own has to do, whichever program it is. */
function plainDoor(start) {
  let door;
  before(async () => {
    door = await start(box);
  });
  after(() => door?.stop());

  test('a page talks to Claude through it', async () => {
    const { id } = await box.create('hello');
    const page = await open(`${door.url}/s/${id}#token=${TOKEN}`);
    const composer = page.getByRole('textbox', { name: 'Message to Claude' });
    await composer.fill('@text an answer that came through the door');
    await composer.press('Enter');
    await page.locator('article.said').getByText('an answer that came through the door').waitFor();
    await page.context().close();
  });

  test('a stream comes frame by frame, and not when a buffer is full', async () => {
    const { id } = await box.create('one');
    await until('the first words', () => box.words(id).length > 0);
    const headers = { ...token, 'accept-encoding': 'gzip, br' };
    const answer = await send(`${door.url}/sse/sessions/${id}?from=0`, { headers });
    assert.equal(answer.statusCode, 200);
    const stream = heard(answer);
    await until('the frames that are there', () => stream.text.includes('event: text.delta'));
    const before = stream.text.length;
    await box.call('POST', `/api/sessions/${id}/input`, { data: 'two' });
    await until('frames of what came later', () => stream.text.length > before);
    answer.destroy();
  });

  test('nobody names a user by a header of their own', async () => {
    const spellings = [
      { 'X-Forwarded-User': 'mallory' },
      { 'X-Forwarded-User': ['mallory', 'alice'] },
      { 'x-forwarded-user': 'mallory', 'X-CIB-Proxy-Secret': 'a guess of sixteen' },
    ];
    for (const headers of spellings) {
      assert.equal(await name(door, headers), 401, JSON.stringify(headers));
      assert.equal(await name(door, { ...headers, ...token }), 'master', JSON.stringify(headers));
    }
    // Who knows another way to the box knows no secret.
    assert.equal(await name({ url: box.url }, { 'X-Forwarded-User': 'mallory' }), 401);
  });

  test('wrong tokens are counted for the client that sends them, and not for the door', async () => {
    const wrong = (from) => ask(`${door.url}/api/info`, { from, headers: { authorization: 'Bearer wrong' } });
    await until('the first client is held off', async () => (await wrong('127.0.7.1')).status === 429);
    assert.equal((await wrong('127.0.7.2')).status, 401);
  });

  test('what is too long is refused by the box, with its reason', async () => {
    const { id } = await box.create('a long one follows');
    const body = JSON.stringify({ data: 'x'.repeat(20 << 20) });
    // Who is refused before all is sent may find the line cut instead.
    const answer = await until('the refusal', () => {
      const how = { method: 'POST', headers: token, body };
      return ask(`${door.url}/api/sessions/${id}/input`, how).catch(() => null);
    });
    assert.equal(answer.status, 413);
    assert.match(answer.headers['content-type'], /json/);
  });

  test('figures are not for everybody', async () => {
    assert.equal((await ask(`${door.url}/metrics`, { headers: token })).status, 404);
  });
}

describe('nginx', () => {
  plainDoor(nginx);
});

describe('Caddy', () => {
  plainDoor(caddy);
});

describe('Apache with an OpenID Connect provider', () => {
  let door;
  let provider;
  before(async () => {
    const [port, at] = [await freePort(), await freePort()];
    const issuer = `http://127.0.0.1:${at}`;
    const client = { client_id: 'box', client_secret: 'of-the-box-at-the-provider' };
    provider = new Provider(issuer, {
      clients: [{ ...client, redirect_uris: [`http://localhost:${port}/.door/oidc`] }],
      claims: { openid: ['sub'], email: ['email'] },
      pkce: { required: () => false },
      cookies: { keys: ['of this test'] },
      findAccount: (_context, id) => ({
        accountId: id,
        claims: () => ({ sub: id, email: `${id}@example.org` }),
      }),
    }).listen(at, '127.0.0.1');
    const metadata = `${issuer}/.well-known/openid-configuration`;
    door = await apache(box, port, {
      metadata,
      client: client.client_id,
      secret: client.client_secret,
      user: 'alice@example.org',
    });
  });
  after(async () => {
    await door?.stop();
    provider?.closeAllConnections();
    provider?.close();
  });

  /** Goes to the box and signs in where the provider asks. */
  async function signIn(login) {
    const page = await open(door.url);
    await page.locator('input[name=login]').fill(login);
    await page.locator('input[name=password]').fill('anything');
    await page.getByRole('button', { name: 'Sign-in' }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL((url) => url.origin === door.url);
    return page;
  }

  test('who signs in at the provider is that user of the box, and asked for nothing else', async () => {
    const page = await signIn('alice');
    await page.getByRole('heading', { name: 'Sessions', exact: true }).waitFor();
    const caller = await page.evaluate(async () => {
      const mine = await fetch('/api/info', { headers: { 'X-Forwarded-User': 'mallory' } });
      return (await mine.json()).caller.name;
    });
    assert.match(caller, /alice@example\.org/);
    await page.context().close();
  });

  test('somebody else of the provider does not get in', async () => {
    const page = await signIn('mallory');
    const answer = await page.reload();
    assert.equal(answer.status(), 401);
    await page.context().close();
  });

  test('a program without a login is refused, whatever it says of itself', async () => {
    for (const headers of [
      {},
      { 'X-Forwarded-User': 'alice@example.org' },
      { 'X-CIB-Proxy-Secret': SECRET },
    ]) {
      assert.equal((await ask(`${door.url}/api/info`, { headers })).status, 401, JSON.stringify(headers));
    }
  });

  test('an opened port is reached by who knows its address, without a login and without a name', async () => {
    const port = await freePort();
    const tells = `require('node:http').createServer((request, answer) => answer.end(JSON.stringify(request.headers)))
      .listen(${port}, '127.0.0.1')`;
    const server = spawn(process.execPath, ['-e', tells], { uid: 1000, gid: 1000, stdio: 'ignore' });
    try {
      await until('the server', async () =>
        (await box.call('GET', '/api/ports')).ports.some((one) => one.port === port),
      );
      const { path } = await box.call('POST', `/api/ports/${port}/open`);
      const headers = {
        'X-Forwarded-User': 'alice@example.org',
        'X-CIB-Proxy-Secret': SECRET,
        cookie: 'a=b',
      };
      const answer = await ask(`${door.url}${path}`, { headers });
      assert.equal(answer.status, 200);
      const heard = JSON.parse(answer.text);
      for (const name of ['x-forwarded-user', 'x-cib-proxy-secret', 'cookie', 'authorization']) {
        assert.ok(!(name in heard), name);
      }
      // Who guesses is nobody, and gets no further than a stranger.
      const guess = await ask(`${door.url}/ports/${port}/${'0'.repeat(32)}/`, { headers });
      assert.equal(guess.status, 404);
      for (const way of ['/ports/../api/info', '/ports/%2e%2e/api/info', '/ports/1/..;/api/info']) {
        const status = await raw(door.url, way, headers);
        assert.ok([400, 401, 403, 404].includes(status), `${way}: ${status}`);
      }
      assert.equal((await ask(`${door.url}/ports`, {})).status, 401);
    } finally {
      server.kill('SIGKILL');
    }
  });
});
