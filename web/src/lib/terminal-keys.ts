// The bytes of keys, as a terminal sends them.

export interface Key {
  name:
    | 'esc' | 'tab' | 'up' | 'down' | 'left' | 'right' | 'c' | 'd' | 'z' | 'slash' | 'pipe' | 'tilde'
    | 'home' | 'end' | 'pgup' | 'pgdn'; // prettier-ignore
  shown: string;
  bytes: string;
}

const ESC = '\u001b';

export const KEYS: Key[] = [
  { name: 'esc', shown: 'Esc', bytes: ESC },
  { name: 'tab', shown: 'Tab', bytes: '\t' },
  { name: 'up', shown: '↑', bytes: `${ESC}[A` },
  { name: 'down', shown: '↓', bytes: `${ESC}[B` },
  { name: 'left', shown: '←', bytes: `${ESC}[D` },
  { name: 'right', shown: '→', bytes: `${ESC}[C` },
  { name: 'c', shown: '^C', bytes: '\u0003' },
  { name: 'd', shown: '^D', bytes: '\u0004' },
  { name: 'z', shown: '^Z', bytes: '\u001a' },
  { name: 'slash', shown: '/', bytes: '/' },
  { name: 'pipe', shown: '|', bytes: '|' },
  { name: 'tilde', shown: '~', bytes: '~' },
  { name: 'home', shown: 'Home', bytes: `${ESC}[H` },
  { name: 'end', shown: 'End', bytes: `${ESC}[F` },
  { name: 'pgup', shown: 'PgUp', bytes: `${ESC}[5~` },
  { name: 'pgdn', shown: 'PgDn', bytes: `${ESC}[6~` },
];

/** What a key is with Ctrl held: letters and a few signs have a control character, arrows a modifier. */
export function control(bytes: string): string {
  const arrow = new RegExp(`^${ESC}\\[([A-D])$`).exec(bytes);
  if (arrow) return `${ESC}[1;5${arrow[1]}`;
  const first = bytes[0] ?? '';
  const code = first.toUpperCase().charCodeAt(0);
  if (code < 0x40 || code > 0x5f) return bytes;
  return String.fromCharCode(code & 0x1f);
}
