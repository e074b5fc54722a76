import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { generate, written } from '../../scripts/api.mjs';
import { pieces } from '../../src/lib/ansi';
import { lines } from '../../src/lib/diff';
import { bytes, count, duration, money, visible } from '../../src/lib/format';
import { isSubmit } from '../../src/lib/keys';
import { openable, settled } from '../../src/lib/markdown';
import { between, marks } from '../../src/lib/marks';
import { rank } from '../../src/lib/match';
import { Pump } from '../../src/lib/pump';
import { control } from '../../src/lib/terminal-keys';
import type { Row } from '../../src/lib/rows';
import { outputText, telling } from '../../src/lib/tools';
import { touched } from '../../src/lib/touched';
import { above, atEnd, below, MOST } from '../../src/lib/window';
import { en } from '../../src/lib/words/en';
import * as compose from '../../src/lib/words/parts/compose';
import * as notify from '../../src/lib/words/parts/notify';
import * as search from '../../src/lib/words/parts/search';
import * as usage from '../../src/lib/words/parts/usage';
import { zh } from '../../src/lib/words/zh';

const file = (name: string) => readFileSync(fileURLToPath(new URL(name, import.meta.url)), 'utf8');

// It compiles the whole document, which takes its time on a machine that is busy.
test('the types are those of the API that the box has', async () => {
  expect(readFileSync(written, 'utf8')).toBe(await generate());
}, 60_000);

