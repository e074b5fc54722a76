// Files, changes and hooks: what a person does with them, and what a hostile agent puts there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, symlinkSync, unlinkSync, writeFileSync, mkdirSync, existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, shot, until, visit } from './kit.mjs';

let box;
let browser;
const at = (...names) => path.join(box.root, 'work', ...names);
const HOSTILE = '<img src=x onerror=alert(1)>\u001b[31m\u202egnp';
const git = (...words) =>
  execFileSync('git', ['-c', 'user.name=<b>A</b>', '-c', 'user.email=a@b', ...words], {
    cwd: at('repo'),
    env: { PATH: process.env.PATH, HOME: box.root },
  });

before(async () => {
  box = await Box.start();
  browser = await launch();
  mkdirSync(at('folder'));
  writeFileSync(at('folder', 'main.rs'), 'fn main() {}\n');
  writeFileSync(at(HOSTILE), `<script>alert(1)</script>${HOSTILE}\n`);
  writeFileSync(at('long.txt'), 'x'.repeat(10_000_000));
  writeFileSync(at('wide.txt'), 'y'.repeat(1_000_000));
  writeFileSync(at('bytes.bin'), Buffer.from([0xff, 0xfe, 0x00]));
  symlinkSync('/etc/passwd', at('link'));
  mkdirSync(at('repo'));
  git('init', '--quiet', '--initial-branch=main');
  writeFileSync(at('repo', 'a.txt'), 'one\ntwo\n');
  git('add', '.');
  git('commit', '--quiet', '--message', '<img src=x onerror=alert(1)> first');
  writeFileSync(at('repo', 'a.txt'), 'one\nthree <script>alert(1)</script>\n');
  writeFileSync(at('repo', 'new.txt'), 'new\n');
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

/** A page at an address, until it shows something. */
async function open(where, text, more = {}) {
  const page = await visit(browser, box, where, more);
  await page.getByText(text).first().waitFor();
  return page;
}

test('hostile names and contents are shown as what they are, and nothing of them runs', async () => {
  const page = await open('/files/workspace', 'folder');
  assert.ok(await page.getByText('⟦U+001B⟧').first().isVisible());
  await page.getByRole('link', { name: /onerror/ }).click();
  await page.getByText('<script>alert(1)</script>').waitFor();
  assert.equal(await page.locator('pre img, pre script').count(), 0);
  assert.ok(await page.getByText('⟦U+202E⟧').first().isVisible());
  await page.goto(`${box.url}/files/workspace/link`);
  await page.getByText('is_link').waitFor();
  await page.goto(`${box.url}/files/workspace/long.txt`);
  await page.getByText('too large to be shown').waitFor();
  await page.goto(`${box.url}/files/workspace/wide.txt`);
  await page.getByText('Show all 1.0 MB').waitFor();
  await page.goto(`${box.url}/files/workspace/bytes.bin`);
  await page.getByText('This is no text').waitFor();
  await page.goto(`${box.url}/files/workspace/..%2f..%2fetc`);
  await page.getByText('bad_value').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a file is made, edited, renamed, downloaded and deleted', async () => {
  const page = await open('/files/workspace/folder', 'main.rs');
  await page.getByRole('button', { name: 'New file' }).click();
  await page.getByLabel('Name', { exact: true }).fill('notes.md');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: /notes\.md/ }).click();
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox').fill('# Notes\n');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  assert.equal(readFileSync(at('folder', 'notes.md'), 'utf8'), '# Notes\n');
  await page.getByRole('button', { name: 'Close' }).click();
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download' }).click();
  assert.equal((await download).suggestedFilename(), 'notes.md');
  await page.getByRole('link', { name: 'folder' }).click();
  const actions = page.getByRole('group', { name: 'Actions for notes.md' });
  await actions.getByRole('button', { name: 'Rename' }).click();
  await page.getByLabel('Name', { exact: true }).fill('other.md');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: /other\.md/ }).waitFor();
  const others = page.getByRole('group', { name: 'Actions for other.md' });
  await others.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await until('it is gone', () => !existsSync(at('folder', 'other.md')));
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a large file goes to the disk as it comes, and none to where nobody wants it', async () => {
  const page = await open('/files/workspace', 'folder');
  // What a person would choose in the browser's own dialog: a place, and then none.
  await page.evaluate(() => {
    window.asked = [];
    window.showSaveFilePicker = async ({ suggestedName }) => {
      window.asked.push(suggestedName);
      if (window.asked.length > 1) throw new DOMException('no', 'AbortError');
      const folder = await navigator.storage.getDirectory();
      return folder.getFileHandle('kept', { create: true });
    };
  });
  const row = page.getByRole('listitem').filter({ hasText: 'long.txt' });
  await row.getByRole('button', { name: 'Download' }).click();
  const size = () =>
    page.evaluate(async () => {
      const folder = await navigator.storage.getDirectory();
      const handle = await folder.getFileHandle('kept').catch(() => null);
      return (await handle?.getFile())?.size ?? 0;
    });
  await until('it is there', async () => (await size()) === 10_000_000);
  await row.getByRole('button', { name: 'Download' }).click();
  await until('it was asked', () => page.evaluate(() => window.asked.length === 2));
  assert.deepEqual(await page.evaluate(() => window.asked), ['long.txt', 'long.txt']);
  assert.equal(await page.getByRole('alert').count(), 0);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('an edit of what was changed meanwhile keeps the text and asks', async () => {
  writeFileSync(at('folder', 'shared.txt'), 'first');
  const page = await open('/files/workspace/folder/shared.txt', 'first');
  await page.getByRole('button', { name: 'Edit' }).click();
  await page.getByRole('textbox').fill('mine');
  unlinkSync(at('folder', 'shared.txt'));
  writeFileSync(at('folder', 'shared.txt'), 'theirs');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('It was changed meanwhile').waitFor();
  assert.equal(readFileSync(at('folder', 'shared.txt'), 'utf8'), 'theirs');
  assert.equal(await page.getByRole('textbox').inputValue(), 'mine');
  await page.getByRole('button', { name: 'Put mine in its place' }).click();
  await until('mine is there', () => readFileSync(at('folder', 'shared.txt'), 'utf8') === 'mine');
  await page.context().close();
});

