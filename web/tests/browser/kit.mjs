// A box without containers: the real control and real keepers with the real Claude Code, a stand-in
// for the Messages API, and an init that does no more than start keepers. And a browser that tells
// of everything that a page must not do.
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const at = (name) => fileURLToPath(new URL(name, import.meta.url));
const programs = process.env.CIB_TEST_PROGRAMS ?? at('../../../target/debug');
const claude = process.env.CIB_TEST_CLAUDE;
export const SHOTS = process.env.CIB_TEST_SHOTS ?? at('../../shots');
export const TOKEN = 'correct-horse-battery-staple';
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 360, height: 640 };

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Milliseconds that anything may take: what is claimed of times is measured by the benches. */
export const PATIENCE = 90_000;

/**
 * For what the box or the browser tells a page of by itself. Long for a busy machine, and shorter than
 * the 45 seconds after which a page that was told nothing looks whether its line is still one.
 */
export const TOLD = 25_000;

/** Waits until something holds, and says what never did. */
export async function until(what, holds, within = PATIENCE) {
  const deadline = Date.now() + within;
  for (;;) {
    const found = await holds();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await pause(25);
  }
}

/**
 * A port of this machine that nobody has. From below those that the kernel gives to connections: a
 * program that is started again would else find its port taken, once in a while.
 */
