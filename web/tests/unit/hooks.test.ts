import { describe, expect, test } from 'vitest';
import { emptyRow, hooksOf, rowsOf } from '../../src/lib/hooks';

const command = (text: string, more = {}) => ({ type: 'command', command: text, ...more });

describe('hooks', () => {
  test('are rows, and rows are they again', () => {
    for (const hooks of [
      {},
      { Stop: [{ hooks: [command('true')] }] },
      {
        PreToolUse: [
          { matcher: 'Bash', hooks: [command('a', { timeout: 5, args: ['x'] }), command('b')] },
          { matcher: 'Edit', mine: { kept: [1] }, hooks: [{ type: 'http', url: 'http://x', timeout: 0.5 }] },
        ],
        FromTheFuture: [{ hooks: [{ type: 'odd', deep: { er: null } }] }],
      },
    ]) {
      expect(hooksOf(rowsOf(hooks) ?? [])).toEqual(hooks);
    }
  });

  test('that are no list of matchers make no rows, so that a form cannot lose them', () => {
    for (const odd of [null, 5, [], { Stop: 5 }, { Stop: [5] }, { Stop: [{}] }, { Stop: [{ hooks: [5] }] }]) {
      expect(rowsOf(odd)).toBeNull();
    }
    expect(rowsOf({ Stop: [{ matcher: 5, hooks: [] }] })).toBeNull();
    expect(rowsOf({ Stop: [{ hooks: [{ timeout: '5' }] }] })).toBeNull();
  });

  test('of a row are its event, matcher, command and time', () => {
    const row = { ...emptyRow('Stop'), matcher: 'x', command: 'y', timeout: '7' };
    expect(hooksOf([row])).toEqual({ Stop: [{ matcher: 'x', hooks: [command('y', { timeout: 7 })] }] });
    // What is no number is left for the box to refuse.
    expect(hooksOf([{ ...row, timeout: 'soon' }])).toEqual({
      Stop: [{ matcher: 'x', hooks: [command('y', { timeout: 'soon' })] }],
    });
  });
});
