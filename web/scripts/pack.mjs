// What `vite build` left in dist, as control serves it: each file in two codings, and the table
// of them. Sizes are held against budget.json, and the build fails when one is exceeded.
import { createHash } from 'node:crypto';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const budgets = JSON.parse(await readFile(new URL('../budget.json', import.meta.url), 'utf8'));

const MEDIA = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function coded(file, bytes) {
  await writeFile(path.join(dist, file), bytes);
  return { file, size: bytes.length, sha256: digest(bytes) };
}

const entries = [];
const names = (await readdir(dist, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => path.relative(dist, path.join(entry.parentPath, entry.name)))
  .filter((name) => !/\.(br|gz)$/.test(name) && name !== 'index.html' && name !== 'manifest.json')
  .sort();
for (const name of names) {
  const media = MEDIA[path.extname(name)];
  if (!media) throw new Error(`${name}: scripts/pack.mjs does not know this kind of file`);
  const bytes = await readFile(path.join(dist, name));
  const best = {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
  };
  // gzip's header holds a time and a system; zlib writes neither here, so two builds are alike.
  entries.push({
    path: `/${name}`,
    media,
    immutable: name.startsWith('assets/'),
    br: await coded(`${name}.br`, brotliCompressSync(bytes, best)),
    gzip: await coded(`${name}.gz`, gzipSync(bytes, { level: 9 })),
  });
  await rm(path.join(dist, name));
}
await writeFile(path.join(dist, 'manifest.json'), `${JSON.stringify({ files: entries }, null, 1)}\n`);

// A chunk's name without the digest, so that its budget outlives its content.
const chunk = (name) => name.replace(/^\/(assets\/)?/, '').replace(/-[\w-]{8}(\.\w+)$/, '$1');
const html = await readFile(path.join(dist, 'index.html'), 'utf8');
const sizes = new Map();
const add = (key, entry) => {
  const sum = sizes.get(key) ?? { br: 0, gzip: 0 };
  sizes.set(key, { br: sum.br + entry.br.size, gzip: sum.gzip + entry.gzip.size });
};
for (const entry of entries) {
  add('all', entry);
  if (html.includes(`"${entry.path}"`)) add('first load', entry);
  if (entry.path.startsWith('/assets/')) add(chunk(entry.path), entry);
}
let failed = false;
for (const [key, size] of [...sizes].sort(([, a], [, b]) => b.br - a.br)) {
  const budget = budgets[key];
  const over = budget && (size.br > budget.br * 1.05 || size.gzip > budget.gzip * 1.05);
  const unknown = !budget && size.br > budgets['a chunk without a budget'].br;
  failed ||= Boolean(over || unknown);
  console.log(
    `${over || unknown ? 'TOO LARGE' : '         '} ${key.padEnd(28)} ${String(size.br).padStart(7)} br ${String(size.gzip).padStart(7)} gz` +
      (budget ? `  (budget ${budget.br} br, ${budget.gzip} gz, and 5 per cent)` : ''),
  );
}
if (failed) {
  console.error('The pages are larger than budget.json allows: make them smaller, or argue the budget.');
  process.exit(1);
}
