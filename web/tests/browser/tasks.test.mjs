// Tasks with everything that is real but the model: control, `cib-files`, keepers, git and Claude Code.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PATIENCE, PHONE, until, visit } from './kit.mjs';

let box;
let browser;
const at = (...names) => path.join(box.root, 'work', ...names);

function git(where, ...words) {
  const out = execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@b', ...words], {
    cwd: where,
    env: { PATH: process.env.PATH, HOME: path.join(box.root, 'home') },
    encoding: 'utf8',
  });
  return out.trim();
}

/** What somebody else waits at until it is let go: time would be too short on a busy machine. */
const gate = (name) => path.join(box.root, 'gates', name);
const hold = (name) => writeFileSync(gate(name), '');
const letGo = (name) => rmSync(gate(name), { force: true });
const waits = (name) => `while [ -e '${gate(name)}' ]; do sleep 0.1; done`;

/** A repository with one commit; what is pushed to it may be held up. */
function repository(name) {
  mkdirSync(at(name));
  git(at(name), 'init', '--quiet', '--initial-branch=main');
  writeFileSync(at(name, 'file'), 'one\n');
  git(at(name), 'add', '--all');
  git(at(name), 'commit', '--quiet', '--message', 'first');
  const hook = at(name, '.git/hooks/pre-receive');
  writeFileSync(hook, `#!/bin/sh\n${waits('opening')}\n`);
  chmodSync(hook, 0o755);
}

