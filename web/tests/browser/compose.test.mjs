// What is sent besides words, what Claude has to choose from, what was used, and what was said before.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, shot, until, visit } from './kit.mjs';

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
const log = (page) => page.getByRole('log');

/** Gives the composer a picture, as a paste does. It is larger than Claude takes. */
const paste = (page) =>
  composer(page).evaluate(async (field) => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [3000, 60];
    const pen = canvas.getContext('2d');
    pen.fillStyle = '#a4441c';
    pen.fillRect(0, 0, 3000, 60);
    const blob = await new Promise((done) => canvas.toBlob(done, 'image/png'));
    const data = new DataTransfer();
    data.items.add(new File([blob], 'picture.png', { type: 'image/png' }));
    field.dispatchEvent(
      new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }),
    );
  });

test('a slash lists what Claude has, and the model is chosen from a list', async () => {
  const { id } = await box.create('@text ready');
  const page = await visit(browser, box, `/s/${id}`);
  await log(page).getByText('ready', { exact: true }).waitFor();
  await composer(page).fill('/com');
  const list = page.getByRole('listbox', { name: 'Commands of Claude' });
  await list.getByRole('option', { name: /^\/compact/ }).waitFor();
  assert.deepEqual(await axeFinds(page), []);
  await shot(page, 'commands');
  // A key goes into the list, and the field has it afterwards.
  await composer(page).press('Escape');
  await list.waitFor({ state: 'detached' });
  await composer(page).fill('/compac');
  await list.waitFor();
  await composer(page).press('Tab');
  assert.equal(await composer(page).inputValue(), '/compact ');
  await composer(page).fill('');

  await page.getByRole('button', { name: /^Model .*, change$/ }).click();
  const dialog = page.getByRole('dialog');
  const { models } = await box.call('GET', '/api/models');
  assert.ok(models.length > 2);
  await dialog.getByText(models[1].name, { exact: true }).waitFor();
  assert.deepEqual(await axeFinds(page), []);
  await dialog.getByText(models[1].name, { exact: true }).click();
  await dialog.waitFor({ state: 'detached' });

  // So is its effort, while it runs, and every page is told of it.
  await page.getByRole('button', { name: /^Model .*, change$/ }).click();
  const efforts = dialog.getByRole('group', { name: 'Effort' });
  await shot(page, 'model');
  await efforts.getByRole('button', { name: 'low' }).click();
  await log(page).getByText('The effort is low now').waitFor();
  await until('its effort', async () => (await box.call('GET', `/api/sessions/${id}`)).effort === 'low');
  await dialog.waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: /^Model .*, change$/ }).click();
  await efforts.getByRole('button', { name: 'low', pressed: true }).waitFor();
  assert.equal(await efforts.getByRole('button', { pressed: true }).count(), 1);
  assert.deepEqual(await axeFinds(page), []);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('without TLS the pages of a box on a network are whole, and say what that means', async () => {
  const there = { url: box.url.replace('127.0.0.1', 'box.lan') };
  const out = await visit(browser, there, '/', { signedIn: false });
  await out.getByText('This connection is not encrypted').waitFor();
  const { id } = await box.create('@text ready');
  const page = await visit(browser, there, `/s/${id}`);
  const missing = () => !isSecureContext && !navigator.clipboard && !crypto.randomUUID && !crypto.subtle;
  assert.ok(await page.evaluate(missing));
  await composer(page).fill('@text heard there');
  await composer(page).press('Enter');
  await log(page).getByText('heard there', { exact: true }).waitFor();
  await page.goto(`${there.url}/settings/tokens`);
  await page.getByLabel('Name').fill('phone');
  await page.getByRole('button', { name: 'Make a token' }).click();
  await page.getByRole('button', { name: 'Copy', exact: true }).click();
  await page.getByText('Copied').waitFor();
  await page.getByRole('button', { name: 'I have it' }).click();
  await page.goto(`${there.url}/settings/notifications`);
  await page.getByText('only over HTTPS').first().waitFor();
  assert.deepEqual([...page.wrongs, ...out.wrongs], []);
  await out.context().close();
  await page.context().close();
});

