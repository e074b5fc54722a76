// Reverse proxies in front of a box, with the configuration that deploy/ ships, and a client that
// says exactly what it is told to.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, until } from './kit.mjs';

const shipped = (name) =>
  readFileSync(fileURLToPath(new URL(`../../../deploy/${name}`, import.meta.url)), 'utf8');

/** What the doors and the boxes behind them share. */
export const SECRET = 'between-the-door-and-the-box';

/** Sends one request, its headers as they are written. Resolves with the answer, its body unread. */
export function send(url, { method = 'GET', headers = {}, body, from } = {}) {
  const { request } = url.startsWith('https:') ? https : http;
  return new Promise((resolve, reject) => {
    const options = { method, headers, localAddress: from, rejectUnauthorized: false, agent: false };
    const sent = request(url, options, resolve);
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Sends one request and reads the whole of its answer. */
export async function ask(url, options) {
  const answer = await send(url, options);
  let text = '';
  for await (const piece of answer) text += piece;
  return { status: answer.statusCode, headers: answer.headers, text };
}

class Door {
  constructor() {
    this.root = mkdtempSync(path.join(tmpdir(), 'cib-door-'));
  }

  place(name, text) {
    const file = path.join(this.root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    if (text !== undefined) writeFileSync(file, text);
    return file;
  }

  async start(program, args, env = {}) {
    let said = '';
    this.process = spawn(program, args, { env: { PATH: process.env.PATH, HOME: this.root, ...env } });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', (piece) => (said += piece));
    }
    await until(`${program} answers`, () => {
      if (this.process.exitCode !== null) throw new Error(`${program} ended: ${said}`);
      return ask(this.url, {}).then(
        () => true,
        () => false,
      );
    });
  }

  async stop(signal = 'SIGTERM') {
    const gone = new Promise((resolve) => this.process.once('exit', resolve));
    if (this.process.exitCode === null) {
      this.process.kill(signal);
      await gone;
    }
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }
}

export async function nginx(box) {
  const door = new Door();
  const [port, plain] = [await freePort(), await freePort()];
  const [key, certificate] = [door.place('key.pem'), door.place('certificate.pem')];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=localhost', '-keyout', key, '-out', certificate],
    ],
    { stdio: 'ignore' },
  );
  const values = {
    CIB_SERVER_NAME: 'localhost',
    CIB_UPSTREAM: `127.0.0.1:${box.port}`,
    CIB_HTTP_PORT: plain,
    CIB_HTTPS_PORT: port,
    CIB_TLS_CERTIFICATE: certificate,
    CIB_TLS_KEY: key,
    CIB_TRUSTED_PROXY_SECRET: SECRET,
  };
  const site = shipped('nginx.conf.template').replace(/\$\{(CIB_\w+)\}/g, (whole, name) => {
    if (!(name in values)) throw new Error(`the template wants ${whole}`);
    return values[name];
  });
  door.place('site.conf', site);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${door.place(name)};`,
  );
  const main = door.place(
    'nginx.conf',
    `user root; pid ${door.place('pid')}; error_log stderr warn; events {}
     http { ${temporary.join(' ')} include ${door.place('site.conf')}; }`,
  );
  door.url = `https://localhost:${port}`;
  door.plain = `http://localhost:${plain}`;
  await door.start('nginx', ['-p', door.root, '-c', main, '-g', 'daemon off;']);
  return door;
}

export async function caddy(box) {
  const door = new Door();
  door.url = `http://localhost:${await freePort()}`;
  // Asked to end, it waits for those who may come back; and it has nothing to put away.
  const stop = door.stop.bind(door);
  door.stop = () => stop('SIGKILL');
  // Its own authority for names that are not public would have to be trusted; TLS is not what is
  // tried here.
  const main = door.place('Caddyfile', `{\n\tadmin off\n}\n\n${shipped('Caddyfile')}`);
  await door.start('caddy', ['run', '--adapter', 'caddyfile', '--config', main], {
    CIB_SERVER_NAME: door.url,
    CIB_UPSTREAM: `127.0.0.1:${box.port}`,
    CIB_TRUSTED_PROXY_SECRET: SECRET,
  });
  return door;
}

const MODULES = [
  ...['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'auth_openidc'],
  ...['headers', 'proxy', 'proxy_http', 'proxy_wstunnel', 'setenvif'],
];

/** With a provider at `metadata`, of which `user` may use the box. */
export async function apache(box, port, { metadata, client, secret, user }) {
  const door = new Door();
  door.url = `http://localhost:${port}`;
  const values = {
    CIB_URL: door.url,
    CIB_UPSTREAM: `127.0.0.1:${box.port}`,
    CIB_TRUSTED_PROXY_SECRET: SECRET,
    CIB_OIDC_METADATA: metadata,
    CIB_OIDC_CLIENT_ID: client,
    CIB_OIDC_CLIENT_SECRET: secret,
    CIB_OIDC_PASSPHRASE: 'of-the-sessions-of-this-test',
    CIB_OIDC_USER: user,
  };
  const lines = [
    `ServerRoot ${door.root}`,
    'ServerName localhost',
    `PidFile ${door.place('pid')}`,
    `ErrorLog ${door.place('error.log')}`,
    `Listen 127.0.0.1:${port}`,
    ...MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`),
    'User www-data',
    'Group www-data',
    ...Object.entries(values).map(([name, value]) => `Define ${name} ${value}`),
    `<VirtualHost *:${port}>`,
    shipped('apache-oidc.conf'),
    '</VirtualHost>',
  ];
  const main = door.place('apache.conf', `${lines.join('\n')}\n`);
  await door.start('apache2', ['-f', main, '-DFOREGROUND']);
  return door;
}
