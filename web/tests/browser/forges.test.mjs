// Choosing a repository of a forge for a task; the forge is a stand-in, control and browser are real.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, until, visit } from './kit.mjs';

const PATIENCE = 90_000;
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