test('a picture that is pasted reaches Claude, and a file goes into the working directory', async () => {
  const { id } = await box.create('@text ready');
  const page = await visit(browser, box, `/s/${id}`);
  await log(page).getByText('ready', { exact: true }).waitFor();
  await paste(page);
  const attached = page.getByRole('list', { name: 'Sent with the message' });
  await attached.getByText('picture.png').waitFor();
  const file = { name: 'a note.txt', mimeType: 'text/plain', buffer: Buffer.from('words') };
  await page.locator('form.composer input[type=file]').setInputFiles([file]);
  await attached.getByText('a note.txt').waitFor();
  assert.equal(readFileSync(path.join(box.root, 'work', 'a note.txt'), 'utf8'), 'words');
  assert.deepEqual(await axeFinds(page), []);
  await shot(page, 'attached');
  await composer(page).fill('@text I see it');
  await composer(page).press('Enter');
  await log(page).getByText('I see it', { exact: true }).waitFor();
  const said = box.frames(id).find((one) => one.data.images);
  assert.match(said.data.text, /@text I see it\n\n- @"a note\.txt"/);
  assert.equal(said.data.images[0].media_type, 'image/png');
  const image = log(page).getByRole('img', { name: 'Image 1' });
  await image.waitFor();
  const wide = await image.evaluate(async (element) => (await element.decode(), element.naturalWidth));
  assert.equal(wide, 1568);
  assert.equal(await attached.count(), 0);

  // The same name once more is another file, and what was not meant is not sent.
  await page.locator('form.composer input[type=file]').setInputFiles([file]);
  await attached.getByText('a note-2.txt').waitFor();
  await page.getByRole('button', { name: 'Do not send a note.txt' }).click();
  await attached.waitFor({ state: 'detached' });
  assert.ok(existsSync(path.join(box.root, 'work', 'a note-2.txt')));
  assert.equal(await page.getByRole('button', { name: 'Send', exact: true }).isDisabled(), true);
  // A picture alone is a message.
  await paste(page);
  await attached.getByText('picture.png').waitFor();
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await until('the second', () => box.frames(id).filter((one) => one.data.images).length === 2);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a picture for a terminal is a file, and on a phone a button picks it', async () => {
  const { id } = await box.create(undefined, { driver: 'tty' });
  const page = await visit(browser, box, `/s/${id}`, { size: PHONE, phone: true });
  await page.getByRole('button', { name: 'Attach images and files' }).waitFor();
  const picked = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Attach images and files' }).tap();
  const buffer = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
    'base64',
  );
  await (await picked).setFiles([{ name: 'shot.png', mimeType: 'image/png', buffer }]);
  await page.getByRole('list', { name: 'Sent with the message' }).getByText('shot.png').waitFor();
  assert.deepEqual(readFileSync(path.join(box.root, 'work', 'shot.png')), buffer);
  assert.equal(await overflow(page, PHONE.width), 0);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('what was used is shown by day, session and model', async () => {
  const { id } = await box.create('@text cheap');
  await until('the end of the turn', () => box.frames(id).some((one) => one.kind === 'stop'));
  for (const [name, size] of [
    ['desk', DESKTOP],
    ['phone', PHONE],
  ]) {
    const page = await visit(browser, box, '/', { size, phone: size === PHONE });
    await page.getByRole('link', { name: /^Today/ }).click();
    await page.getByRole('heading', { level: 1, name: 'Usage' }).waitFor();
    await page.getByRole('img', { name: /^What each day cost/ }).waitFor();
    const today = new Date().toISOString().slice(0, 10);
    await page.getByRole('rowheader', { name: today }).waitFor();
    await page.getByLabel('Grouped by').selectOption('model');
    await page
      .getByRole('rowheader', { name: /claude/ })
      .first()
      .waitFor();
    await page.getByLabel('Grouped by').selectOption('session');
    await page.getByRole('rowheader').getByRole('link').first().waitFor();
    assert.deepEqual(await axeFinds(page), [], name);
    assert.equal(await overflow(page, size.width), 0, name);
    await shot(page, `usage-${name}`);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
});

test('what was said is found from the list and from the palette, and opened at its place', async () => {
  const data = [];
  for (let n = 0; n < 3000; n += 1) {
    const text = n === 40 ? 'the <b>needle</b> in it' : `word ${n}`;
    data.push({
      kind: 'text.delta',
      data: { text, role: n % 2 ? 'assistant' : 'user', message_id: `m${n}` },
    });
  }
  const id = box.record(data, { title: 'A long record' });
  for (let n = 0; n < 6; n += 1) box.record([], { title: `Other ${n}` });
  const page = await visit(browser, box, '/');
  await page.getByRole('searchbox').fill('NEEDLE');
  const found = page.getByRole('region', { name: 'Found in what was said' });
  const hit = found.getByRole('link', { name: /the <b>needle<\/b> in it/ });
  await hit.waitFor();
  assert.deepEqual(await axeFinds(page), []);
  await shot(page, 'found');
  await hit.click();
  await page.waitForURL(`${box.url}/s/${id}/at/44`);
  const row = log(page).getByText('the <b>needle</b> in it', { exact: true });
  await row.waitFor();
  await until('that it is seen', () =>
    row.evaluate((element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    }),
  );
  await page.goto(`${box.url}/`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('needle');
  await page.getByRole('option', { name: /needle.*A long record/ }).click();
  await page.waitForURL(`${box.url}/s/${id}/at/44`);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});