export async function freePort() {
  const [lowest] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/);
  // Browsers refuse some ports, of which 10080 is the last.
  const [from, to] = [12_000, Math.max(14_000, Number(lowest))];
  for (;;) {
    const port = from + Math.floor(Math.random() * (to - from));
    const server = net.createServer();
    const isFree = await new Promise((resolve) => {
      server.once('listening', () => resolve(true)).once('error', () => resolve(false));
      server.listen(port, '127.0.0.1');
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** Waits for a program's first answer, and says so if it has ended instead. */
async function answers(what, child, url) {
  try {
    await until(`an answer of ${what}`, () => {
      if (child.exitCode !== null) throw new Error(`${what} ended with ${child.exitCode}`);
      return fetch(url, { signal: AbortSignal.timeout(PATIENCE) }).then(
        () => true,
        () => false,
      );
    });
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

function listens(socket) {
  return new Promise((resolve) => {
    const stream = net.connect(socket, () => resolve(true));
    stream.on('error', () => resolve(false));
    stream.on('connect', () => stream.destroy());
  });
}

export class Box {
  /**
   * `proxySecret` is what a reverse proxy on this machine has to send to be believed, `logoutUrl` where
   * it signs somebody out, `options` are more of control's; with `forge` there is an account at a
   * stand-in for GitHub.
   */
  static async start({ mode, proxySecret, logoutUrl, forge, options = [] } = {}) {
    const box = new Box();
    box.mode = mode;
    box.options = options;
    box.trust = proxySecret ? ['--trusted-proxies', '127.0.0.0/8'] : [];
    if (logoutUrl) box.trust.push('--logout-url', logoutUrl);
    box.root = mkdtempSync(path.join(tmpdir(), 'cib-web-'));
    for (const name of ['data/sessions', 'run/sessions', 'work', 'home']) {
      mkdirSync(path.join(box.root, name), { recursive: true });
    }
    const auth = { master_sha256: sha256(TOKEN) };
    if (proxySecret) auth.proxy_sha256 = sha256(proxySecret);
    writeFileSync(path.join(box.root, 'auth.json'), JSON.stringify(auth));
    box.keepers = new Set();
    await box.standIn();
    if (forge) await box.forgeStandIn();
    for (const name of ['run/files', 'claude']) mkdirSync(path.join(box.root, name));
    box.files = net
      .createServer({ pauseOnConnect: true }, (stream) => box.look(stream))
      .listen(path.join(box.root, 'run/files/files.sock'));
    box.init = net.createServer((line) => box.asked(line)).listen(path.join(box.root, 'run/init.sock'));
    box.port = await freePort();
    box.url = `http://127.0.0.1:${box.port}`;
    await box.control();
    return box;
  }

  async standIn() {
    const port = await freePort();
    this.api = `http://127.0.0.1:${port}`;
    const words = ['api', '--listen', `127.0.0.1:${port}`];
    this.model = spawn(path.join(programs, 'cib-testkit'), words, { stdio: 'ignore' });
    await answers('the stand-in', this.model, this.api);
  }

  /** A stand-in for GitHub, at which the box is `me`. */
  async forgeStandIn() {
    const port = await freePort();
    this.forge = `http://127.0.0.1:${port}`;
    const words = ['forge', '--listen', `127.0.0.1:${port}`, '--root', path.join(this.root, 'forge')];
    this.forges = spawn(path.join(programs, 'cib-testkit'), words, { stdio: 'ignore' });
    await answers('the forge', this.forges, this.forge);
    // As in an image; it may be there already.
    const helper = path.join(programs, 'git-remote-cib');
    if (!existsSync(helper)) symlinkSync('cib-control', helper);
    const token = 'ghp_0123456789abcdefghijABCDEFGHIJ012345';
    await this.kit('tokens', { token, login: 'me', scopes: ['repo'] });
    const account = { kind: 'github', url: this.forge, token };
    mkdirSync(path.join(this.root, 'run/control'), { recursive: true });
    writeFileSync(path.join(this.root, 'run/control/forges.json'), JSON.stringify({ forges: [account] }));
  }

  /** Tells the stand-in for forges something, or asks it. */
  async kit(what, body) {
    const how = body && { method: 'POST', body: JSON.stringify(body) };
    const answer = await fetch(`${this.forge}/_kit/${what}`, how ?? {});
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.message);
    return said;
  }

  /** Starts control, where it was before. */
  async control() {
    const place = (name) => path.join(this.root, name);
    const child = spawn(
      path.join(programs, 'cib-control'),
      [
        ...['--listen', `127.0.0.1:${this.port}`, '--auth', place('auth.json')],
        ...['--data-dir', place('data'), '--runtime-dir', place('run'), '--workdir-root', place('work')],
        ...['--web-dir', at('../../dist'), '--log-level', 'error'],
        ...(this.mode ? ['--mode', this.mode] : []),
        ...this.trust,
        ...this.options,
      ],
      { stdio: ['ignore', 'ignore', 'inherit'], env: {} },
    );
    this.process = child;
    await answers('control', child, `${this.url}/api/health`);
  }

  /** As a crash would: without a word to anybody. */
  async kill() {
    const gone = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await gone;
  }

  /** Starts what looks at files, as init does: one for each connection, which is its input. */
  look(stream) {
    const child = spawn(
      path.join(programs, 'cib-files'),
      [
        '--root',
        `workspace=${path.join(this.root, 'work')}`,
        '--root',
        `claude=${path.join(this.root, 'claude')}`,
        '--look',
        'box=/',
      ],
      { stdio: [stream, 'ignore', 'inherit'], env: { PATH: process.env.PATH, HOME: this.root } },
    );
    child.once('spawn', () => stream.destroy());
  }

  asked(stream) {
    let text = '';
    stream.on('error', () => undefined);
    stream.on('data', async (piece) => {
      text += piece;
      for (let end; (end = text.indexOf('\n')) >= 0;) {
        const request = JSON.parse(text.slice(0, end));
        text = text.slice(end + 1);
        stream.write(`${JSON.stringify(await this.answer(request))}\n`);
      }
    });
  }

  async answer(request) {
    switch (request.op) {
      case 'status':
        return {
          status: {
            version: '0.1.0',
            phase: 'up',
            uptime_ms: 5_400_000,
            egress: {
              summary: 'every packet leaves through 192.0.2.7:1080 or not at all',
              upstream: '192.0.2.7:1080',
              upstream_health: 'reachable',
              blocked: { udp: 12, direct: 3 },
            },
            steps: [],
            services: [{ name: 'control', state: 'ready', restarts: 0 }],
            sessions: [],
            warnings: [],
          },
        };
      case 'session_start':
        return this.keeper(request.spec);
      case 'session_signal':
        return 'done';
      case 'session_purge':
        rmSync(path.join(this.root, 'data/sessions', request.session), { recursive: true });
        return { session_purged: { freed: 4096 } };
      default:
        return { refused: { code: 'not_now', detail: 'this init only starts keepers' } };
    }
  }

  async keeper(spec) {
    const dir = path.join(this.root, 'data/sessions', spec.id);
    const runtime = path.join(this.root, 'run/sessions', spec.id);
    for (const name of [dir, runtime]) mkdirSync(name, { recursive: true });
    const journal = path.join(dir, 'transcript.jsonl');
    const child = spawn(
      path.join(programs, 'cib-session'),
      ['run', '--dir', dir, '--runtime', runtime, ...(claude ? ['--claude', claude] : [])],
      {
        stdio: ['pipe', 'ignore', 'inherit'],
        env: {
          PATH: process.env.PATH,
          HOME: path.join(this.root, 'home'),
          SHELL: '/bin/bash',
          ANTHROPIC_BASE_URL: this.api,
          ANTHROPIC_API_KEY: 'sk-ant-api03-a-key-for-tests-alone-000000000000',
        },
      },
    );
    this.keepers.add(child);
    child.once('exit', () => this.keepers.delete(child));
    child.stdin.end(JSON.stringify(spec));
    const ready = await until('the keeper', async () => {
      if (child.exitCode !== null) return 'ended';
      const begun = existsSync(journal) && readFileSync(journal, 'utf8').includes('\n');
      return begun && (await listens(path.join(runtime, 'keeper.sock'))) && 'ready';
    });
    return ready === 'ready'
      ? { session_started: { pid: child.pid } }
      : { refused: { code: 'keeper_failed', detail: 'the keeper ended' } };
  }

  /** The API as a program uses it. */
  async call(method, where, body) {
    const answer = await fetch(`${this.url}${where}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}` },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const said = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${said}`);
    return said ? JSON.parse(said) : null;
  }

  create(prompt, more = {}) {
    return this.call('POST', '/api/sessions', { prompt, ...this.workdir(), ...more });
  }

  workdir() {
    return { workdir: path.join(this.root, 'work') };
  }

  frames(id) {
    const text = readFileSync(path.join(this.root, 'data/sessions', id, 'transcript.jsonl'), 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole.split('\n').filter(Boolean).map(JSON.parse);
  }

  /** All that Claude said in a session, by its journal. */
  words(id, role = 'assistant') {
    return this.frames(id)
      .filter((frame) => frame.kind === 'text.delta' && frame.data.role === role)
      .map((frame) => frame.data.text)
      .join('');
  }

  /** The record of a session that has ended and never was. */
  record(data, { title = 'A record', state = 'stopped' } = {}) {
    const id = randomUUID();
    const dir = path.join(this.root, 'data/sessions', id);
    mkdirSync(dir, { recursive: true });
    const began = Date.now() - 600_000;
    const opening = {
      kind: 'meta',
      data: {
        title,
        driver: 'stream',
        model: 'claude-opus-5-5',
        permissionMode: 'default',
        workdir: path.join(this.root, 'work'),
        opening: { created_at: new Date(began).toISOString(), auth_mode: 'auto', limits: {} },
      },
    };
    const all = [
      opening,
      { kind: 'status', data: { state: 'starting', elapsed_ms: 0 } },
      { kind: 'status', data: { state: 'idle', elapsed_ms: 10 } },
      ...data,
      { kind: 'stop', data: { reason: 'exit', last: true, exit_code: 0 } },
      { kind: 'status', data: { state, elapsed_ms: 5 } },
    ];
    const lines = all.map((one, index) => {
      const ts = new Date(began + index * 20).toISOString();
      return JSON.stringify({ session: id, seq: index + 1, ts, ...one });
    });
    writeFileSync(path.join(dir, 'transcript.jsonl'), `${lines.join('\n')}\n`);
    return id;
  }

  async stop() {
    this.process.kill('SIGKILL');
    for (const child of this.keepers) child.kill('SIGTERM');
    await until('the end of the keepers', () => this.keepers.size === 0, 8000).catch(() => {
      for (const child of this.keepers) child.kill('SIGKILL');
    });
    this.model.kill('SIGKILL');
    this.forges?.kill('SIGKILL');
    this.init.close();
    this.files.close();
    try {
      rmSync(this.root, { recursive: true, force: true, maxRetries: 10 });
    } catch (error) {
      // A Claude whose keeper was killed may write there yet, which no test is about.
      console.error(`${this.root} stays: ${error}`);
    }
  }
}

/** A browser. One that did not come up in time is begun again, once: it is no claim of a test's. */
export async function launch() {
  // A box of a network, by a name that makes no secure context without TLS.
  const args = ['--no-sandbox', '--host-resolver-rules=MAP box.lan 127.0.0.1'];
  const how = { executablePath: '/usr/bin/chromium', args, timeout: PATIENCE };
  try {
    return await chromium.launch(how);
  } catch (error) {
    console.error(`the browser did not start: ${error}`);
    return chromium.launch(how);
  }
}

/** A page that keeps what went wrong on it: `wrongs` has to be empty at the end. */
export async function visit(
  browser,
  box,
  where = '/',
  { size = DESKTOP, phone = false, signedIn = true, ...more } = {},
) {
  const context = await browser.newContext({
    viewport: size,
    ...(phone ? { hasTouch: true, isMobile: true } : {}),
    reducedMotion: 'reduce',
    locale: 'en-GB',
    ...more,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const wrongs = [];
  page.on('pageerror', (error) => wrongs.push(`error: ${error.stack ?? error}`));
  page.on('console', (message) => {
    const text = message.text();
    // The browser tells of every answer that is no success, and of lines that break.
    if (/Failed to load resource|WebSocket connection to|Cross-Origin-Opener-Policy/.test(text)) return;
    // Contexts of the tests are such, and have no push service.
    if (/does not support the Push API in incognito mode/.test(text)) return;
    if (['error', 'warning'].includes(message.type())) wrongs.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== box.url && !['data:', 'blob:'].includes(url.protocol))
      wrongs.push(`request: ${url.href}`);
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  page.wrongs = wrongs;
  await page.goto(`${box.url}${where}${signedIn ? `#token=${TOKEN}` : ''}`);
  // The address has lost the token by now: whoever leaves before the box has taken it is a stranger.
  if (signedIn) await page.waitForFunction(() => globalThis.localStorage.getItem('cib.proof') !== null);
  return page;
}

const axe = readFileSync(at('../../node_modules/axe-core/axe.min.js'), 'utf8');

/** What axe finds on a page. */
export async function axeFinds(page) {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],
    });
    return violations.map(
      (one) =>
        `${one.id}: ${one.nodes.map((node) => `${node.html} (${node.any[0]?.message ?? node.all[0]?.message ?? ''})`).join(' | ')}`,
    );
  });
}

/** Whether a page is wider than it was told to be, once it had time to be laid out for that. */
export async function overflow(page, width) {
  const deadline = Date.now() + 5000;
  for (;;) {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide <= width || Date.now() > deadline) return Math.max(0, wide - width);
    await pause(25);
  }
}

export async function shot(page, name) {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
}
