// Choosing a repository of a forge for a task; the forge is a stand-in, control and browser are real.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PATIENCE, PHONE, shot, until, visit } from './kit.mjs';

let box;
let browser;

before(async () => {
  box = await Box.start({ forge: true });
  browser = await launch();
  for (const slug of ['acme/api', 'acme/web', 'me/notes']) {
    const files = { 'README.md': 'Read me' };
    await box.kit('repositories', { slug, description: `All of ${slug}`, writers: ['me'], files });
  }
  await box.kit('repositories', { slug: 'acme/old', writers: ['me'], archived: true });
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

for (const [name, size] of Object.entries({ PHONE, DESKTOP })) {
  test(`a repository is searched for and chosen (${name.toLowerCase()})`, async () => {
    const page = await visit(browser, box, '/t', { size, phone: size === PHONE });
    await page.getByText('Choose a repository').click();
    const list = page.locator('.picker li');
    await until('the list', async () => (await list.count()) === 4);
    assert.ok(await list.filter({ hasText: 'acme/old' }).getByRole('button').isDisabled());
    assert.deepEqual(await axeFinds(page), []);
    assert.equal(await overflow(page, size.width), 0);
    await page.getByLabel('Name or description').fill('web');
    await until('what was searched for', async () => (await list.count()) === 1);
    await list.getByRole('button').click();
    assert.equal(await page.getByLabel('Repository').inputValue(), `${box.forge}/acme/web.git`);
    assert.ok(!(await page.locator('.picker').isVisible()));
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  });
}

test('a session finds the repository of a task, or somebody chooses it, and its draft is linked', async () => {
  const work = '@bash echo x > one && git add one && git commit --quiet --message one\n@text It is done.';
  // Names that stand in the words of a task are taken without a session, so they are spelt.
  const spelt = (names) => JSON.stringify(names).replaceAll('/', '\\u002f');
  const choose = (...names) =>
    `@tool mcp__box__find {"query": "all of"}\n@tool mcp__box__choose {"repositories": ${spelt(names)}}`;
  const page = await visit(browser, box, '/t');
  for (const names of [['acme/web'], ['acme/web', 'me/notes']]) {
    const prompt = `Mend what the shop shows.\n${choose(...names)}\n${work}`;
    const { id } = await box.call('POST', '/api/tasks', { prompt, draft: false });
    await page.goto(`${box.url}/t/${id}`);
    if (names.length > 1) {
      const choice = page.getByRole('button', { name: `${box.forge}/acme/web.git` });
      await choice.waitFor({ timeout: PATIENCE });
      assert.deepEqual(await axeFinds(page), []);
      await choice.click();
    }
    await page.getByText('Done', { exact: true }).first().waitFor({ timeout: PATIENCE });
    const task = await box.call('GET', `/api/tasks/${id}`);
    assert.equal(task.repo, `${box.forge}/acme/web.git`);
    assert.notEqual(task.finder, task.session);
    assert.equal(await page.getByRole('link', { name: task.pr.url }).getAttribute('href'), task.pr.url);
    assert.equal(task.commits, 1);
    const finder = () => box.call('GET', `/api/sessions/${task.finder}`);
    await until('the end of its session', async () => (await finder()).state === 'stopped');
  }
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('what is checked out is pushed, and its pull request opened, as it was seen', async () => {
  const tree = path.join(box.root, 'work', 'api');
  const git = (...words) =>
    execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@b', ...words], {
      cwd: tree,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: box.root },
    }).trim();
  execFileSync('git', ['init', '--quiet', '--initial-branch=main', tree]);
  git('remote', 'add', 'origin', `${box.forge}/acme/api.git`);
  writeFileSync(path.join(tree, 'mended'), 'yes\n');
  git('add', '.');
  git('commit', '--quiet', '--message', 'Mend the login');
  const commit = git('rev-parse', 'HEAD');
  const forged = (name) => {
    const bares = readdirSync(path.join(box.root, 'forge')).filter((one) => one.endsWith('.git'));
    return bares.some((bare) => {
      const words = [
        '--git-dir',
        path.join(box.root, 'forge', bare),
        'rev-parse',
        '--quiet',
        '--verify',
        name,
      ];
      try {
        return execFileSync('git', words, { encoding: 'utf8' }).trim() === commit;
      } catch {
        return false;
      }
    });
  };
  for (const [name, size] of Object.entries({ PHONE, DESKTOP })) {
    const page = await visit(browser, box, '/changes/workspace/api', { size, phone: size === PHONE });
    await page.getByRole('button', { name: 'Push and open a pull request' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('acme/api').waitFor();
    assert.deepEqual(await axeFinds(page), []);
    assert.equal(await overflow(page, size.width), 0);
    await shot(page, `publish-${name.toLowerCase()}`);
    const branch = dialog.getByLabel('Branch there');
    assert.equal(await branch.inputValue(), `claude/${commit.slice(0, 8)}`);
    if (size === PHONE) {
      await branch.fill('main');
      await dialog.getByRole('button', { name: 'Push and open a pull request' }).click();
      await dialog.getByText('own branch').waitFor();
      assert.ok(!forged('main'));
      await branch.fill('claude/login');
      await dialog.getByRole('button', { name: 'Push and open a pull request' }).click();
      await dialog.getByText(/Pull request 1 is open as a draft/).waitFor();
    } else {
      await branch.fill('claude/login');
      await dialog.getByRole('button', { name: 'Push and open a pull request' }).click();
      await dialog.getByText(/Pull request 1 was open already/).waitFor();
    }
    assert.ok(forged('claude/login'));
    assert.deepEqual(await axeFinds(page), []);
    assert.deepEqual(page.wrongs, []);
    await page.context().close();
  }
  const told = await (await fetch(`${box.forge}/_kit/pulls`)).json();
  assert.deepEqual(
    // Others are of the tasks above.
    told.pulls.filter(({ title }) => title === 'Mend the login').map(({ draft }) => draft),
    [true],
  );
  // Where the box has no account, its person's own machine pushes.
  git('remote', 'set-url', 'origin', 'https://elsewhere.example/a/b.git');
  const page = await visit(browser, box, '/changes/workspace/api');
  await page.getByText('“cib pr”').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Push', exact: true }).isDisabled());
  await page.context().close();
});

test('a forge whose token does not hold is named, and there is nothing to choose', async () => {
  await box.kill();
  await box.kit('faults', { path: '/user', status: 401, message: 'Bad credentials', times: 9 });
  await box.control();
  const page = await visit(browser, box, '/t');
  await page.getByText('does not take the token: Bad credentials').waitFor();
  assert.equal(await page.getByText('Choose a repository').count(), 0);
  assert.deepEqual(await axeFinds(page), []);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});
