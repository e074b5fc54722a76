// A fold that begins mid-way: whatever the place at which a journal is cut, putting the parts
// together gives what the whole gives.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Data, Frame } from '../../src/api/types';
import { Fold } from '../../src/lib/fold';
import type { Row } from '../../src/lib/rows';

const golden = fileURLToPath(new URL('../../../session/tests/golden/', import.meta.url));

function frames(data: Data[]): Frame[] {
  return data.map((one, index) => ({
    ...one,
    session: '00000000-0000-0000-0000-000000000000',
    seq: index + 1,
    ts: new Date(1_700_000_000_000 + index * 1000).toISOString(),
  }));
}

function fold(part: Frame[], isMidway: boolean): Fold {
  const made = new Fold();
  made.isMidway = isMidway;
  for (const frame of part) made.add(frame);
  return made;
}

/** Folds the parts, the last first, as a page does that is opened at its end. */
function joined(all: Frame[], cuts: number[]): Fold {
  const edges = [...cuts, all.length];
  let live: Fold | null = null;
  while (edges.length) {
    const end = edges.pop() ?? 0;
    const start = edges.at(-1) ?? 0;
    const part = fold(all.slice(start, end), start > 0);
    if (live) live.prepend(part);
    else live = part;
  }
  return live ?? new Fold();
}

/** What is shown of a row. The first seq of a message in two parts is that of its second. */
function shown(row: Row): unknown {
  const same = { ...row, key: '', seq: 0, ts: 0 };
  return 'children' in same ? { ...same, children: same.children.map(shown) } : same;
}

function picture(made: Fold): unknown {
  return {
    rows: made.rows.map(shown),
    state: made.state,
    stateSince: made.stateSince,
    workingSince: made.workingSince,
    title: made.title,
    model: made.model,
    effort: made.effort,
    permission: made.permission,
    driver: made.driver,
    workdir: made.workdir,
    todos: made.todos,
    running: [...made.running.keys()],
    open: [...made.open.keys()],
    usage: { ...made.usage, cost_usd: Math.round((made.usage.cost_usd ?? 0) * 1e9) },
    lastTurn: made.lastTurn,
    turns: made.turns,
    hooks: made.hooks,
    hookCount: made.hookCount,
    timeline: made.timeline,
    taken: [...made.taken].toSorted(),
    frames: made.frames,
  };
}