test('an upload is kept, and asks before it takes the place of something', async () => {
  const page = await open('/files/workspace/folder', 'main.rs');
  const file = { name: 'up.bin', mimeType: 'application/octet-stream', buffer: Buffer.alloc(300_000, 7) };
  await page.locator('input[type=file]').setInputFiles(file);
  await page.getByRole('link', { name: /up\.bin/ }).waitFor();
  await until('it is whole', () => readFileSync(at('folder', 'up.bin')).length === 300_000);
  await page.locator('input[type=file]').setInputFiles({ ...file, buffer: Buffer.from('small') });
  await page.getByRole('dialog').getByRole('button', { name: 'Replace' }).click();
  await until('it was replaced', () => readFileSync(at('folder', 'up.bin'), 'utf8') === 'small');
  await page.context().close();
});

test('what is not committed and what a commit changed are shown', async () => {
  const page = await open('/changes/workspace/repo', 'Not committed');
  await page.getByText('three <script>alert(1)</script>').waitFor();
  assert.ok(await page.getByText('new.txt').isVisible());
  await page.getByRole('button', { name: /first/ }).click();
  await page.getByText('+2').waitFor();
  // A repository without a remote is pushed nowhere, which is said.
  assert.ok(await page.getByRole('button', { name: 'Push', exact: true }).isDisabled());
  await page.getByText('This tree has no remote to push to.').waitFor();
  // Of a line that was changed the words that are new are marked, whatever colours it has.
  writeFileSync(at('repo', 'words.rs'), 'let total = price * count;\n');
  git('add', 'words.rs');
  git('commit', '--quiet', '--message', 'words');
  writeFileSync(at('repo', 'words.rs'), 'let total = price * amount;\n');
  await page.reload();
  await page.locator('.removed mark').getByText('count', { exact: true }).waitFor();
  await page.locator('.added mark').getByText('amount', { exact: true }).waitFor();
  await page.locator('.added .hljs-keyword').getByText('let').waitFor();
  assert.equal(await page.locator('.added mark').getByText('amount', { exact: true }).count(), 1);
  assert.deepEqual(await axeFinds(page), []);
  await shot(page, 'changes-words');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a commit that Claude makes is shown by itself', async () => {
  const page = await open('/changes/workspace/repo', 'Not committed');
  await page.getByText('a.txt').waitFor();
  const words = '-c user.name=A -c user.email=a@b commit --quiet --all --message by-Claude';
  await box.create(`@bash git ${words}\n@text committed`, { workdir: at('repo') });
  await page.getByRole('button', { name: /^by-Claude/ }).waitFor();
  await page.getByText('a.txt').waitFor({ state: 'detached' });
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  // The other tests look at what is not committed.
  git('reset', '--quiet', '--mixed', 'HEAD~1');
});

