import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Data, Frame } from '../../src/api/types';
import { Fold } from '../../src/lib/fold';
import type { Row, ToolRow } from '../../src/lib/rows';

const golden = fileURLToPath(new URL('../../../session/tests/golden/', import.meta.url));

function frames(data: Data[]): Frame[] {
  return data.map((one, index) => ({
    ...one,
    session: '00000000-0000-0000-0000-000000000000',
    seq: index + 1,
    ts: new Date(1_700_000_000_000 + index * 1000).toISOString(),
  }));
}
function folded(data: Data[]): Fold {
  const fold = new Fold();
  for (const frame of frames(data)) fold.add(frame);
  return fold;
}
const journal = (name: string): Data[] =>
  readFileSync(`${golden}${name}.jsonl`, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Data); // prettier-ignore
const kinds = (rows: Row[]) => rows.map((row) => row.kind);
const said = (text: string, id = 'm', role: 'assistant' | 'user' = 'assistant'): Data => ({
  kind: 'text.delta',
  data: { text, role, message_id: id },
});
const status = (state: 'idle' | 'working' | 'waiting_for_input'): Data => ({
  kind: 'status',
  data: { state, elapsed_ms: 1 },
});

describe('real journals', () => {
  test('every kind of frame that the box has recorded is folded without a loss', () => {
    for (const file of readdirSync(golden)) {
      const data = journal(file.replace('.jsonl', ''));
      const fold = folded(data);
      expect(fold.seq, file).toBe(data.length);
      const words = data.filter((one) => one.kind === 'text.delta').map((one) => one.data.text);
      const shown: string[] = [];
      const collect = (rows: Row[]) => {
        for (const row of rows) {
          if (row.kind === 'text' || row.kind === 'user') shown.push(row.text);
          if (row.kind === 'tool') collect(row.children);
        }
      };
      collect(fold.rows);
      expect(shown.join('').length, file).toBe(words.join('').length);
    }
  });

  test('pieces of a message are one row, and a subagent lies in the row of its call', () => {
    expect(kinds(folded(journal('golden_bidi')).rows).slice(0, 4)).toEqual(['user', 'text', 'turn', 'user']);
    const agent = folded(journal('p_agent')).rows.find((row): row is ToolRow => row.kind === 'tool');
    expect(agent?.tool).toBe('Agent');
    expect(kinds(agent?.children ?? [])).toEqual(['user', 'text', 'tool', 'text']);
  });

  test('the list of things to do is the last one that was told', () => {
    const { todos } = folded(journal('p_todo'));
    expect(todos.map((todo) => todo.status)).toEqual(['completed', 'completed']);
  });

  test('a hook that forbids is a note in the conversation', () => {
    const fold = folded(journal('hook_deny_and_stop'));
    expect(fold.hooks.at(-1)?.blocked).toBe(true);
    expect(fold.rows.some((row) => row.kind === 'note' && row.what === 'hook')).toBe(true);
  });
});

test('one frame touches one row', () => {
  const fold = folded([status('working'), said('a'), said('b', 'n'), said('c', 'n')]);
  fold.touched.clear();
  fold.add({ ...said('d', 'n'), seq: 5, ts: '2026-01-01T00:00:00Z', session: '' });
  expect([...fold.touched]).toEqual([fold.rows[1]]);
  expect(fold.rows.map((row) => 'text' in row && row.text)).toEqual(['a', 'bcd']);
});

test('a frame that comes twice is taken once', () => {
  const fold = new Fold();
  for (const frame of frames([said('a'), said('b')])) {
    fold.add(frame);
    fold.add(frame);
  }
  expect(fold.rows.map((row) => 'text' in row && row.text)).toEqual(['ab']);
});

const ask = (id: string, call: string): Data => ({
  kind: 'ask.question',
  data: {
    id,
    prompt: 'Which?',
    options: [],
    multiSelect: false,
    questions: [{ question: 'Which?' }],
    tool: 'Bash',
    tool_use_id: call,
  },
});

test('of two open questions the one whose call returned is closed, and the other stays', () => {
  const result: Data = { kind: 'tool.use.result', data: { tool_use_id: 't1', output: '', is_error: false } };
  const two = [status('working'), ask('q1', 't1'), ask('q2', 't2'), status('waiting_for_input')];
  expect([...folded([...two, result]).open.keys()]).toEqual(['q2']);
  expect([...folded([...two, status('working')]).open.keys()]).toEqual([]);
});

test('what a turn cost and took stands at its end', () => {
  const usage: Data = {
    kind: 'usage',
    data: { input: 1, output: 2, cache_read: 3, cache_write: 4, cost_usd: 0.5 },
  };
  const stop: Data = { kind: 'stop', data: { reason: 'turn_end', last: false } };
  const fold = folded([
    status('working'),
    said('a'),
    usage,
    stop,
    status('idle'),
    status('working'),
    usage,
    stop,
  ]);
  const turns = fold.rows.filter((row) => row.kind === 'turn');
  expect(turns.map((turn) => [turn.durationMs, turn.usage?.cost_usd])).toEqual([
    [3000, 0.5],
    [2000, 0.5],
  ]);
  expect(fold.usage.cost_usd).toBe(1);
  expect(fold.turns).toBe(2);
});

test('a hundred thousand frames are folded in a moment', () => {
  const fold = new Fold();
  const many = frames(Array.from({ length: 100_000 }, (_, n) => said('word ', `m${n >> 5}`)));
  const begun = performance.now();
  for (const frame of many) fold.add(frame);
  expect(performance.now() - begun).toBeLessThan(5000);
  expect(fold.rows.length).toBe(3125);
});
