// What an edit changes, line by line. Loaded when there is one to be shown.
import { structuredPatch } from 'diff';
import type { ToolRow } from './rows';

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

export interface DiffLine {
  mark: ' ' | '+' | '-' | '@';
  text: string;
  old: number | null;
  new: number | null;
}

/** The change that an edit makes, if the call is one. */
export function diffOf({ tool, input }: Pick<ToolRow, 'tool' | 'input'>): DiffLine[] | null {
  if (tool === 'Write' && typeof input['content'] === 'string') return lines('', input['content']);
  if (tool === 'Edit' && typeof input['old_string'] === 'string') {
    return lines(input['old_string'], text(input['new_string']));
  }
  if (tool === 'MultiEdit' && Array.isArray(input['edits'])) {
    return input['edits'].flatMap((edit: Record<string, unknown>) =>
      lines(text(edit['old_string']), text(edit['new_string'])),
    );
  }
  return null;
}

/** Lines of a change; a change too large to be compared is shown as out and in. */
export function lines(before: string, after: string): DiffLine[] {
  const patch = structuredPatch('', '', before, after, '', '', { context: 3, timeout: 200 });
  if (!patch) {
    const all = (whole: string, mark: '+' | '-') =>
      whole.split('\n').map((line) => ({ mark, text: line, old: null, new: null }));
    return [...all(before, '-'), ...all(after, '+')];
  }
  const found: DiffLine[] = [];
  for (const hunk of patch.hunks) {
    let [old, fresh] = [hunk.oldStart, hunk.newStart];
    if (found.length) found.push({ mark: '@', text: '⋯', old: null, new: null });
    for (const line of hunk.lines) {
      const mark = line[0] as DiffLine['mark'];
      if (line.startsWith('\\')) continue;
      found.push({
        mark,
        text: line.slice(1),
        old: mark === '+' ? null : old++,
        new: mark === '-' ? null : fresh++,
      });
    }
  }
  return found;
}
