import { describe, expect, test, vi } from 'vitest';
import type { BoxEvent, Session } from '../../src/api/types';
import { Broadcast } from '../../src/lib/broadcast';
import type { World } from '../../src/lib/connection';
import { take, type Known } from '../../src/lib/known';
import { Pump } from '../../src/lib/pump';
import { clientId, safely } from '../../src/lib/once';
import { Fault } from '../../src/lib/fault';

class Fake {
  readyState = 0;
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}
  open() {
    this.readyState = 1;
    this.onopen?.();
  }
  say(...events: object[]) {
    this.onmessage?.({ data: events.map((event) => JSON.stringify(event)).join('\n') });
  }
  close(code = 1006) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

function stage() {
  const sockets: Fake[] = [];
  const events: BoxEvent[] = [];
  const silences: number[] = [];
  const state = { hidden: false, refused: 0, asked: [] as string[] };
  const world: World = {
    fetch: ((address: string) => {
      state.asked.push(address);
      return Promise.resolve(new Response());
    }) as typeof fetch,
    socket: (url, protocols) => {
      const made = new Fake(url, protocols);
      sockets.push(made);
      return made as unknown as WebSocket;
    },
    now: () => Date.now(),
    random: () => 0.5,
    isHidden: () => state.hidden,
    soon: (work) => work(),
  };
  const broadcast = new Broadcast(
    {
      origin: 'http://box',
      proof: () => 'a-proof',
      onEvents: (told) => events.push(...told),
      onSilence: (since) => silences.push(since),
      onRefused: () => (state.refused += 1),
    },
    world,
  );
  return { broadcast, sockets, events, silences, state };
}

const gone = (n: number) => ({ cursor: `e-${n}`, event: 'gone', data: { id: `${n}` } });

describe('the stream of the box', () => {
  test('goes on behind the last event that was handled', async () => {
    vi.useFakeTimers();
    const { broadcast, sockets, events, silences } = stage();
    broadcast.start();
    sockets[0]?.open();
    expect(sockets[0]?.protocols).toEqual(['jsonl', 'proof.a-proof']);
    sockets[0]?.say(gone(1), gone(2), { keepalive: 'e-2' });
    expect(events.length).toBe(2);
    sockets[0]?.close();
    await vi.advanceTimersByTimeAsync(10);
    expect(new URL(sockets[1]?.url ?? '').searchParams.get('cursor')).toBe('e-2');
    expect(silences.at(-1)).toBeGreaterThan(0);
    sockets[1]?.open();
    expect(silences.at(-1)).toBe(0);
    broadcast.stop();
    vi.useRealTimers();
  });

  test('is one line, and asks nothing while nothing happens', async () => {
    vi.useFakeTimers();
    const { broadcast, sockets, state } = stage();
    broadcast.start();
    sockets[0]?.open();
    for (let n = 0; n < 30; n += 1) {
      await vi.advanceTimersByTimeAsync(20_000);
      sockets[0]?.say({ keepalive: 'e-0' });
    }
    expect([sockets.length, state.asked.length]).toEqual([1, 0]);
    // A line that says nothing any more is none.
    await vi.advanceTimersByTimeAsync(90_000);
    expect(sockets.length).toBe(2);
    broadcast.stop();
    vi.useRealTimers();
  });

  test('is not tried again while nobody looks, and ends when it is refused', async () => {
    vi.useFakeTimers();
    const { broadcast, sockets, state } = stage();
    broadcast.start();
    sockets[0]?.close();
    await vi.advanceTimersByTimeAsync(10);
    state.hidden = true;
    sockets[1]?.close();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sockets.length).toBe(2);
    state.hidden = false;
    broadcast.wake();
    expect(sockets.length).toBe(3);
    sockets[2]?.close(4401);
    await vi.advanceTimersByTimeAsync(600_000);
    expect([sockets.length, state.refused]).toEqual([3, 1]);
    broadcast.stop();
    vi.useRealTimers();
  });
});

describe('what is known of the box', () => {
  const session = (id: string, state: Session['state']) => ({ id, state }) as Session;
  const nothing: Known = { sessions: new Map(), viewers: new Map(), shells: new Map(), box: null };

  test('is what the last event of each subject said', () => {
    const events = [
      {
        event: 'snapshot',
        data: {
          box: { phase: 'up' },
          sessions: [{ session: session('a', 'idle'), viewers: 1 }],
          shells: [{ id: 's' }],
        },
      },
      { event: 'session', data: { session: session('b', 'working'), viewers: 0 } },
      { event: 'session', data: { session: session('a', 'working'), viewers: 2, viewer_names: ['ann'] } },
      { event: 'gone', data: { id: 's' } },
      { event: 'box', data: { phase: 'degraded' } },
    ] as unknown as BoxEvent[];
    const known = take(nothing, events);
    expect([...known.sessions.values()].map((one) => `${one.id} ${one.state}`)).toEqual([
      'a working',
      'b working',
    ]);
    expect([
      known.viewers.get('a')?.count,
      known.viewers.get('a')?.names,
      known.shells.size,
      known.box?.phase,
    ]).toEqual([2, ['ann'], 0, 'degraded']);
    expect(nothing.sessions.size).toBe(0);
    const again = take(known, [
      { event: 'snapshot', data: { box: {}, sessions: [], shells: [] } },
    ] as unknown as BoxEvent[]);
    expect([again.sessions.size, again.viewers.size]).toEqual([0, 0]);
  });
});

describe('requests that may be sent again', () => {
  test('are, as long as nobody knows whether they arrived', async () => {
    const answers = [new Fault('network', '', 0), new Fault('busy', '', 503, 2), 'done'];
    const waits: number[] = [];
    const ask = () => {
      const next = answers.shift();
      return next instanceof Fault ? Promise.reject(next) : Promise.resolve(next);
    };
    const pause = (ms: number) => (waits.push(ms), Promise.resolve());
    expect(await safely(ask, pause)).toBe('done');
    expect(waits).toEqual([500, 2000]);
    const refused = () => Promise.reject(new Fault('no_such_question', '', 404));
    await expect(safely(refused, pause)).rejects.toMatchObject({ code: 'no_such_question' });
    expect(waits.length).toBe(2);
    expect(clientId()).toMatch(/^[0-9a-f]{32}$/);
    expect(clientId()).not.toBe(clientId());
  });
});

describe('bytes for a terminal', () => {
  test('that came before a change of its size are drawn before it, and the others after', async () => {
    const drawn: string[] = [];
    const pump = new Pump((bytes, written) => {
      setTimeout(() => {
        drawn.push(new TextDecoder().decode(bytes));
        written();
      }, 1);
    });
    const bytes = (text: string) => new TextEncoder().encode(text);
    pump.push(bytes('a'));
    pump.push(bytes('b'));
    pump.then(() => drawn.push('|'));
    pump.push(bytes('c'));
    pump.then(() => drawn.push('|'));
    await vi.waitFor(() => expect(drawn.join('')).toBe('ab|c|'));
  });
});
