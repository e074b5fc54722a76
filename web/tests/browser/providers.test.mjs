// Providers on the pages, and the real Claude Code working at one.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, shot, until, visit } from './kit.mjs';

const KEY = 'sk-of-the-provider-that-nobody-sees-again';

let box;
let browser;
let other;
before(async () => {
  box = await Box.start();
  // Another stand-in is the provider; the first is what the box has itself.
  const own = [box.api, box.model];
  await box.standIn();
  other = { url: box.api, model: box.model };
  [box.api, box.model] = own;
  browser = await launch();
});
after(async () => {
  await browser?.close();
  other?.model.kill('SIGKILL');
  await box?.stop();
});

test('a provider is added, tried, chosen for a session, and its key is nowhere afterwards', async () => {
  const page = await visit(browser, box, '/settings/providers');
  const bodies = [];
  page.on('response', async (answer) => bodies.push(await answer.text().catch(() => '')));
  await page.getByText('There is no provider yet').waitFor();
  await page.getByRole('button', { name: 'Add a provider' }).click();
  const form = page.getByRole('dialog');
  await form.getByLabel('Name').fill('The other one');
  await form.getByLabel('Address').fill(`${other.url}/v1`);
  await form.getByLabel('Key', { exact: true }).fill(KEY);
  await shot(page, 'provider-form');
  assert.deepEqual(await axeFinds(page), []);
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByRole('alert').getByText('/v1').waitFor();
  await form.getByLabel('Address').fill(other.url);
  await form.getByLabel('Key', { exact: true }).fill(KEY);
  await form.getByRole('button', { name: 'Save' }).click();
  await page.getByText(/It answers, and takes the key/).waitFor();
  await page.getByText(/claude-opus-4-1/).waitFor();
  await shot(page, 'providers');

  await page.goto(`${box.url}/new`);
  await page.getByLabel('Directory').fill(box.workdir().workdir);
  await page.getByLabel('What is to be done?').fill('@text paid by somebody else');
  await page.getByLabel('Account').selectOption({ label: 'Provider: The other one' });
  // What pays otherwise cannot: whoever is asked is the provider alone.
  box.model.kill('SIGSTOP');
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.waitForURL(/\/s\//);
  await page.locator('article.said').getByText('paid by somebody else').waitFor();
  box.model.kill('SIGCONT');
  const id = page.url().split('/').at(-1);
  assert.equal((await box.call('GET', `/api/sessions/${id}`)).auth_mode, 'provider');

  // The key is in control's file alone.
  const kept = path.join(box.root, 'data/control/providers.json');
  assert.ok(readFileSync(kept, 'utf8').includes(KEY));
  assert.equal(statSync(kept).mode & 0o777, 0o600);
  const journal = path.join(box.root, 'data/sessions', id, 'transcript.jsonl');
  assert.ok(!readFileSync(journal, 'utf8').includes(KEY));
  const stored = await page.evaluate(() =>
    JSON.stringify([{ ...globalThis.localStorage }, { ...globalThis.sessionStorage }]),
  );
  assert.ok(![stored, await page.content(), ...bodies].some((text) => text.includes(KEY)));

  await page.goto(`${box.url}/settings/providers`);
  await page.getByRole('button', { name: 'Remove The other one' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByText('There is no provider yet').waitFor();
  // What was chosen the last time is gone, and not chosen again.
  await page.goto(`${box.url}/new`);
  await until('another choice', async () => (await page.getByLabel('Account').inputValue()) === 'auto');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('what is wrong with a provider is said in words', async () => {
  const made = await box.call('POST', '/api/providers', {
    label: 'Nobody',
    base_url: 'http://127.0.0.1:1',
    api_key: KEY,
  });
  for (const [size, phone, locale, button, words] of [
    [DESKTOP, false, 'en-GB', 'Try it', 'It cannot be reached'],
    [PHONE, true, 'zh-CN', '试一试', '无法到达'],
  ]) {
    const page = await visit(browser, box, '/settings/providers', { size, phone, locale });
    await page.getByRole('button', { name: button }).click();
    await page.getByText(words).waitFor();
    await shot(page, `providers-${phone ? 'phone' : 'desktop'}`);
    assert.deepEqual(await axeFinds(page), []);
    assert.equal(await overflow(page, size.width), 0);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
  await box.call('DELETE', `/api/providers/${made.id}`);
});
