// What the pages take, in the real browser on the real control: each figure beside what is asked.
//
//   node bench/main.mjs [MEASUREMENT...]     load, usable, memory, open, whole, scroll, reconnect, typing, terminal
//
// The programs are those of CIB_BENCH_PROGRAMS, the pages those in dist. Figures are medians.
import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

process.env.CIB_TEST_PROGRAMS ??= process.env.CIB_BENCH_PROGRAMS;
const { Box, launch, TOKEN, until, visit } = await import('../tests/browser/kit.mjs');

const TIMES = 5;
const median = (all) => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)];
const at = (all, part) =>
  all.toSorted((a, b) => a - b)[Math.min(all.length - 1, Math.floor(all.length * part))];

const rows = [];
function told(what, asked, got, unit = 's') {
  const shown = typeof got === 'number' ? got.toFixed(unit === 'ms' || unit === 'kB' ? 0 : 2) : got;
  rows.push([what, `${asked} ${unit}`, `${shown} ${unit}`, got <= asked ? 'yes' : 'no']);
  process.stderr.write(`${what}: ${shown} ${unit}\n`);
}

/** Frames as a long session has them: turns of some text in pieces, calls and their results. */
function frames(count) {
  const all = [];
  for (let turn = 0; all.length < count; turn += 1) {
    const id = `m${turn}`;
    const say = (text, role = 'assistant') =>
      all.push({ kind: 'text.delta', data: { text, role, message_id: role === 'user' ? `u${turn}` : id } });
    all.push({ kind: 'status', data: { state: 'working', elapsed_ms: 5 } });
    say(`Question ${turn}: what does the next part do, and why?`, 'user');
    for (let n = 0; n < 14; n += 1) say(`This is piece ${n} of answer ${turn}, with **some** weight. `);
    all.push({
      kind: 'tool.use.start',
      data: { tool_use_id: `t${turn}`, tool: 'Bash', input: { command: `make ${turn}` } },
    });
    all.push({ kind: 'tool.use.result', data: { tool_use_id: `t${turn}`, tool: 'Bash', output: 'done\n'.repeat(20), is_error: false, duration_ms: 12 } }); // prettier-ignore
    all.push({
      kind: 'usage',
      data: { input: 900, output: 210, cache_read: 4000, cache_write: 100, cost_usd: 0.01 },
    });
    all.push({ kind: 'stop', data: { reason: 'turn_end', last: false } });
    all.push({ kind: 'status', data: { state: 'idle', elapsed_ms: 900 } });
  }
  return all.slice(0, count);
}

/** A session that nobody keeps, but that says it lives: its journal is written by who measures. */
class Live {
  constructor(box) {
    this.id = randomUUID();
    this.dir = path.join(box.root, 'data/sessions', this.id);
    mkdirSync(this.dir, { recursive: true });
    this.file = path.join(this.dir, 'transcript.jsonl');
    this.seq = 0;
    writeFileSync(this.file, '');
    const opening = { created_at: new Date().toISOString(), auth_mode: 'auto', limits: {} };
    const workdir = path.join(box.root, 'work');
    this.write([
      { kind: 'meta', data: { title: 'Live', driver: 'stream', model: 'm', permissionMode: 'default', workdir, opening } },
      { kind: 'status', data: { state: 'working', elapsed_ms: 1 } },
    ]); // prettier-ignore
  }
  write(all) {
    const ts = new Date().toISOString();
    const line = (one) => JSON.stringify({ session: this.id, seq: ++this.seq, ts, ...one });
    appendFileSync(this.file, `${all.map(line).join('\n')}\n`);
  }
}

const text = (page, wanted) =>
  page.waitForFunction((words) => document.querySelector('.log')?.textContent.includes(words), wanted, {
    polling: 'raf',
    timeout: 120_000,
  });

/** Seconds from an address to some words on the page, with everything in the cache. */
async function opens(browser, box, id, words) {
  const page = await visit(browser, box, `/s/${id}`);
  await text(page, words);
  const times = [];
  for (let n = 0; n < TIMES; n += 1) {
    await page.goto(`${box.url}/s/${id}`);
    await page.waitForFunction(
      (wanted) => {
        const found = document.querySelector('.log')?.textContent.includes(wanted);
        if (found) window.shownAt ??= performance.now();
        return found;
      },
      words,
      { polling: 'raf', timeout: 120_000 },
    );
    times.push((await page.evaluate(() => window.shownAt)) / 1000);
  }
  await page.context().close();
  return median(times);
}