const task = (id) => box.call('GET', `/api/tasks/${id}`);
const journal = (id) => {
  const text = readFileSync(path.join(box.root, 'data/control/tasks', id, 'transcript.jsonl'), 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  return whole.split('\n').filter(Boolean).map(JSON.parse);
};
const states = (id) =>
  journal(id)
    .filter((frame) => frame.kind === 'task.state')
    .map((frame) => frame.data.state);

/** Waits for an end, and says what the task came to. */
async function ended(id) {
  await until(
    `the end of ${id}`,
    async () => /completed|failed|cancelled/.test((await task(id)).state),
    PATIENCE,
  );
  return task(id);
}

async function comesTo(id, state) {
  await until(`${id} is ${state}`, async () => (await task(id)).state === state, PATIENCE);
}

before(async () => {
  box = await Box.start();
  browser = await launch();
  mkdirSync(path.join(box.root, 'gates'));
  // A clone may be, too: git asks this program for what it sends.
  const slow = path.join(box.root, 'slow');
  writeFileSync(slow, `#!/bin/sh\n${waits('cloning')}\nexec "$@"\n`);
  chmodSync(slow, 0o755);
  writeFileSync(path.join(box.root, '.gitconfig'), `[uploadpack]\n\tpackObjectsHook = ${slow}\n`);
  repository('api');
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

const WORK = `Mend the api.
@bash echo x > one && git add --all && git commit --quiet --message one
@slow 100
@text This is said slowly, so that there is time enough for everything that happens meanwhile.
@bash echo y > two && git add --all && git commit --quiet --message two
@text It is mended.`;

test('control is killed in each state, and the task comes to one branch with every commit', async () => {
  const body = { prompt: WORK, repo: 'api', setup: [waits('preparing'), 'echo ready > ../ready'] };
  // None of them is over before it was seen.
  for (const state of ['cloning', 'opening', 'preparing']) hold(state);
  const { id } = await box.call('POST', '/api/tasks', body);
  const killed = new Set();
  const deadline = Date.now() + 3 * PATIENCE;
  for (;;) {
    const { state } = await task(id);
    assert.ok(Date.now() < deadline, `it is ${state} without an end`);
    if (/completed|failed|cancelled/.test(state)) break;
    if (state !== 'queued' && !killed.has(state)) {
      killed.add(state);
      await box.kill();
      letGo(state);
      await box.control();
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const done = await ended(id);
  assert.equal(done.state, 'completed', JSON.stringify(done));
  for (const state of ['cloning', 'opening', 'preparing', 'working']) {
    assert.ok(killed.has(state), `control was not killed while ${state}: ${[...killed]}`);
  }
  assert.match(done.result, /It is mended/);
  const branch = `claude/${id}`;
  const log = git(at('api'), 'log', '--format=%s', `main..${branch}`).split('\n');
  assert.deepEqual(log, ['two', 'one', 'chore: start task']);
  assert.deepEqual([done.commits, done.head], [2, git(at('api'), 'rev-parse', branch)]);
  const sessions = new Set(
    journal(id)
      .filter((frame) => frame.kind === 'task.session')
      .map((frame) => frame.data.session),
  );
  assert.equal(sessions.size, 1);
  assert.equal((await box.call('GET', '/api/sessions')).sessions.length, 1);
  assert.ok(states(id).includes('finishing'));
  journal(id).forEach((frame, index) => assert.equal(frame.seq, index + 1));
});

test('a keeper that is killed is begun again, and the task goes on', async () => {
  hold('working');
  const work = `echo x > three && git add --all && git commit -qm three; ${waits('working')}`;
  const prompt = `Mend the api.\n@bash ${work}\n@text Mended.`;
  const { id } = await box.call('POST', '/api/tasks', { prompt, repo: 'api' });
  await until('the commit', async () => (await task(id)).commits === 1, PATIENCE);
  for (const keeper of box.keepers) keeper.kill('SIGKILL');
  const begun = () => journal(id).filter((frame) => frame.kind === 'task.session');
  await until('that it is begun again', () => begun().length === 2);
  letGo('working');
  const done = await ended(id);
  assert.equal(done.state, 'completed', JSON.stringify(done));
  const sessions = begun();
  assert.equal(sessions.length, 2);
  assert.equal(sessions[0].data.session, sessions[1].data.session);
  const log = git(at('api'), 'log', '--format=%s', `main..claude/${id}`);
  assert.equal(log.match(/chore: start task/g).length, 1);
});

test('a task that is cancelled while control is away ends, with its work saved', async () => {
  const prompt = 'Mend the api.\n@bash echo half > half; sleep 60\n@text Mended.';
  const { id } = await box.call('POST', '/api/tasks', { prompt, repo: 'api' });
  await comesTo(id, 'working');
  await until('work', () => box.words && states(id).includes('working'));
  await until(
    'the file',
    () => git(at('tasks', id, 'api'), 'status', '--porcelain').includes('half'),
    PATIENCE,
  );
  await box.call('POST', `/api/tasks/${id}/cancel`);
  await box.kill();
  await box.control();
  const done = await ended(id);
  assert.equal(done.state, 'cancelled', JSON.stringify(done));
  const branch = `claude/${id}`;
  assert.equal(git(at('api'), 'show', `${branch}:half`), 'half');
  assert.equal(git(at('api'), 'log', '-1', '--format=%s', branch), 'WIP: the task was cancelled');
});

test('the loop of a client of claude-code-runner finds a queue of three done', async () => {
  await box.call('PUT', '/api/tasks/queue', { max_running: 1 });
  const ids = [];
  for (const number of [1, 2, 3]) {
    const prompt = `Mend the api.\n@bash echo ${number} > n${number} && git add --all && git commit -qm n${number}\n@text Did ${number}.`;
    const told = await box.call('POST', '/task', { prompt });
    assert.equal(told.status, 'queued');
    ids.push(told.id);
  }
  for (const [index, id] of ids.entries()) {
    let told;
    await until(
      `the end of ${id}`,
      async () => {
        told = await box.call('GET', `/task/${id}`);
        return told.status !== 'running';
      },
      PATIENCE,
    );
    assert.equal(told.status, 'completed', JSON.stringify(told));
    assert.equal(git(at('api'), 'log', '-1', '--format=%s', told.branch), `n${index + 1}`);
  }
});

// What a repository brings: a server with one tool, which leaves a file, and a skill.
const SERVER = `while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\\([0-9]*\\).*/\\1/p')
  say() { printf '{"jsonrpc":"2.0","id":%s,%s}\\n' "$id" "$1"; }
  case $line in
    *'"initialize"'*)
      say '"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"own","version":"1"}}' ;;
    *'"tools/list"'*)
      say '"result":{"tools":[{"name":"leave","inputSchema":{"type":"object"}}]}'
      touch ../told ;;
    *'"tools/call"'*)
      echo called > called
      say '"result":{"content":[{"type":"text","text":"left"}]}' ;;
    *) [ -z "$id" ] || say '"error":{"code":-32601,"message":"there is no such method"}' ;;
  esac
done
`;

test('who works on a task has the server of .mcp.json and the skills that its repository brings', async () => {
  repository('equipped');
  mkdirSync(at('equipped', '.claude/skills/mending'), { recursive: true });
  const skill = '---\nname: mending\ndescription: How things are mended here.\n---\nWith care.\n';
  writeFileSync(at('equipped', '.claude/skills/mending/SKILL.md'), skill);
  writeFileSync(at('equipped', 'server.sh'), SERVER);
  const servers = { mcpServers: { own: { command: 'bash', args: ['server.sh'] } } };
  writeFileSync(at('equipped', '.mcp.json'), JSON.stringify(servers));
  git(at('equipped'), 'add', '--all');
  git(at('equipped'), 'commit', '--quiet', '--message', 'equipped');
  // Claude does not wait for a server before it begins, so its tool is tried until it is there.
  const call = '@tool mcp__own__leave {}\n@bash test -e called || sleep 0.5\n';
  const prompt = `Mend it.
@bash until [ -e ../told ]; do sleep 0.1; done
${call.repeat(10)}@tool Skill {"skill":"mending"}
@bash git add --all && git commit --quiet --message equipped
@text It is mended.`;
  const { id } = await box.call('POST', '/api/tasks', { prompt, repo: 'equipped' });
  const done = await ended(id);
  assert.equal(done.state, 'completed', JSON.stringify(done));
  assert.equal(git(at('equipped'), 'show', `claude/${id}:called`), 'called');
  const used = box.frames(done.session).filter((frame) => frame.kind === 'tool.use.result');
  const skills = used.filter((frame) => frame.data.tool === 'Skill').map((frame) => frame.data.is_error);
  assert.deepEqual(skills, [false], JSON.stringify(used));
});

test('a task is submitted, followed, told something and cancelled on its pages', async () => {
  const page = await visit(browser, box, '/t');
  const hostile = '<img src=x onerror=alert(1)>\u202egnp';
  await page.getByLabel('What is to be done').fill(`${hostile}\n@slow 200\n@text ${'word '.repeat(1500)}`);
  await page.getByLabel('Repository').fill('api');
  await page.getByRole('button', { name: 'Submit' }).click();
  await page.waitForURL(/\/t\/[0-9a-f]{8}$/);
  const id = page.url().slice(-8);
  await page.getByText('Claude works').waitFor({ timeout: PATIENCE });
  assert.ok(await page.getByRole('heading', { name: '<img src=x onerror=alert(1)>⟦U+202E⟧gnp' }).isVisible());
  await page.getByText(`branch claude/${id} in`).waitFor();
  await page.getByLabel('Message to Claude').fill('And the docs.');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('master: And the docs.').waitFor();
  await page.getByRole('button', { name: 'Cancel the task' }).click();
  await page.getByText('Cancelled', { exact: true }).waitFor({ timeout: PATIENCE });
  await page.getByText('] cancelled').waitFor();
  assert.equal(await page.locator('.page img').count(), 0);
  assert.deepEqual(page.wrongs, []);
  assert.equal((await task(id)).state, 'cancelled');
  await page.getByRole('link', { name: 'Tasks' }).first().click();
  await page.getByRole('button', { name: 'Pause the queue' }).click();
  await page.getByRole('button', { name: 'Go on with the queue' }).click();
  await page.context().close();
});

test('the token of other programs is made on the page of tasks, shown once and revoked', async () => {
  const page = await visit(browser, box, '/t');
  const tasks = (token) => fetch(`${box.url}/tasks`, { headers: { authorization: `Bearer ${token}` } });
  const made = async (button) => {
    await page.getByRole('button', { name: button }).click();
    const token = await page.getByRole('textbox', { name: 'The token' }).inputValue();
    assert.match(token, /^ccr_/);
    assert.equal((await tasks(token)).status, 200);
    assert.deepEqual(await axeFinds(page), []);
    // Nothing but the button closes it.
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'I have it' }).click();
    await page.getByText('There is one since').waitFor();
    assert.ok(!(await page.content()).includes(token));
    return token;
  };
  await page.getByText('Token for other programs').click();
  await page.getByText('There is none.').waitFor();
  const first = await made('Make a token');
  const second = await made('Make another in its place');
  assert.equal((await tasks(first)).status, 401);
  await page.getByRole('button', { name: 'Revoke the token' }).click();
  await page.getByText('There is none.').waitFor();
  assert.equal((await tasks(second)).status, 401);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('the pages of tasks are usable by everybody, also on a phone', async () => {
  const { tasks } = await box.call('GET', '/api/tasks');
  for (const size of [DESKTOP, PHONE]) {
    for (const where of ['/t', `/t/${tasks[0].id}`]) {
      const page = await visit(browser, box, where, { size, phone: size === PHONE });
      await page
        .getByText(where === '/t' ? 'Submit' : 'Log', { exact: true })
        .first()
        .waitFor();
      assert.deepEqual(await axeFinds(page), [], where);
      assert.equal(await overflow(page, size.width), 0, where);
      assert.deepEqual(page.wrongs, []);
      await page.context().close();
    }
  }
});
