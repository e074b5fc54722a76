// Who is let in: the first account, passwords, sign-ins, and what another port of the host gets.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, shot, TOKEN, until, visit } from './kit.mjs';

const PASSWORD = 'correct horse battery';
let box;
let browser;
before(async () => {
  box = await Box.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

const sessions = (page) => page.getByRole('heading', { name: 'Sessions', exact: true });
const stranger = (where, headers = {}, init = {}) => fetch(`${box.url}${where}`, { ...init, headers });
const post = (where, body, headers) =>
  stranger(where, headers, { method: 'POST', body: JSON.stringify(body) });

async function signIn(page, name = 'ann', password = PASSWORD) {
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function fine(page, what, size = DESKTOP) {
  await shot(page, what);
  assert.deepEqual(await axeFinds(page), [], what);
  assert.equal(await overflow(page, size.width), 0, what);
}

test('the first visit makes an administrator, and nobody else can', async () => {
  const first = { username: 'eve', password: PASSWORD };
  assert.equal((await post('/api/auth/setup', first)).status, 401);
  const lost = await visit(browser, box, '/setup', { signedIn: false });
  await lost.getByLabel('Token').waitFor();
  assert.equal(await lost.getByRole('heading', { name: 'Set this box up' }).count(), 0);
  await lost.context().close();

  const page = await visit(browser, box, '/setup');
  await page.getByRole('heading', { name: 'Set this box up' }).waitFor();
  assert.equal(page.url(), `${box.url}/setup`);
  await fine(page, 'setup');
  const make = page.getByRole('button', { name: 'Make the account' });
  await page.getByLabel('Name').fill('ann');
  await page.getByLabel('New password').fill('short');
  await page.getByText('At least 8 characters').waitFor();
  await page.getByLabel('New password').fill(PASSWORD);
  await page.getByLabel('The same again').fill(`${PASSWORD}!`);
  await page.getByText('The two are not the same').waitFor();
  assert.ok(await make.isDisabled());
  await page.getByLabel('The same again').fill(PASSWORD);
  await make.click();
  await sessions(page).waitFor();
  assert.equal(page.url(), `${box.url}/`);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();

  const again = await visit(browser, box, '/setup');
  await sessions(again).waitFor();
  assert.equal(again.url(), `${box.url}/`);
  await again.context().close();
  const bearer = { authorization: `Bearer ${TOKEN}` };
  assert.equal((await post('/api/auth/setup', first, bearer)).status, 409);
});

test("a password's sign-in outlives a reload, and signing out ends its streams", async () => {
  const shell = await box.call('POST', '/api/shells', box.workdir());
  const page = await visit(browser, box, '/', { signedIn: false });
  await signIn(page);
  await sessions(page).waitFor();
  await page.reload();
  await sessions(page).waitFor();
  await box.kill();
  await box.control();
  await page.reload();
  await sessions(page).waitFor();

  // All that a script of the page could take with it.
  const found = await page.evaluate(() => ({
    cookie: document.cookie,
    values: [globalThis.localStorage, globalThis.sessionStorage].flatMap((area) =>
      Object.values(area).map((text) => JSON.parse(text)),
    ),
  }));
  assert.equal(found.cookie, '');
  const texts = found.values.filter((value) => typeof value === 'string');
  assert.ok(texts.length > 0);
  for (const text of texts) {
    assert.ok(!text.includes(PASSWORD) && !text.includes(TOKEN));
    for (const headers of [
      { authorization: `Bearer ${text}` },
      { 'x-cib-proof': text },
      { cookie: `cib=${text}` },
    ]) {
      assert.equal((await stranger('/api/info', headers)).status, 401);
    }
  }
  // And the other half, which only the browser has.
  const cookies = await page.context().cookies();
  const cookie = cookies.find((one) => one.name.startsWith('cib-'));
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict');
  assert.equal((await stranger('/api/info', { cookie: `${cookie.name}=${cookie.value}` })).status, 401);

  await page.evaluate((path) => {
    const proof = JSON.parse(globalThis.localStorage.getItem('cib.proof'));
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}${path}/stream`, [
      'json',
      `proof.${proof}`,
    ]);
    globalThis.lineClosed = new Promise((resolve) => (socket.onclose = ({ code }) => resolve(code)));
    return new Promise((resolve) => (socket.onopen = () => resolve()));
  }, `/api/shells/${shell.id}`);
  const other = await page.context().newPage();
  await other.goto(`${box.url}/`);
  await sessions(other).waitFor();
  await page.getByRole('link', { name: 'Settings' }).first().click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Password').waitFor();
  assert.equal(await page.evaluate(() => globalThis.lineClosed), 4401);
  await other.getByLabel('Password').waitFor();
  const both = { cookie: `${cookie.name}=${cookie.value}`, 'x-cib-proof': texts[0] };
  await until('the end of the sign-in', async () => (await stranger('/api/info', both)).status === 401);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a page on another port of the host cannot use the cookie', async () => {
  const page = await visit(browser, box);
  await sessions(page).waitFor();
  let seen = '';
  const server = createServer((request, answer) => {
    seen = request.headers.cookie ?? seen;
    answer.setHeader('content-type', 'text/html').end('<!doctype html><title>elsewhere</title>');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    const elsewhere = await page.context().newPage();
    await elsewhere.goto(`http://127.0.0.1:${server.address().port}/`);
    // Cookies know no ports: it was sent there, HttpOnly or not.
    assert.match(seen, /^cib-[0-9a-f]{8}=/);
    assert.equal((await stranger('/api/info', { cookie: seen })).status, 401);
    const got = await elsewhere.evaluate(async (url) => {
      const asked = await fetch(`${url}/api/info`, { credentials: 'include' }).then(
        (answer) => answer.status,
        () => 'refused',
      );
      const socket = new WebSocket(`${url.replace('http', 'ws')}/api/sessions/x/stream`, ['json', 'proof.x']);
      const opened = await new Promise((resolve) => {
        socket.onopen = () => resolve(true);
        socket.onclose = () => resolve(false);
      });
      const proof = Object.keys(globalThis.localStorage).length;
      return { asked, opened, proof };
    }, box.url);
    assert.deepEqual(got, { asked: 'refused', opened: false, proof: 0 });
  } finally {
    server.close();
    server.closeAllConnections();
  }
  await page.context().close();
});

test('accounts and sign-ins are looked after in the settings', async () => {
  const page = await visit(browser, box, '/settings/account', { signedIn: false });
  await signIn(page);
  await page.getByRole('heading', { name: 'Change the password' }).waitFor();
  await page.getByText('this browser').waitFor();
  await fine(page, 'account');

  const make = page.locator('form').filter({ has: page.getByRole('heading', { name: 'Make an account' }) });
  await make.getByLabel('Name').fill('bob');
  await make.getByLabel('New password').fill(PASSWORD);
  await make.getByLabel('The same again').fill(PASSWORD);
  await make.getByLabel('May').selectOption({ label: 'Only watch' });
  await make.getByRole('button', { name: 'Make an account' }).click();
  await page.getByRole('button', { name: 'Remove bob' }).waitFor();

  const bob = await visit(browser, box, '/settings/account', { signedIn: false, size: PHONE, phone: true });
  await signIn(bob, 'bob');
  await bob.getByText('this browser').waitFor();
  assert.equal(await bob.getByRole('heading', { name: 'Accounts' }).count(), 0);
  await fine(bob, 'account-phone', PHONE);
  const own = bob.locator('form').filter({ has: bob.getByRole('heading', { name: 'Change the password' }) });
  const change = async (current, next) => {
    await own.getByLabel('Current password').fill(current);
    await own.getByLabel('New password').fill(next);
    await own.getByLabel('The same again').fill(next);
    await own.getByRole('button', { name: 'Change the password' }).tap();
  };
  await change('not it at all', 'another horse');
  await own.getByText('The current password is wrong').waitFor();
  await change(PASSWORD, 'another horse');
  await own.getByText('Every other sign-in').waitFor();

  await page.reload();
  await page.getByRole('button', { name: 'What bob may do' }).click();
  const may = page.getByRole('dialog');
  assert.deepEqual(await axeFinds(page), []);
  await may.getByLabel('sessions:write').check();
  await may.getByRole('button', { name: 'Save' }).click();
  // The dialog has the same words, and is there before the box has answered.
  await may.waitFor({ state: 'hidden' });
  await page.getByText('sessions:write').waitFor();
  const { accounts } = await box.call('GET', '/api/auth/accounts');
  const scopes = accounts.find((one) => one.name === 'bob').scopes;
  assert.deepEqual([...scopes].sort(), ['sessions:read', 'sessions:write', 'shells:read', 'usage:read']);

  await page.getByRole('button', { name: 'Remove bob' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('button', { name: 'Remove bob' }).waitFor({ state: 'detached' });
  await bob.reload();
  await bob.getByLabel('Password').waitFor();
  assert.equal((await post('/api/auth/login', { username: 'bob', password: 'another horse' })).status, 401);
  await page.getByRole('button', { name: 'Sign out everywhere', exact: true }).click();
  await page.getByLabel('Password').waitFor();
  assert.deepEqual([...page.wrongs, ...bob.wrongs], []);
  await bob.context().close();
  await page.context().close();
});

test('the sign-in page passes axe and fits, with a name or with a token, in both languages', async () => {
  for (const [locale, swap] of [
    ['en-GB', 'Paste a token instead'],
    ['zh-CN', '改为粘贴令牌'],
  ]) {
    for (const [size, phone] of [
      [DESKTOP, false],
      [PHONE, true],
    ]) {
      const page = await visit(browser, box, '/', { signedIn: false, size, phone, locale });
      const turn = page.getByRole('button', { name: swap });
      await turn.waitFor();
      await fine(page, `sign-in-${locale}-${size.width}`, size);
      await turn.click();
      await page.locator('#token').waitFor();
      await fine(page, `sign-in-token-${locale}-${size.width}`, size);
      assert.deepEqual(page.wrongs, []);
      await page.context().close();
    }
  }
});

// The last: it uses up what may be guessed.
test('a wrong password is said to be wrong, and then to wait', async () => {
  const page = await visit(browser, box, '/', { signedIn: false });
  await signIn(page, 'ann', 'wrong horse');
  await page.getByRole('alert').getByText('The name or the password is wrong').waitFor();
  assert.equal(await page.getByLabel('Password').inputValue(), '');
  await until('it has to wait', async () => {
    const answer = await post('/api/auth/login', { username: 'ann', password: 'wrong horse' });
    return answer.status === 429;
  });
  await until('the page says so', async () => {
    await signIn(page, 'ann', 'wrong horse');
    await page.getByRole('alert').waitFor();
    return page
      .getByText('too many wrong')
      .isVisible()
      .catch(() => false);
  });
  // A token is not held up by that.
  await page.getByRole('button', { name: 'Paste a token instead' }).click();
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await sessions(page).waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('whom a reverse proxy signed in is led to where that ends, by the button and the palette', async () => {
  const secret = 'of-the-proxy-in-front-of-it';
  const door = await Box.start({ proxySecret: secret, logoutUrl: '/.door/logout' });
  try {
    const extraHTTPHeaders = { 'X-Forwarded-User': 'alice', 'X-CIB-Proxy-Secret': secret };
    const page = await visit(browser, door, '/', { signedIn: false, extraHTTPHeaders });
    await sessions(page).waitFor();
    await page.goto(`${door.url}/settings`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(`${door.url}/.door/logout`);
    await page.goto(`${door.url}/`);
    await sessions(page).waitFor();
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox').fill('sign out');
    await page.keyboard.press('Enter');
    await page.waitForURL(`${door.url}/.door/logout`);
    await page.context().close();
    // Who has a token has a sign-in of the box's own, which ends there.
    const own = await visit(browser, door, '/settings');
    await own.getByRole('button', { name: 'Sign out' }).click();
    await own.getByLabel('Token').waitFor();
    assert.equal(own.url(), `${door.url}/settings`);
    await own.context().close();
  } finally {
    await door.stop();
  }
});
