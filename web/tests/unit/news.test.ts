import { expect, test } from 'vitest';
import type { Session, State } from '../../src/api/types';
import { Observer } from '../../src/lib/news';

const session = (state: State, more: Partial<Session> = {}): Session =>
  ({ id: 'one', workdir: '/', state, open_questions: [], ...more }) as Session;
const asked = (...ids: string[]): Partial<Session> => ({
  open_questions: ids.map((id) => ({ id, prompt: 'Which?', asked_at: '' })) as Session['open_questions'],
});

/** What is told of a session that goes through states, one second apart. */
function told(states: Session[], { isHidden = true, step = 1000 } = {}): string[] {
  const observer = new Observer();
  return states.flatMap((one, n) => observer.look([one], n * step, isHidden).map((news) => news.what));
}

test('what is there at first is no news, and one that has just begun is only if it asks', () => {
  expect(told([session('waiting_for_input', asked('a'))])).toEqual([]);
  const first = (state: State, more?: Partial<Session>) => {
    const observer = new Observer();
    observer.look([], 0, true);
    return observer.look([session(state, more)], 1, true).map((news) => news.what);
  };
  expect(first('waiting_for_input', asked('a'))).toEqual(['asks']);
  for (const state of ['working', 'idle', 'stopped'] as const) expect(first(state)).toEqual([]);
});

test('each question is told once', () => {
  const ask = (...ids: string[]) => session('waiting_for_input', asked(...ids));
  expect(told([session('working'), ask('a'), ask('a'), ask('a', 'b'), ask('b')])).toEqual(['asks', 'asks']);
});

test('an end is told to who looks elsewhere, and a late one to everybody', () => {
  const turn = [session('idle'), session('working'), session('working'), session('idle')];
  expect(told(turn)).toEqual(['ends']);
  expect(told(turn, { isHidden: false })).toEqual([]);
  expect(told(turn, { isHidden: false, step: 20_000 })).toEqual(['ends']);
});

test('a failure and a limit are told, and an end that somebody wanted is not', () => {
  expect(told([session('working'), session('failed', { reason: 'exit 1' })])).toEqual(['fails']);
  expect(told([session('idle'), session('interrupted')])).toEqual(['fails']);
  expect(told([session('working'), session('stopped', { reason: 'limit max_turns' })])).toEqual(['limit']);
  expect(told([session('working'), session('stopped', { reason: 'exit' })])).toEqual([]);
});
