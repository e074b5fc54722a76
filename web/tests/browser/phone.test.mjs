// A phone reaches every page by touch.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, Box, launch, overflow, PHONE, shot, visit } from './kit.mjs';

let box;
let browser;
let id;
before(async () => {
  box = await Box.start();
  browser = await launch();
  id = box.record([{ kind: 'text.delta', data: { text: 'Said before.', message_id: 'a' } }]);
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

const bar = (page) => page.getByRole('navigation', { name: 'Pages, below' });

test('every page is two taps away on a phone, from a session as well', async () => {
  const page = await visit(browser, box, '/', { size: PHONE, phone: true });
  for (const [place, heading, where] of [
    ['Tasks', 'Tasks', '/t'],
    ['Usage', 'Usage', '/usage'],
    ['Ports', 'Ports', '/ports'],
    ['Hooks', 'Hooks', '/hooks'],
    ['Providers', 'Settings', '/settings/providers'],
    ['Settings', 'Settings', '/settings'],
  ]) {
    await bar(page).getByRole('button', { name: 'More' }).tap();
    const sheet = page.getByRole('dialog', { name: 'More' });
    await sheet.getByRole('link', { name: place }).tap();
    await page.waitForURL(`${box.url}${where}`);
    await page.getByRole('heading', { name: heading, exact: true }).first().waitFor();
    await sheet.waitFor({ state: 'detached' });
    // The bar says that one is somewhere behind the button.
    await bar(page).locator('button[aria-current]').waitFor();
  }
  await page.goto(`${box.url}/s/${id}`);
  await page.getByText('Said before.').waitFor();
  await bar(page).getByRole('button', { name: 'More' }).tap();
  await page.getByRole('dialog', { name: 'More' }).waitFor();
  await shot(page, 'more-phone');
  assert.deepEqual(await axeFinds(page), []);
  assert.equal(await overflow(page, PHONE.width), 0);
  await page.setViewportSize({ width: 320, height: 568 });
  assert.equal(await overflow(page, 320), 0);
  await page.getByRole('button', { name: 'Search and commands' }).tap();
  await page.getByRole('combobox').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});
