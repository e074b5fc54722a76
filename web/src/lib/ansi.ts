// A command's output with its colours, as pieces; everything else that a terminal would obey is
// left out.
import { visible } from './format';

export interface Piece {
  text: string;
  style: string;
}

const ESC = '\u001b';
// Control sequences, operating system commands, and two-character escapes (ECMA-48).
const SEQUENCE = new RegExp(
  `${ESC}\\[([0-9;:<=>?]*)[ -/]*([@-~])|${ESC}[\\]PX^_][^\\u0007${ESC}]*(?:\\u0007|${ESC}\\\\)?|${ESC}[ -/]*[0-~]`,
  'g',
);

export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let style = '';
  let at = 0;
  const push = (piece: string) => {
    if (piece)
      found.push({ text: visible(piece.replace(/\r\n/g, '\n').replace(/[^\n]*\r(?!\n)/g, '')), style });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    push(text.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[2] === 'm') style = restyle(style, match[1] ?? '');
  }
  push(text.slice(at));
  return found;
}

function restyle(style: string, codes: string): string {
  let words = style.split(' ').filter(Boolean);
  const without = (kind: string) => words.filter((word) => !word.startsWith(kind));
  const numbers = codes.split(/[;:]/).map(Number);
  for (let i = 0; i < numbers.length; i += 1) {
    const code = numbers[i] ?? 0;
    if (code === 0) words = [];
    else if (code === 1) words = [...words, 'ansi-bold'];
    else if (code === 2) words = [...words, 'ansi-dim'];
    else if (code === 22) words = words.filter((word) => word !== 'ansi-bold' && word !== 'ansi-dim');
    else if (code >= 30 && code <= 37) words = [...without('ansi-fg'), `ansi-fg-${code - 30}`];
    else if (code >= 90 && code <= 97) words = [...without('ansi-fg'), `ansi-fg-${code - 82}`];
    else if (code === 39) words = without('ansi-fg');
    // Colours out of a palette of 256 or of all there are: passed over with their arguments.
    else if (code === 38 || code === 48) i += numbers[i + 1] === 5 ? 2 : 4;
  }
  return words.join(' ');
}