test('hooks are edited as a form, of the user and of a session', async () => {
  const kept = () => {
    const file = path.join(box.root, 'claude/hooks.json');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).hooks : null;
  };
  const before = { Stop: [{ hooks: [{ type: 'prompt', prompt: 'Is it done?' }] }] };
  await box.call('PUT', '/api/hooks/user', { hooks: before });
  const session = await box.create('@text hello', { hooks: {} });
  const page = await open('/hooks', 'What a session runs');
  await page.getByText('Of type prompt').waitFor();
  await page.getByRole('button', { name: 'Add a hook' }).click();
  const second = page.getByRole('group', { name: 'Hook 2' });
  await second.getByLabel('Event').selectOption('PreToolUse');
  await second.getByLabel('Matcher').fill('Bash|Edit');
  await second.getByLabel('Command').fill('true');
  await second.getByLabel('Time limit').fill('5');
  assert.deepEqual(await axeFinds(page), []);
  assert.equal(await overflow(page, DESKTOP.width), 0);
  await page.getByRole('button', { name: 'Save' }).click();
  await until('they are kept', () => kept()?.PreToolUse);
  const made = [{ matcher: 'Bash|Edit', hooks: [{ type: 'command', command: 'true', timeout: 5 }] }];
  assert.deepEqual(kept(), { ...before, PreToolUse: made });

  await page.getByLabel('Whose').selectOption(session.id);
  await page.getByText('This session’s own').waitFor();
  await page.getByText('Of type prompt').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Add a hook' }).click();
  await page.getByRole('group', { name: 'Hook 1' }).getByLabel('Command').fill('exit 2');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  const own = await box.call('GET', `/api/sessions/${session.id}/hooks`);
  assert.deepEqual(own.hooks, { PreToolUse: [{ hooks: [{ type: 'command', command: 'exit 2' }] }] });
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
  await box.call('PUT', '/api/hooks/user', { hooks: {} });
});

test('hooks are checked, saved and tried', async () => {
  const page = await open('/hooks', 'What a session runs');
  await page.getByLabel('JSON', { exact: true }).check();
  const json = page.getByLabel('Change (JSON)');
  await json.fill('{"Stop": [{"matcher": "(", "hooks": []}]}');
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByText('no regular expression').waitFor();
  await json.fill('{"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]}');
  await page.getByRole('button', { name: 'Save' }).click();
  await until('they are kept', () => existsSync(path.join(box.root, 'claude/hooks.json')));
  await page.locator('#hooks-command').fill('echo hello; exit 2');
  await page.getByRole('button', { name: 'Run it once' }).click();
  await page.getByText('It ended with 2').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

for (const [name, size, phone] of [
  ['desk', DESKTOP, false],
  ['phone', PHONE, true],
]) {
  test(`axe finds nothing on the pages of files, and they fit, at a ${name}`, async () => {
    for (const [where, text] of [
      ['/files', 'Places in the box'],
      ['/files/workspace', 'folder'],
      ['/files/workspace/folder/main.rs', 'fn main'],
      ['/changes/workspace/repo', 'three'],
      ['/hooks', 'Try a command'],
      ['/ports', 'Look again'],
    ]) {
      const page = await open(where, text, { size, phone });
      assert.deepEqual(await axeFinds(page), [], where);
      assert.equal(await overflow(page, size.width), 0, where);
      await shot(page, `files-${name}-${where.split('/')[1]}-${where.split('/').length}`);
      assert.deepEqual(page.wrongs, [], where);
      await page.context().close();
    }
  });
}
