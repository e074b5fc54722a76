import { describe, expect, test, vi } from 'vitest';
import type { Frame } from '../../src/api/types';
import { Connection, type LinkStatus, type Options, type World } from '../../src/lib/connection';

/** A journal, and sockets that break when a test wants them to. */
class Stage implements World {
  frames: Frame[] = [];
  sockets: Fake[] = [];
  asked: string[] = [];
  hidden = false;
  status = 200;
  now = () => Date.now();
  random = () => 0.5;
  isHidden = () => this.hidden;
  soon = (work: () => void) => void setTimeout(work, 0);
  fetch = ((address: string) => {
    const url = new URL(address);
    this.asked.push(url.search);
    if (this.status !== 200) return Promise.resolve(new Response('{}', { status: this.status }));
    const before = Number(url.searchParams.get('before'));
    if (before) return Promise.resolve(this.earlier(before, Number(url.searchParams.get('limit'))));
    const from = Number(url.searchParams.get('from'));
    const limit = Number(url.searchParams.get('limit'));
    const frames = this.frames.filter((frame) => frame.seq > from).slice(0, limit);
    const next = frames.at(-1)?.seq ?? from;
    const page = { id: '', frames, next, last_seq: this.frames.length };
    const answer = () => new Response(JSON.stringify(page));
    if (!frames.length && url.searchParams.has('wait_ms')) {
      return new Promise((resolve) => setTimeout(() => resolve(answer()), 20));
    }
    return Promise.resolve(answer());
  }) as typeof fetch;
  private earlier(before: number, limit: number): Response {
    const all = this.frames.filter((frame) => frame.seq < before);
    const frames = all.slice(-limit);
    const previous = all.length > frames.length ? (frames[0]?.seq ?? 0) : 0;
    const last_seq = this.frames.length;
    return new Response(
      JSON.stringify({ id: '', frames, next: Math.min(last_seq, before - 1), previous, last_seq }),
    );
  }
  socket = (url: string, protocols: string[]) => {
    const made = new Fake(this, url, protocols);
    this.sockets.push(made);
    return made as unknown as WebSocket;
  };
  grow(count: number) {
    for (let n = 0; n < count; n += 1) this.frames.push(frame(this.frames.length + 1));
    for (const socket of this.sockets) socket.pump();
  }
}

