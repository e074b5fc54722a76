// What a person loses while the page is open: the line, the sign-in, the token.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Box, launch, TOKEN, TOLD, until, visit } from './kit.mjs';

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

const composer = (page) => page.getByRole('textbox', { name: 'Message to Claude' });

test('offline is said, keeps what was typed, and ends by itself', async () => {
  const { id } = await box.create('@text before the line broke');
  const page = await visit(browser, box, `/s/${id}`);
  await page.locator('article.said').getByText('before the line broke').waitFor();
  // Playwright leaves open sockets alone; a network that is gone does not.
  await page.context().setOffline(true);
  await box.kill();
  await page
    .getByText(/Reconnecting|does not answer/)
    .first()
    .waitFor({ timeout: TOLD });
  await composer(page).fill('@text written without a line');
  await composer(page).press('Enter');
  await page.locator('.queued.failed').getByText('written without a line').waitFor();
  await box.control();
  await page.context().setOffline(false);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await page.locator('.queued.failed').getByRole('button', { name: /again/i }).click();
  await page.locator('article.said').getByText('written without a line').waitFor();
  await until('the banner is gone', async () => !(await page.getByText(/Reconnecting/).count()));
  const said = box.words(id, 'user').split('written without a line').length - 1;
  assert.equal(said, 1);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a cookie that has expired leads to the sign-in, and back to where one was', async () => {
  const { id } = await box.create('@text still here');
  const page = await visit(browser, box, `/s/${id}`);
  await page.locator('article.said').getByText('still here').waitFor();
  await composer(page).fill('half a thought');
  await page.context().clearCookies();
  await box.kill();
  await box.control();
  await page.getByLabel('Token').waitFor();
  assert.ok(!(await page.content()).includes('still here'));
  await page.getByLabel('Token').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('article.said').getByText('still here').waitFor();
  assert.equal(await composer(page).inputValue(), 'half a thought');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a token that is revoked ends the page that was signed in with it, at once', async () => {
  const { id } = await box.create('@text for the device');
  const scopes = ['sessions:read', 'sessions:input'];
  const made = await box.call('POST', '/api/tokens', { label: 'lent', scopes });
  const page = await visit(browser, box, `/s/${id}`, { signedIn: false });
  await page.goto(`${box.url}/s/${id}#token=${made.plaintext}`);
  await page.reload();
  await page.locator('article.said').getByText('for the device').waitFor();
  await box.call('DELETE', `/api/tokens/${made.token.id}`);
  await page.getByLabel('Token').waitFor({ timeout: TOLD });
  assert.ok(!(await page.content()).includes('for the device'));
  await page.getByLabel('Token').fill(made.plaintext);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});
