// What comes by itself: the lists from one stream, and a session's history from its end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Box, launch, until, visit } from './kit.mjs';

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

const row = (page, id) => page.locator(`[data-row="${id}"]`);

test('the dashboard asks for nothing while it is looked at, and shows what changes', async () => {
  const page = await visit(browser, box);
  await page.getByRole('heading', { level: 1 }).waitFor();
  // The last that it asks for by itself; a busy browser may ask for it later than any time says.
  await page.getByRole('link', { name: /^Today/ }).waitFor();
  await page.waitForLoadState('networkidle');
  const asked = [];
  page.on('request', (request) => asked.push(request.url()));
  const made = await box.create('@ask Which colour?|Red|Blue\n@text thanks');
  await row(page, made.id).waitFor();
  await until('what it waits for', async () =>
    (await row(page, made.id).textContent()).includes('Which colour?'),
  );
  const frame = box.frames(made.id).find((one) => one.kind === 'ask.question');
  const answers = { 'Which colour?': 'Blue' };
  await box.call('POST', `/api/sessions/${made.id}/answer`, { id: frame.data.id, answers });
  await until(
    'that nobody is waited for',
    async () => !(await row(page, made.id).textContent()).includes('Which colour?'),
  );
  assert.deepEqual(asked, []);
  // A new control knows no cursor of the old one, and tells everything anew.
  await box.kill();
  await box.control();
  const other = await box.create('@text hello');
  await row(page, other.id).waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('who somebody is is asked once, before the page itself is here', async () => {
  const page = await visit(browser, box);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.waitForLoadState('networkidle');
  const asked = [];
  // What the page before has asked for last is none of the next one's.
  const hear = (request) => {
    if (request.isNavigationRequest()) asked.length = 0;
    asked.push(new URL(request.url()).pathname);
  };
  page.on('request', hear);
  for (const where of ['/', '/settings']) {
    await page.goto(`${box.url}${where}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle');
    assert.equal(asked.filter((path) => path === '/api/info').length, 1, String(asked));
    assert.equal(
      asked.find((path) => path.startsWith('/api/')),
      '/api/info',
    );
  }
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  // Without a sign-in as well, and the answer is no.
  const stranger = await visit(browser, box, '/', { signedIn: false });
  stranger.on('request', hear);
  await stranger.goto(`${box.url}/`);
  await stranger.getByRole('button', { name: 'Sign in' }).waitFor();
  assert.equal(asked.filter((path) => path === '/api/info').length, 1, String(asked));
  assert.deepEqual(stranger.wrongs, []);
  await stranger.context().close();
});

test('a session opens at its end, and with Home it is whole from its beginning', async () => {
  const data = [];
  for (let n = 0; n < 9000; n += 1) {
    const role = n % 3 ? 'assistant' : 'user';
    data.push({
      kind: 'text.delta',
      data: { text: `word ${n} `, role, message_id: `${role}${Math.floor(n / 3)}` },
    });
  }
  const id = box.record(data);
  const asked = [];
  const page = await visit(browser, box);
  // Who goes on before the token is exchanged arrives signed out.
  await page.getByRole('heading', { level: 1 }).waitFor();
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.pathname.endsWith('/transcript')) asked.push(url.searchParams);
  });
  await page.goto(`${box.url}/s/${id}`);
  const log = page.getByRole('log');
  await until('its end', async () => (await log.textContent()).includes('word 8999'));
  assert.equal(asked[0].get('limit'), '500');
  assert.ok(Number(asked[0].get('before')) > 9000);
  await log.focus();
  await page.keyboard.press('Home');
  await until('its beginning', async () => (await log.textContent()).includes('word 0 '));
  assert.ok(!(await log.textContent()).includes('… '), 'nothing is cut any more');
  assert.ok(asked.every((query) => query.get('from') === null || Number(query.get('from')) > 9000));
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('the memory and the CPU of what works are on the dashboard, and who looks at it', async () => {
  const busy = await box.create('@bash i=0; while [ $i -lt 40000000 ]; do i=$((i+1)); done; sleep 60');
  const page = await visit(browser, box);
  await row(page, busy.id).waitFor();
  await until('what it uses', async () => /MB · [1-9]\d* %/.test(await row(page, busy.id).innerText()));
  const sum = page.getByText('Memory, CPU', { exact: true }).locator('xpath=following-sibling::dd');
  await until('what all use', async () => /MB · [1-9]\d* %/.test(await sum.innerText()));
  await page
    .getByText(/of .* free/)
    .first()
    .waitFor();
  const other = await visit(browser, box, `/s/${busy.id}`);
  await other.getByRole('log').waitFor();
  await until('who looks at it', async () => /master/.test(await row(page, busy.id).innerText()));
  await other.context().close();
  await until('that nobody does', async () => !/master/.test(await row(page, busy.id).innerText()));
  await box.call('DELETE', `/api/sessions/${busy.id}?signal=kill`);
  assert.deepEqual([...page.wrongs, ...other.wrongs], []);
  await page.context().close();
});