class Fake {
  readyState = 0;
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  sent: string[] = [];
  private at: number;
  constructor(
    private readonly stage: Stage,
    readonly url: string,
    readonly protocols: string[],
  ) {
    this.at = Number(new URL(url).searchParams.get('from'));
    setTimeout(() => {
      if (this.readyState !== 0) return;
      this.readyState = 1;
      this.onopen?.();
      this.pump();
    }, 1);
  }
  pump() {
    if (this.readyState !== 1) return;
    const frames = this.stage.frames.filter((one) => one.seq > this.at);
    this.at = frames.at(-1)?.seq ?? this.at;
    if (frames.length) this.onmessage?.({ data: frames.map((one) => JSON.stringify(one)).join('\n') });
  }
  send(text: string) {
    this.sent.push(text);
  }
  close(code = 1006) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

function frame(seq: number): Frame {
  return { kind: 'text.delta', data: { text: `${seq} ` }, session: '', seq, ts: '2026-01-01T00:00:00Z' };
}

function follow(stage: Stage, options: Partial<Options> = {}) {
  const seqs: number[] = [];
  const states: LinkStatus[] = [];
  const connection = new Connection(
    {
      path: '/api/sessions/x',
      origin: 'http://box',
      proof: () => 'a-proof',
      onFrames: (frames) => seqs.push(...frames.map((one) => one.seq)),
      onStatus: (status) => states.push(status),
      ...options,
    },
    stage,
  );
  connection.start();
  return { connection, seqs, states };
}

const upTo = (n: number) => Array.from({ length: n }, (_, index) => index + 1);
const soon = (holds: () => void) => vi.waitFor(holds, { timeout: 4000, interval: 5 });

describe('a connection', () => {
  test('fetches what there is and goes on by a socket from there', async () => {
    const stage = new Stage();
    stage.grow(23_001);
    const { connection, seqs, states } = follow(stage);
    await soon(() => expect(states.at(-1)?.state).toBe('live'));
    expect(new URL(stage.sockets[0]?.url ?? '').searchParams.get('from')).toBe('23001');
    expect(stage.sockets[0]?.protocols).toEqual(['jsonl', 'proof.a-proof']);
    stage.grow(5);
    await soon(() => expect(seqs).toEqual(upTo(23_006)));
    connection.stop();
  });

  test('loses and doubles nothing, however often the line breaks', async () => {
    const stage = new Stage();
    const { connection, seqs } = follow(stage);
    for (let n = 1; n <= 12; n += 1) {
      await soon(() => expect(stage.sockets.at(-1)?.readyState).toBe(1));
      stage.grow(7);
      if (n % 2) await soon(() => expect(seqs.length).toBe(stage.frames.length));
      connection.wake();
      stage.sockets.at(-1)?.close();
      stage.grow(3);
      // Whatever the backoff is, being looked at ends it.
      await soon(() => {
        connection.wake();
        expect(stage.sockets.length).toBeGreaterThan(n);
      });
    }
    await soon(() => expect(seqs).toEqual(upTo(stage.frames.length)));
    connection.stop();
  });

  test('tells how it ended, and then asks no more', async () => {
    for (const [code, state] of [
      [1000, 'ended'],
      [4401, 'refused'],
      [4410, 'gone'],
    ] as const) {
      const stage = new Stage();
      stage.grow(2);
      const { states } = follow(stage);
      await soon(() => expect(states.at(-1)?.state).toBe('live'));
      stage.sockets[0]?.close(code);
      await soon(() => expect(states.at(-1)?.state).toBe(state));
      expect(stage.sockets.length).toBe(1);
    }
    for (const [status, state] of [
      [401, 'refused'],
      [404, 'gone'],
    ] as const) {
      const stage = new Stage();
      stage.status = status;
      const { states } = follow(stage);
      await soon(() => expect(states.at(-1)?.state).toBe(state));
    }
  });

  test('tries at once, then later and later, and not at all while nobody looks', async () => {
    vi.useFakeTimers();
    const stage = new Stage();
    stage.status = 503;
    const { connection, states } = follow(stage);
    await vi.advanceTimersByTimeAsync(10);
    // The first failure is followed by another attempt at once.
    expect(stage.asked.length).toBe(2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(stage.asked.length).toBe(3);
    await vi.advanceTimersByTimeAsync(1_900);
    expect(stage.asked.length).toBe(3);
    await vi.advanceTimersByTimeAsync(200);
    expect(stage.asked.length).toBe(4);
    stage.hidden = true;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(stage.asked.length).toBe(4);
    expect(states.at(-1)?.since).toBeGreaterThan(0);
    stage.hidden = false;
    stage.status = 200;
    connection.wake();
    await vi.advanceTimersByTimeAsync(20);
    expect(states.at(-1)).toMatchObject({ state: 'live', since: 0 });
    connection.stop();
    vi.useRealTimers();
  });

  test('says that nobody knows what became of a command when the line broke', async () => {
    const stage = new Stage();
    const { connection, states } = follow(stage);
    expect(connection.command({ interrupt: {} })).toBe(false);
    await soon(() => expect(states.at(-1)?.state).toBe('live'));
    const [first, second] = [connection.command({ interrupt: {} }), connection.command({ interrupt: {} })];
    stage.sockets[0]?.onmessage?.({ data: '{"ref":1,"done":true}' });
    stage.sockets[0]?.close();
    expect(await first).toEqual({ ref: 1, done: true });
    expect(await second).toBeNull();
    connection.stop();
  });

  test('opens a long journal at its end and has what is in front when that is asked for', async () => {
    const stage = new Stage();
    stage.grow(1200);
    const { connection, seqs, states } = follow(stage, { last: 500 });
    await soon(() => expect(states.at(-1)?.state).toBe('live'));
    expect(stage.asked.length).toBe(1);
    expect(seqs).toEqual(upTo(1200).slice(700));
    expect(connection.front).toBe(701);
    stage.grow(3);
    const numbers = async () => (await connection.older(400)).map((one) => one.seq);
    expect(await numbers()).toEqual(upTo(700).slice(300));
    expect(await numbers()).toEqual(upTo(300));
    expect(await numbers()).toEqual([]);
    expect(connection.front).toBe(0);
    await soon(() => expect(seqs).toEqual(upTo(1203).slice(700)));
    connection.stop();
  });

  test('takes a line for dead that was silent for longer than a live one is', async () => {
    vi.useFakeTimers();
    const stage = new Stage();
    const { connection } = follow(stage);
    await vi.advanceTimersByTimeAsync(10);
    for (let n = 0; n < 6; n += 1) {
      await vi.advanceTimersByTimeAsync(20_000);
      stage.sockets[0]?.onmessage?.({ data: '{"keepalive":0}' });
    }
    expect(stage.sockets.length).toBe(1);
    stage.hidden = true;
    await vi.advanceTimersByTimeAsync(120_000);
    expect(stage.sockets.length).toBe(1);
    stage.hidden = false;
    connection.wake();
    await vi.advanceTimersByTimeAsync(10);
    expect(stage.sockets.length).toBe(2);
    await vi.advanceTimersByTimeAsync(85_000);
    expect(stage.sockets.length).toBe(3);
    connection.stop();
    vi.useRealTimers();
  });

  test('comes back for a frame that the server says it has sent', async () => {
    const stage = new Stage();
    stage.grow(3);
    const { connection, seqs, states } = follow(stage);
    await soon(() => expect(states.at(-1)?.state).toBe('live'));
    // It was written, and the line lost it.
    stage.frames.push(frame(4));
    stage.sockets[0]?.onmessage?.({ data: '{"keepalive":4}' });
    await soon(() => expect(seqs).toEqual(upTo(4)));
    expect(stage.sockets.length).toBe(2);
    connection.stop();
  });

  test('remembers how far the frames were read that it does not want', async () => {
    const stage = new Stage();
    stage.grow(3);
    const { connection, states } = follow(stage, { kinds: 'status' });
    await soon(() => expect(states.at(-1)?.state).toBe('live'));
    stage.sockets[0]?.onmessage?.({ data: '{"keepalive":99}' });
    expect(connection.cursor).toBe(99);
    expect(stage.sockets.length).toBe(1);
    connection.stop();
  });
});
