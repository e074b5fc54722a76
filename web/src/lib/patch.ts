// The lines of a unified diff, as git writes it.
import type { DiffLine } from './diff';

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/;

/** The lines of a patch without git's own before them. */
export function linesOf(patch: string): DiffLine[] {
  const found: DiffLine[] = [];
  let [old, fresh] = [0, 0];
  let isInside = false;
  for (const line of patch.split('\n')) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      [old, fresh] = [Number(hunk[1]), Number(hunk[2])];
      found.push({ mark: '@', text: hunk[3]?.trim() || '⋯', old: null, new: null });
      isInside = true;
      continue;
    }
    const mark = line[0];
    if (!isInside || (mark !== ' ' && mark !== '+' && mark !== '-')) continue;
    found.push({
      mark,
      text: line.slice(1),
      old: mark === '+' ? null : old++,
      new: mark === '-' ? null : fresh++,
    });
  }
  return found;
}
