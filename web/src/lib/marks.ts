// Which words of a changed line changed, found by comparing it with the line that it replaces.
import { diffArrays } from 'diff';
import type { DiffLine } from './diff';
import { visible } from './format';

/** A part of a line, by the places of its first character and of the one behind its last. */
export type Part = [from: number, to: number];

// Scripts without spaces change by the character; all others by the word.
const TOKENS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}\p{M}_]+|\s+|[^]/gu;

/** Characters of a line that is compared. */
const MOST = 1000;
/** Lines of a run that are compared; of what was rewritten, words say nothing. */
const RUN = 60;

/** The changed words of lines, by the places of these in the list. */
export function marks(lines: DiffLine[]): Map<number, Part[]> {
  const found = new Map<number, Part[]>();
  for (let at = 0; at < lines.length;) {
    const out = runOf(lines, at, '-');
    const fresh = runOf(lines, at + out, '+');
    const pairs = Math.min(out, fresh);
    for (let n = 0; n < pairs && pairs <= RUN; n += 1) {
      const [a, b] = [at + n, at + out + n];
      const parts = between(visible(lines[a]?.text ?? ''), visible(lines[b]?.text ?? ''));
      if (!parts) continue;
      found.set(a, parts[0]);
      found.set(b, parts[1]);
    }
    at += Math.max(1, out + fresh);
  }
  return found;
}

function runOf(lines: DiffLine[], from: number, mark: '+' | '-'): number {
  let at = from;
  while (lines[at]?.mark === mark) at += 1;
  return at - from;
}

/** What of each of two lines is not in the other; nothing where they have too little in common. */
export function between(before: string, after: string): [Part[], Part[]] | null {
  if (before.length > MOST || after.length > MOST) return null;
  const split = (text: string): string[] => text.match(TOKENS) ?? [];
  const changes = diffArrays(split(before), split(after), { maxEditLength: 200 });
  if (!changes) return null;
  const parts: [Part[], Part[]] = [[], []];
  const places: [number, number] = [0, 0];
  let same = 0;
  for (const { value, added, removed } of changes) {
    const text = value.join('');
    if (!added && !removed) same += text.replace(/\s/g, '').length;
    for (const side of [0, 1] as const) {
      if (side === 0 ? added : removed) continue;
      if (added || removed) parts[side].push([places[side], places[side] + text.length]);
      places[side] += text.length;
    }
  }
  const most = Math.max(before.replace(/\s/g, '').length, after.replace(/\s/g, '').length);
  return same * 3 >= most ? parts : null;
}

/** Marks parts of an element's text, whatever it is made of. */
export function mark(element: HTMLElement, parts: Part[]): void {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const texts: [Text, number][] = [];
  let length = 0;
  for (let node = walker.nextNode() as Text | null; node; node = walker.nextNode() as Text | null) {
    texts.push([node, length]);
    length += node.data.length;
  }
  for (const [text, start] of texts) {
    // From behind, so that the places in front stay what they are.
    for (const [from, to] of parts.toReversed()) {
      const [a, b] = [Math.max(from - start, 0), Math.min(to - start, text.data.length)];
      if (a >= b) continue;
      const inside = text.splitText(a);
      inside.splitText(b - a);
      const marked = document.createElement('mark');
      inside.replaceWith(marked);
      marked.append(inside);
    }
  }
}