test('the lock file names no registry and holds what every builder needs', () => {
  const lock = file('../../package-lock.json');
  expect(lock).not.toMatch(/https?:\/\/[^"]*\.tgz/);
  for (const platform of ['linux-x64-gnu', 'linux-arm64-gnu', 'linux-arm-gnueabihf']) {
    expect(lock).toContain(`@rolldown/binding-${platform}"`);
  }
});

test('Enter sends, and not when it ends a composition or begins a line', () => {
  const enter = { key: 'Enter', shiftKey: false, isComposing: false, keyCode: 13 };
  expect(isSubmit(enter)).toBe(true);
  expect(isSubmit({ ...enter, isComposing: true })).toBe(false);
  expect(isSubmit({ ...enter, keyCode: 229 })).toBe(false);
  expect(isSubmit({ ...enter, shiftKey: true })).toBe(false);
  expect(isSubmit({ ...enter, key: 'a' })).toBe(false);
});

test('only addresses that a person would follow can be opened', () => {
  for (const good of ['https://example.com/a', 'http://x', 'mailto:a@b.c'])
    expect(openable(good)).not.toBeNull();
  for (const bad of [
    'javascript:alert(1)',
    'JaVaScRiPt:1',
    'data:text/html,x',
    '//x',
    '/x',
    'file:///x',
    '',
  ]) {
    expect(openable(bad), bad).toBeNull();
  }
});

test('a growing text is settled behind its last blank line outside a fence', () => {
  expect(settled('one')).toBe(0);
  expect(settled('one\n\ntwo')).toBe(5);
  expect(settled('one\n\n```\ncode\n\nmore')).toBe(5);
  const closed = 'one\n\n```\ncode\n\nmore\n```\n\n';
  expect(settled(closed)).toBe(closed.length);
  expect(settled('````\n```\n\n')).toBe(0);
});

test('words that would turn others around are shown', () => {
  expect(visible('a\u202eb\u0007')).toBe('a⟦U+202E⟧b⟦U+0007⟧');
  expect(visible('tabs\tand\nlines')).toBe('tabs\tand\nlines');
});

test('output keeps its colours and loses what a terminal would obey', () => {
  const found = pieces(
    '\u001b[1;31mred\u001b[0m plain \u001b]0;title\u0007\u001b[2Jend\u001b]8;;https://x\u001b\\link',
  );
  expect(found.map(({ text, style }) => [text, style])).toEqual([
    ['red', 'ansi-bold ansi-fg-1'],
    [' plain ', ''],
    ['end', ''],
    ['link', ''],
  ]);
  expect(pieces('10%\r20%\rdone\r\nnext').map((one) => one.text)).toEqual(['done\nnext']);
});

test('an edit is told line by line', () => {
  expect(lines('a\nb\nc\n', 'a\nB\nc\n').map(({ mark, text }) => mark + text)).toEqual([
    ' a',
    '-b',
    '+B',
    ' c',
  ]);
  expect(lines('', 'x\n')).toEqual([{ mark: '+', text: 'x', old: null, new: 1 }]);
});

test('a call is told by what it is about', () => {
  expect(telling({ tool: 'Bash', input: { command: 'ls', description: 'x' } })).toBe('ls');
  expect(telling({ tool: 'Read', input: { file_path: '/a', offset: 7 } })).toBe('/a:7');
  expect(telling({ tool: 'mcp__x', input: { n: 1, name: 'y' } })).toBe('y');
  expect(outputText([{ type: 'text', text: 'a' }, { type: 'image' }])).toBe('a\n[image]');
});

test('things are found by beginnings, parts and initials', () => {
  const items = ['Fix the parser', 'New session', 'Settings'].map((label) => ({ label, hint: '' }));
  expect(rank(items, 'se').at(-1)?.label).toBe('Fix the parser');
  expect(rank(items, 'ftp').map((one) => one.label)).toEqual(['Fix the parser']);
  expect(rank(items, 'zzz')).toEqual([]);
});

test('the window moves over all rows and is never large', () => {
  let range = atEnd(1000);
  while (range.start > 0) {
    range = above(range);
    expect(range.end - range.start).toBeLessThanOrEqual(MOST);
  }
  while (range.end < 1000) range = below(range, 1000);
  expect(range.end).toBe(1000);
  expect(atEnd(5)).toEqual({ start: 0, end: 5 });
});

test('what a terminal is given comes in its order, and never more than it can take', () => {
  const written: number[] = [];
  const waiting: (() => void)[] = [];
  let flying = 0;
  const pump = new Pump(
    (piece, done) => {
      flying += piece.length;
      expect(flying).toBeLessThanOrEqual(320 * 1024);
      written.push(...piece.filter((_, index) => index % 1000 === 0));
      waiting.push(() => {
        flying -= piece.length;
        done();
      });
    },
    (work) => work(),
  );
  let total = 0;
  for (let n = 0; n < 100; n += 1) {
    pump.push(new Uint8Array(10_000).fill(n));
    total += 10_000;
  }
  while (waiting.length) waiting.shift()?.();
  expect(written.length).toBeGreaterThan(total / 1100);
  expect(written).toEqual([...written].sort((a, b) => a - b));
});

test('keys are the bytes that a terminal sends', () => {
  expect(control('c')).toBe('\u0003');
  expect(control('\u001b[A')).toBe('\u001b[1;5A');
  expect(control('1')).toBe('1');
});

test('numbers read as people write them', () => {
  expect([duration(40), duration(1500), duration(61_000), duration(7_200_000)]).toEqual([
    '40 ms',
    '1.5 s',
    '1 m 1 s',
    '2 h 0 m',
  ]);
  expect([bytes(12), bytes(4096), bytes(52_000_000)]).toEqual(['12 B', '4.1 kB', '52 MB']);
  expect([count(999), count(12_400), money(0.004), money(12.345)]).toEqual(['999', '12k', '<$0.01', '$12.3']);
});

test('both languages have the same things put in', () => {
  const holes = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((found) => found[0]).sort();
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    expect(holes(zh[key]), key).toEqual(holes(en[key]));
    expect(zh[key].trim(), key).not.toBe('');
  }
  for (const part of [compose, notify, search, usage] as Record<'en' | 'zh', Record<string, string>>[]) {
    expect(Object.keys(part.zh).sort()).toEqual(Object.keys(part.en).sort());
    for (const [key, words] of Object.entries(part.en)) {
      expect(holes(part.zh[key] ?? ''), key).toEqual(holes(words));
      expect(part.zh[key]?.trim(), key).not.toBe('');
    }
  }
});

test('the words that changed within a line are marked, and none where a line is another one', () => {
  const cut = (text: string, parts: [number, number][]) => parts.map(([from, to]) => text.slice(from, to));
  const [before, after] = ['let total = price * count;', 'let total = price * amount + 1;'];
  const [out, fresh] = between(before, after) ?? [[], []];
  expect(cut(before, out)).toEqual(['count']);
  expect(cut(after, fresh)).toEqual(['amount + 1']);
  // By the character where words have no spaces between them.
  expect(between('删除会话', '结束会话')).toEqual([[[0, 2]], [[0, 2]]]);
  expect(between('use std::io;', 'a quite different line')).toBeNull();
  expect(between('x'.repeat(2000), 'x')).toBeNull();
  // Places are those of what is shown, in which marks that turn text around have names.
  const line = (mark: '-' | '+', text: string) => ({ mark, text, old: null, new: null });
  const turned = marks([line('-', 'a\u202eb = 1'), line('+', 'a\u202eb = 2')]);
  expect(turned.get(0)).toEqual([[13, 14]]);
  const found = marks(lines('same\none two\nthree\nend', 'same\none too\nend'));
  expect([...found]).toEqual([
    [1, [[4, 7]]],
    [3, [[4, 7]]],
  ]);
});

test('files that were written to are told, the last first, and none of a call that failed', () => {
  const call = (tool: string, path: unknown, more: object = {}) =>
    ({
      kind: 'tool',
      tool,
      input: { file_path: path },
      state: 'ok',
      children: [],
      ...more,
    }) as unknown as Row;
  const agent = call('Task', undefined, { children: [call('Write', '/w/b'), call('Edit', '/w/a')] });
  const rows = [
    call('Edit', '/w/a'),
    call('Read', '/w/r'),
    call('Edit', 7),
    call('constructor', '/w/x'),
    call('Write', '/w/failed', { state: 'error' }),
    agent,
  ];
  expect(touched(rows)).toEqual([
    { path: '/w/a', times: 2 },
    { path: '/w/b', times: 1 },
  ]);
});