const MEASUREMENTS = {
  async load(browser, box) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const sizes = [];
    page.on('requestfinished', (request) => {
      if (/\.(js|css)$/.test(new URL(request.url()).pathname)) sizes.push(request.sizes());
    });
    await page.goto(`${box.url}/#token=${TOKEN}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle').catch(() => undefined);
    const bytes = (await Promise.all(sizes)).reduce((sum, one) => sum + one.responseBodySize, 0);
    told('first load, script and style', 75, bytes / 1000, 'kB');
    told('first load, requests for them', 8, sizes.length, '');
    await context.close();
  },

  /** From an address to what one can use, on a slow line and a slow processor. */
  async usable(browser, box) {
    const slow = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 750e3 / 8 };
    for (const [who, isKnown] of [
      ['a stranger', false],
      ['somebody who is signed in', true],
    ]) {
      const times = [];
      for (let n = 0; n < TIMES; n += 1) {
        const page = await visit(browser, box, '/', { signedIn: isKnown });
        await page.getByRole('heading', { level: 1 }).waitFor();
        const line = await page.context().newCDPSession(page);
        await line.send('Network.enable');
        await line.send('Network.clearBrowserCache');
        await line.send('Network.emulateNetworkConditions', slow);
        await line.send('Emulation.setCPUThrottlingRate', { rate: 4 });
        const shown = isKnown ? 'main h1' : 'form';
        await page.goto(`${box.url}/`, { waitUntil: 'commit' });
        await page.waitForFunction(
          (what) => {
            if (document.querySelector(what)) window.shownAt ??= performance.now();
            return window.shownAt;
          },
          shown,
          { polling: 'raf' },
        );
        times.push((await page.evaluate(() => window.shownAt)) / 1000);
        await page.context().close();
      }
      told(`usable for ${who}, 1.6 Mbit/s, 150 ms, a fourth of the processor`, 1, median(times));
    }
  },

  /** What control holds with 50 sessions, and ten browsers that look at ten of them. */
  async memory(browser, box) {
    const all = Array.from({ length: 50 }, () => new Live(box));
    for (const live of all) live.write(frames(2000));
    const pages = [];
    for (const live of all.slice(0, 10)) {
      const page = await visit(browser, box, `/s/${live.id}`);
      await text(page, 'answer');
      pages.push(page);
    }
    for (let n = 0; n < 20; n += 1) {
      for (const live of all) live.write(frames(20));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const held = readFileSync(`/proc/${box.process.pid}/smaps_rollup`, 'utf8');
    told('control with 50 sessions and 10 browsers', 16, Number(/^Pss: +(\d+)/m.exec(held)[1]) / 1000, 'MB');
    for (const page of pages) await page.context().close();
  },

  async open(browser, box) {
    for (const count of [10_000, 100_000]) {
      const id = box.record([
        ...frames(count),
        { kind: 'text.delta', data: { text: 'The very end.', message_id: 'z' } },
      ]);
      told(`${count} frames, opened at the end`, 0.5, await opens(browser, box, id, 'The very end.'));
    }
  },

  async whole(browser, box) {
    for (const [count, asked] of [
      [10_000, 0.5],
      [100_000, 3],
    ]) {
      const id = box.record([
        ...frames(count),
        { kind: 'text.delta', data: { text: 'The very end.', message_id: 'z' } },
      ]);
      const times = [];
      for (let n = 0; n < 3; n += 1) {
        const page = await visit(browser, box, `/s/${id}`);
        await text(page, 'The very end.');
        const began = Date.now();
        await page.locator('.log').press('Home');
        await text(page, 'Question 0:');
        times.push((Date.now() - began) / 1000);
        await page.context().close();
      }
      told(`${count} frames, whole when that is asked for`, asked, median(times));
    }
  },

  async scroll(browser, box) {
    const id = box.record(frames(10_000));
    const page = await visit(browser, box, `/s/${id}`);
    await text(page, 'answer');
    const gaps = await page.evaluate(async () => {
      const log = document.querySelector('.log');
      log.dispatchEvent(new WheelEvent('wheel', { deltaY: -400 }));
      const found = [];
      let last = performance.now();
      for (let n = 0; n < 300; n += 1) {
        log.scrollTop -= 400;
        const now = await new Promise((resolve) => requestAnimationFrame(resolve));
        found.push(now - last);
        last = now;
      }
      return found;
    });
    told('scrolling a session, gap between frames, 95 of 100', 34, at(gaps, 0.95), 'ms');
    told('scrolling a session, longest gap', 50, Math.max(...gaps), 'ms');
    const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
    told('nodes of the page', 2500, nodes, '');
    await page.context().close();
  },

  async reconnect(browser, box) {
    const times = [];
    for (let n = 0; n < TIMES; n += 1) {
      const live = new Live(box);
      live.write(frames(2000));
      const page = await visit(browser, box, `/s/${live.id}`);
      await text(page, 'answer');
      await page.context().setOffline(true);
      await page.evaluate(() => window.dispatchEvent(new Event('offline')));
      await box.kill();
      live.write([...frames(10_000), { kind: 'text.delta', data: { text: 'Back again.', message_id: 'z' } }]);
      await box.control();
      await page.evaluate(() => {
        const look = () => {
          if (document.querySelector('.log')?.textContent.includes('Back again.')) {
            window.backAt = performance.now();
          } else requestAnimationFrame(look);
        };
        requestAnimationFrame(look);
      });
      await page.context().setOffline(false);
      const began = await page.evaluate(() => {
        const now = performance.now();
        window.dispatchEvent(new Event('online'));
        return now;
      });
      const ended = await until('the page is back', () => page.evaluate(() => window.backAt), 60_000);
      times.push((ended - began) / 1000);
      await page.context().close();
    }
    told('10000 frames after a line broke', 0.2, median(times));
  },

  async typing(browser, box) {
    const live = new Live(box);
    const page = await visit(browser, box, `/s/${live.id}`);
    const field = page.getByRole('textbox').last();
    await field.waitFor();
    let isOver = false;
    const pieces = (async () => {
      const began = Date.now();
      let sent = 0;
      while (!isOver) {
        const due = Math.floor(((Date.now() - began) / 1000) * 5000);
        const more = Array.from({ length: due - sent }, (_, n) => ({
          kind: 'text.delta',
          data: { text: `w${sent + n} `, role: 'assistant', message_id: `m${Math.floor((sent + n) / 2000)}` },
        }));
        if (more.length) live.write(more);
        sent = due;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    await page.evaluate(() => {
      window.delays = [];
      new PerformanceObserver((list) => {
        for (const one of list.getEntries()) if (one.name.startsWith('key')) window.delays.push(one.duration);
      }).observe({ type: 'event', durationThreshold: 16, buffered: true });
    });
    await field.click();
    for (let n = 0; n < 60; n += 1) {
      await page.keyboard.press('a');
      await page.waitForTimeout(50);
    }
    isOver = true;
    await pieces;
    const delays = await page.evaluate(() => window.delays);
    told('a key at 5000 frames of text a second, 98 of 100', 50, delays.length ? at(delays, 0.98) : 16, 'ms');
    await page.context().close();
  },

  async terminal(browser, box) {
    const shell = await box.call('POST', '/api/shells', box.workdir());
    const page = await visit(browser, box, `/shells/${shell.id}`);
    await page.locator('.xterm').waitFor();
    const shown = (words) =>
      page.waitForFunction(
        (wanted) => document.querySelector('.xterm-rows')?.textContent.includes(wanted),
        words,
        {
          polling: 'raf',
          timeout: 180_000,
        },
      );
    const type = (data) => box.call('POST', `/api/shells/${shell.id}/input`, { data, encoding: 'raw' });
    await type('echo rea""dy\n');
    await shown('ready');
    const began = Date.now();
    await type('yes "$(printf %079d 7)" | head -c 20000000; echo; echo do""ne\n');
    await shown('done');
    told('20 MB of a terminal’s output, drawn to the end', 10, (Date.now() - began) / 1000);
    await page.context().close();
  },
};

const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (name in MEASUREMENTS) continue;
  process.stderr.write(
    `There is no measurement '${name}'; there are ${Object.keys(MEASUREMENTS).join(', ')}.\n`,
  );
  process.exit(64);
}
const browser = await launch();
const box = await Box.start();
try {
  for (const [name, measure] of Object.entries(MEASUREMENTS)) {
    if (!wanted.length || wanted.includes(name)) await measure(browser, box);
  }
} finally {
  await box.stop();
  await browser.close();
}
const head = ['what', 'asked, at most', 'got', 'met'];
const line = (cells) => `| ${cells.map((cell) => String(cell).trim()).join(' | ')} |`;
process.stdout.write(`${[head, head.map(() => '---'), ...rows].map(line).join('\n')}\n`);
