// Talking to Claude, with the real Claude Code: what is said, asked, stopped and lost.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { axeFinds, Box, launch, overflow, PHONE, shot, TOLD, until, visit } from './kit.mjs';

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

test('a token out of the address signs in, and is in the address no more', async () => {
  const page = await visit(browser, box);
  await page.getByRole('heading', { name: 'Sessions', exact: true }).waitFor();
  assert.equal(page.url(), `${box.url}/`);
  assert.doesNotMatch(await page.evaluate(() => JSON.stringify({ ...globalThis.localStorage })), /horse/);
  await page.reload();
  await page.getByRole('heading', { name: 'Sessions', exact: true }).waitFor();
  await page.getByRole('link', { name: 'Settings' }).first().click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Token').fill('a-wrong-token-of-16');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Token').fill('correct-horse-battery-staple');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a session is made, streams, asks, is answered and goes on', async () => {
  const page = await visit(browser, box);
  await page.getByRole('heading', { name: 'Sessions', exact: true }).waitFor();
  await page.keyboard.press('n');
  const words = 'first second third fourth fifth sixth seventh eighth ninth tenth '.repeat(4).trim();
  await page
    .getByLabel('What is to be done?')
    .fill(`@slow 40\n@text ${words}\n@ask Which colour?|Red|Blue\n@text thanks for that`);
  await page.getByLabel('Directory').fill(box.workdir().workdir);
  await page.keyboard.press('Control+Enter');
  await page.waitForURL(/\/s\//);
  // Words come before the turn is over.
  await page.locator('article.said').getByText('first second').waitFor();
  assert.equal(await log(page).getByText('thanks for that', { exact: true }).count(), 0);
  const card = page.getByRole('region', { name: 'Claude asks' }).last();
  await card.getByRole('button', { name: /Blue/ }).waitFor();
  assert.match(await page.title(), /claude-in-box/);
  await shot(page, 'question');
  await page.keyboard.press('Escape');
  await log(page).focus();
  await page.keyboard.press('2');
  await log(page).getByText('thanks for that', { exact: true }).waitFor();
  await log(page).getByText('Done').first().waitFor();
  assert.equal(await page.getByRole('region', { name: 'Claude asks' }).count(), 0);
  const id = page.url().split('/').at(-1);
  assert.match(JSON.stringify(box.frames(id)), /Blue/);

  await composer(page).fill('@text and this is another turn');
  await composer(page).press('Enter');
  await log(page).getByText('and this is another turn', { exact: true }).waitFor();
  assert.equal(await composer(page).inputValue(), '');
  await composer(page).press('ArrowUp');
  assert.equal(await composer(page).inputValue(), '@text and this is another turn');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a turn is stopped from the composer', async () => {
  const { id } = await box.create(`@slow 200\n@text ${'on and on and '.repeat(200)}`);
  const page = await visit(browser, box, `/s/${id}`);
  await page.locator('article.said').getByText('on and on').waitFor();
  await page.getByRole('button', { name: 'Stop' }).waitFor();
  await composer(page).focus();
  await composer(page).press('Escape');
  await until('the end of the turn', () => box.frames(id).some((one) => one.kind === 'stop'));
  assert.equal(box.frames(id).find((one) => one.kind === 'stop').data.reason, 'interrupted');
  await log(page).getByText('Stopped').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('Enter of an input method sends nothing', async () => {
  const { id } = await box.create('@text ready');
  const page = await visit(browser, box, `/s/${id}`);
  await log(page).getByText('ready', { exact: true }).waitFor();
  await composer(page).focus();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Input.imeSetComposition', { text: 'にほん', selectionStart: 3, selectionEnd: 3 });
  const enter = { key: 'Process', code: 'Enter', windowsVirtualKeyCode: 229 };
  await cdp.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', ...enter });
  await cdp.send('Input.dispatchKeyEvent', { type: 'keyUp', ...enter });
  // And as other browsers say it: Enter itself, while the composition is on.
  await composer(page).dispatchEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true });
  await composer(page).dispatchEvent('keydown', { key: 'Enter', keyCode: 229, bubbles: true });
  await cdp.send('Input.insertText', { text: '日本' });
  assert.match(await composer(page).inputValue(), /日本/);
  assert.doesNotMatch(box.words(id, 'user'), /日本|にほん/);
  await composer(page).press('Enter');
  await until('the message', () => /日本/.test(box.words(id, 'user')));
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('killing control loses no word and shows none twice', async () => {
  const words = Array.from({ length: 260 }, (_, n) => `w${n}`);
  const { id } = await box.create(`@slow 25\n@text ${words.join(' ')}`);
  const page = await visit(browser, box, `/s/${id}`);
  await page.locator('article.said').getByText('w10 ').waitFor();
  for (let round = 0; round < 3; round += 1) {
    await box.kill();
    if (round === 0) {
      await page.getByText('You have everything up to').waitFor({ timeout: TOLD });
      await shot(page, 'reconnecting');
    }
    await box.control();
    await page
      .getByRole('button', { name: 'Try now' })
      .click({ timeout: 500 })
      .catch(() => undefined);
    await page.getByText('You have everything up to').waitFor({ state: 'detached', timeout: TOLD });
  }
  await until('the end of the turn', () => box.frames(id).some((one) => one.kind === 'stop'));
  await log(page).getByText('Done').waitFor();
  const shown = await page.locator('article.said').last().innerText();
  assert.deepEqual(shown.trim().split(/\s+/), words);
  assert.equal(box.words(id).trim(), words.join(' '));
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a permission is shown with its change before it is given, and two pages agree', async () => {
  const { id } = await box.create('@write made.txt hello\\nworld\n@text it is written', {
    permission_mode: 'default',
  });
  const [one, two] = [await visit(browser, box, `/s/${id}`), await visit(browser, box, `/s/${id}`)];
  const card = (page) => page.getByRole('region', { name: 'Claude asks' }).last();
  await card(one).getByText('hello', { exact: true }).first().waitFor();
  await shot(one, 'permission');
  await card(two).getByRole('button', { name: /Allow/ }).waitFor();
  await card(one).getByRole('button', { name: /Allow/ }).click();
  for (const page of [one, two]) {
    await log(page).getByText('it is written', { exact: true }).waitFor();
    assert.equal(await page.getByRole('region', { name: 'Claude asks' }).count(), 0);
    // What was written to is told beside it, with the way to what git says of it.
    const files = page.getByRole('region', { name: /^Files changed/ });
    await files.getByText('made.txt', { exact: true }).waitFor();
    const changes = files.getByRole('link', { name: 'Changes in the directory' });
    assert.equal(await changes.getAttribute('href'), '/changes/workspace');
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
});

test('a session ends, is resumed under its id, and is renamed', async () => {
  const { id } = await box.create('@text hello once');
  const page = await visit(browser, box, `/s/${id}`);
  await log(page).getByText('Done').waitFor();
  await page.getByTitle('Rename').click();
  await page.getByRole('textbox', { name: 'Name' }).fill('A better name');
  await page.getByRole('textbox', { name: 'Name' }).press('Enter');
  await page.getByRole('heading', { name: 'A better name' }).waitFor();
  await page.getByRole('button', { name: 'End', exact: true }).click();
  await page.getByRole('button', { name: 'Resume' }).click();
  await composer(page).fill('@text hello twice');
  await composer(page).press('Enter');
  await log(page).getByText('hello twice', { exact: true }).waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a shell is typed into, and is whole after its line broke', async () => {
  const page = await visit(browser, box, '/shells');
  await page.getByLabel('Directory').fill(box.workdir().workdir);
  await page.getByRole('button', { name: 'Open a shell' }).click();
  await page.waitForURL(/\/shells\//);
  const screen = page.locator('.xterm-rows');
  await page.locator('.xterm-helper-textarea').focus();
  await until('a prompt', async () => /[$#]/.test(await screen.innerText()));
  await page.keyboard.type('echo $((6*7))-is-it\n');
  await screen.getByText('42-is-it').waitFor();
  await box.kill();
  await box.control();
  await page.keyboard.type('echo $((7*7))-too\n');
  await until('the second answer', async () => {
    if (/49-too/.test(await screen.innerText())) return true;
    await page
      .getByRole('button', { name: 'Try now' })
      .click({ timeout: 200 })
      .catch(() => undefined);
    return false;
  });
  assert.equal((await screen.innerText()).match(/^42-is-it/gm).length, 1);
  await shot(page, 'shell');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a terminal shows an address whole before it is opened, and asks before it runs several lines', async () => {
  const { id } = await box.call('POST', '/api/shells', box.workdir());
  const page = await visit(browser, box, `/shells/${id}`);
  const screen = page.locator('.xterm-rows');
  await until('a prompt', async () => /[$#]/.test(await screen.innerText()));
  await page.locator('.xterm-helper-textarea').focus();
  // What an agent prints: a link that lies, and text for the clipboard.
  await page.keyboard.type(
    "clear; printf '\\e]8;;https://evil.example/?s=1\\e\\\\good-link\\e]8;;\\e\\\\ \\e]52;c;ZXZpbA==\\a\\n'\n",
  );
  await until('the link', async () => /^good-link/m.test(await screen.innerText()));
  const line = screen.locator('div', { hasText: /^good-link/ }).first();
  const { x, y } = await line.boundingBox();
  // What is under the pointer is looked at when it moves.
  let moved = 0;
  await until('that it is a link', async () => {
    await page.mouse.move(x + 18 + (moved++ % 4), y + 6);
    return page.locator('.xterm-cursor-pointer').count();
  });
  await page.mouse.click(x + 22, y + 6);
  await page.getByRole('dialog').getByText('https://evil.example/?s=1').waitFor();
  assert.deepEqual(await axeFinds(page), []);
  await page.keyboard.press('Escape');
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.type('echo $((1+1))go; cat\n');
  await until('cat', async () => /^2go/m.test(await screen.innerText()));
  await page.evaluate(() => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', 'one line\nand another\n');
    const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
    document.querySelector('.xterm-helper-textarea').dispatchEvent(event);
  });
  await page.getByRole('dialog').getByText('and another').waitFor();
  await page.getByRole('button', { name: 'Paste' }).click();
  await screen.getByText('and another').first().waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('on a phone a session is made, talked to and answered by touch, and a terminal has its keys', async () => {
  const page = await visit(browser, box, '/', { size: PHONE, phone: true });
  await page.getByRole('navigation', { name: 'Pages, below' }).getByText('New').tap();
  await page.getByLabel('Directory').fill(box.workdir().workdir);
  await page.getByRole('button', { name: 'Start' }).tap();
  await page.waitForURL(/\/s\//);
  await composer(page).fill('@ask Tea or coffee?|Tea|Coffee\n@text a fine choice');
  // Enter is a new line here; the button sends.
  await composer(page).press('Enter');
  assert.match(await composer(page).inputValue(), /fine choice/);
  await page.getByRole('button', { name: 'Send' }).tap();
  await page
    .getByRole('region', { name: 'Claude asks' })
    .last()
    .getByRole('button', { name: /Coffee/ })
    .tap();
  await log(page).getByText('a fine choice', { exact: true }).waitFor();
  await shot(page, 'talk-phone');
  const bar = page.getByRole('navigation', { name: 'Pages, below' });
  await bar.waitFor();
  const below = await bar.boundingBox();
  assert.equal(Math.round(below.y + below.height), PHONE.height);
  assert.equal(await overflow(page, PHONE.width), 0);
  assert.deepEqual(await axeFinds(page), []);

  const { id } = await box.call('POST', '/api/shells', box.workdir());
  await page.goto(`${box.url}/shells/${id}`);
  const screen = page.locator('.xterm-rows');
  await until('a prompt', async () => /[$#]/.test(await screen.innerText()));
  await page.getByLabel('Type here').fill('cat -v');
  await page.getByRole('button', { name: 'Send' }).tap();
  await until('cat', async () => /cat -v/.test(await screen.innerText()));
  await page.getByLabel('Type here').focus();
  await page.getByRole('button', { name: 'Up', exact: true }).tap();
  await page.getByRole('button', { name: 'Ctrl' }).tap();
  await page.getByRole('button', { name: 'Right', exact: true }).tap();
  // Nobody took the focus, so the keyboard is still there.
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Type here');
  await page.getByLabel('Type here').fill('end');
  await page.getByRole('button', { name: 'Send' }).tap();
  await until('the bytes of the keys', async () => /\^\[\[A\^\[\[1;5Cend/.test(await screen.innerText()));
  await page.getByRole('button', { name: 'Control C' }).tap();
  await shot(page, 'shell-phone');
  assert.equal(await overflow(page, PHONE.width), 0);
  assert.deepEqual(await axeFinds(page), []);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a paste of 100 kB arrives whole in a terminal', async () => {
  const { id } = await box.call('POST', '/api/shells', box.workdir());
  const page = await visit(browser, box, `/shells/${id}`);
  const screen = page.locator('.xterm-rows');
  await until('a prompt', async () => /[$#]/.test(await screen.innerText()));
  await page.locator('.xterm-helper-textarea').focus();
  // A terminal takes lines of 4095 bytes at most before it has passed them on.
  await page.keyboard.type('stty -echo; echo $((1+1))go; cat > pasted; stty echo; echo $((40+2))done\n');
  await until('cat', async () => /^2go/m.test(await screen.innerText()));
  const lines = Array.from({ length: 1300 }, (_, n) => `${String(n).padStart(8, '0')} ${'盒x'.repeat(17)}\n`);
  const text = lines.join('');
  assert.ok(Buffer.byteLength(text) > 100_000);
  await page.evaluate((pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', pasted);
    const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
    document.querySelector('.xterm-helper-textarea').dispatchEvent(event);
  }, text);
  await page.getByRole('button', { name: 'Paste' }).click();
  const file = path.join(box.workdir().workdir, 'pasted');
  const there = () => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  await until('all of it', () => there().length >= text.length);
  await page.locator('.xterm-helper-textarea').focus();
  await page.keyboard.press('Control+d');
  await screen.getByText('42done').waitFor();
  assert.equal(there(), text);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a hook that blocks is seen in the conversation and in the list of hooks', async () => {
  const hooks = {
    PreToolUse: [
      { matcher: 'Bash', hooks: [{ type: 'command', command: 'echo not on a Monday >&2; exit 2' }] },
    ],
  };
  const { id } = await box.create('@bash touch never\n@text then not', { hooks });
  const page = await visit(browser, box, `/s/${id}`);
  await log(page).getByText('then not', { exact: true }).waitFor();
  await log(page)
    .getByText(/PreToolUse.*not on a Monday/)
    .first()
    .waitFor();
  const side = page.getByRole('complementary', { name: 'Details' });
  await side.getByText('blocked', { exact: false }).first().waitFor();
  assert.ok(!existsSync(path.join(box.workdir().workdir, 'never')));
  await shot(page, 'hook-blocks');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a journal is downloaded whole, frame by frame', async () => {
  const many = Array.from({ length: 7000 }, (_, n) => ({
    kind: 'text.delta',
    data: { text: `piece ${n} 盒 `, message_id: `m${Math.floor(n / 50)}` },
  }));
  const id = box.record(many);
  const page = await visit(browser, box, `/s/${id}`);
  const arriving = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download the journal' }).click();
  const download = await arriving;
  assert.equal(download.suggestedFilename(), `session-${id}.jsonl`);
  const lines = readFileSync(await download.path(), 'utf8')
    .trimEnd()
    .split('\n');
  assert.deepEqual(lines.map(JSON.parse), box.frames(id));
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('what has ended is deleted for good, after a question', async () => {
  const id = box.record([], { title: 'No longer wanted' });
  const page = await visit(browser, box, `/s/${id}`);
  const purge = page.getByRole('button', { name: 'Delete for good' });
  await purge.click();
  const dialog = page.getByRole('dialog');
  await shot(page, 'purge');
  assert.deepEqual(await axeFinds(page), []);
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.ok(box.frames(id).length);
  await purge.click();
  await dialog.getByRole('button', { name: 'Delete for good' }).click();
  await page.waitForURL(`${box.url}/`);
  await page.getByText('No longer wanted').waitFor({ state: 'detached' });
  await assert.rejects(box.call('GET', `/api/sessions/${id}`), /no_such_session/);
  // What lives is not offered it.
  const live = await box.create('@text still here');
  await page.goto(`${box.url}/s/${live.id}`);
  await page.getByRole('button', { name: 'Download the journal' }).waitFor();
  assert.equal(await purge.count(), 0);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a session moves to the terminal and back, and goes on', async () => {
  const { id } = await box.create('@text first by the stream');
  const page = await visit(browser, box, `/s/${id}`);
  await page.locator('article.said').getByText('first by the stream').waitFor();
  const driver = page.getByRole('complementary', { name: 'Details' }).getByLabel('Driver');
  for (const [to, words] of [
    ['tty', 'then on a terminal'],
    ['stream', 'and by the stream again'],
  ]) {
    await driver.selectOption(to);
    // The page shows the choice at once, and the old one is idle as well.
    await until('the other driver', async () => {
      const session = await box.call('GET', `/api/sessions/${id}`);
      return session.driver === to && session.state === 'idle';
    });
    await until('that the page shows it', async () => (await driver.inputValue()) === to);
    await composer(page).fill(`@text ${words}`);
    await composer(page).press('Enter');
    await page.locator('article.said').getByText(words, { exact: true }).waitFor();
  }
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});