/** Numbers that look random and are the same each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 + 1;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

/** A journal of everything, in an order that no keeper would think of. */
function made(seed: number, length: number): Data[] {
  const pick = numbers(seed);
  const data: Data[] = [
    {
      kind: 'meta',
      data: { opening: true, model: 'm0', permissionMode: 'default', driver: 'stream' },
    } as unknown as Data,
  ];
  const asked: string[] = [];
  let calls = 0;
  let message = 0;
  while (data.length < length) {
    const agent = calls && pick(4) === 0 ? { parent_tool_use_id: `t${1 + pick(calls)}` } : null;
    const text = (role: 'assistant' | 'user') =>
      ({
        kind: 'text.delta',
        data: { text: `w${data.length} `, role, message_id: `m${message}`, agent },
      }) as Data;
    const one = pick(16);
    if (one === 0 && asked.length && pick(2))
      data.push({
        kind: 'ask.answer',
        data: { id: asked.splice(pick(asked.length), 1)[0], answers: pick(2) ? { q: 'a' } : null, by: 'ann' },
      } as unknown as Data);
    else if (one < 4) data.push(text('assistant'));
    else if (one < 5)
      data.push({
        kind: 'thinking',
        data: { text: `h${data.length}`, message_id: `m${message}`, agent },
      } as Data);
    else if (one < 6) message += 1;
    else if (one < 8) {
      calls += 1;
      data.push({
        kind: 'tool.use.start',
        data: { tool_use_id: `t${calls}`, tool: 'Bash', input: {}, agent },
      } as Data);
    } else if (one < 10 && calls)
      data.push({
        kind: 'tool.use.result',
        data: {
          tool_use_id: `t${1 + pick(calls)}`,
          tool: 'Bash',
          output: `o${data.length}`,
          is_error: pick(3) === 0,
        },
      } as Data);
    else if (one < 11)
      data.push({
        kind: 'usage',
        data: { input: pick(9), output: 1, cache_read: 0, cache_write: 0, cost_usd: pick(9) / 8 },
      } as Data);
    else if (one < 13) {
      const state = (['working', 'waiting_for_input', 'idle'] as const)[pick(3)];
      data.push({ kind: 'status', data: { state, elapsed_ms: 1 } } as Data);
      if (state === 'waiting_for_input') {
        asked.push(`q${data.length}`);
        data.push({
          kind: 'ask.question',
          data: { id: `q${data.length}`, questions: [], tool_use_id: calls ? `t${1 + pick(calls)}` : null },
        } as unknown as Data);
      }
    } else if (one < 14)
      data.push({
        kind: 'todo.update',
        data: { items: [{ id: `${data.length}`, subject: 's', status: 'pending' }] },
      } as Data);
    else if (one < 15) {
      message += 1;
      data.push({
        kind: 'stop',
        data: { reason: 'turn_end', last: pick(5) === 0, messages: [`u${data.length}`] },
      } as Data);
      if (pick(2)) data.push({ kind: 'meta', data: { model: `m${pick(3)}`, title: `t${pick(3)}` } } as Data);
      if (pick(3) === 0) data.push({ kind: 'meta', data: { effort: pick(2) ? 'low' : 'high' } } as Data);
      if (pick(3) === 0)
        data.push({
          kind: 'meta',
          data: { opening: true, driver: pick(2) ? 'tty' : 'stream' },
        } as unknown as Data);
    } else
      data.push({
        kind: 'hook',
        data: {
          name: 'h',
          event: 'PreToolUse',
          payload: {},
          result: { exit_code: pick(2) * 2, stderr: 'no' },
        },
      } as Data);
  }
  return data;
}

describe('a journal in parts', () => {
  test('is what it is in one piece, wherever a real one is cut', () => {
    for (const file of readdirSync(golden)) {
      const data = readFileSync(golden + file, 'utf8')
        .trim()
        .split('\n');
      const all = frames(data.map((line) => JSON.parse(line) as Data));
      const whole = picture(fold(all, false));
      for (let cut = 1; cut < all.length; cut += 1)
        expect(picture(joined(all, [cut])), `${file} cut at ${cut}`).toEqual(whole);
    }
  });

  test('is what it is in one piece, whatever is in it and however many parts there are', () => {
    for (let seed = 1; seed <= 150; seed += 1) {
      const all = frames(made(seed, 60));
      const whole = picture(fold(all, false));
      const pick = numbers(seed + 1000);
      for (let times = 0; times < 12; times += 1) {
        const cuts = Array.from({ length: 1 + pick(4) }, () => 1 + pick(all.length - 1));
        const sorted = [...new Set(cuts)].toSorted((a, b) => a - b);
        expect(picture(joined(all, sorted)), `seed ${seed} cut at ${sorted.join()}`).toEqual(whole);
      }
    }
  });

  test('says of a message that its beginning is not there yet, until it is', () => {
    const said = (text: string): Data => ({
      kind: 'text.delta',
      data: { text, role: 'assistant', message_id: 'm' },
    });
    const all = frames([said('one '), said('two '), said('three')]);
    const live = fold(all.slice(2), true);
    expect(live.rows).toMatchObject([{ text: 'three', isCut: true }]);
    const row = live.rows[0];
    live.touched.clear();
    live.prepend(fold(all.slice(1, 2), true));
    expect(live.rows).toMatchObject([{ text: 'two three', isCut: true }]);
    live.prepend(fold(all.slice(0, 1), false));
    expect(live.rows).toMatchObject([{ text: 'one two three', isCut: false }]);
    // The row that somebody may be reading is still the same, and is drawn anew.
    expect(live.rows[0]).toBe(row);
    expect(live.touched.has(row as Row)).toBe(true);
  });
});
