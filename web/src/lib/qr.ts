// A text as a QR code (ISO/IEC 18004): bytes, correction of level L, up to 271 of them. Loaded where one
// is shown. Nothing of the text leaves the page.

/** Codewords of a version: in all, of correction in a block, and blocks. */
const VERSIONS = [
  [26, 7, 1],
  [44, 10, 1],
  [70, 15, 1],
  [100, 20, 1],
  [134, 26, 1],
  [172, 18, 2],
  [196, 20, 2],
  [242, 24, 2],
  [292, 30, 2],
  [346, 18, 4],
] as const;

/** Where the small squares stand, of each version. */
const SQUARES = [
  [],
  [6, 18],
  [6, 22],
  [6, 26],
  [6, 30],
  [6, 34],
  [6, 22, 38],
  [6, 24, 42],
  [6, 26, 46],
  [6, 28, 50],
];

// Numbers of the field of 256 elements that correction counts in.
const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let n = 0, x = 1; n < 255; n += 1) {
  EXP[n] = EXP[n + 255] = x;
  LOG[x] = n;
  x = (x << 1) ^ (x & 128 ? 0x11d : 0);
}
const times = (a: number, b: number) => (a && b ? (EXP[(LOG[a] ?? 0) + (LOG[b] ?? 0)] ?? 0) : 0);

/** The remainder that corrects a block. */
function correction(data: number[], count: number): number[] {
  // The divisor, without its first coefficient, which is one.
  let divisor: number[] = [];
  for (let n = 0; n < count; n += 1) {
    const root = EXP[n] ?? 0;
    const longer = [1, ...divisor, 0];
    const before = [0, 1, ...divisor];
    divisor = longer.map((value, at) => value ^ times(before[at] ?? 0, root)).slice(1);
  }
  const rest: number[] = new Array<number>(count).fill(0);
  for (const byte of data) {
    const factor = byte ^ (rest.shift() ?? 0);
    rest.push(0);
    divisor.forEach((value, at) => (rest[at] = (rest[at] ?? 0) ^ times(value, factor)));
  }
  return rest;
}

/** The codewords of a text, in the order in which they are drawn, and the version that holds them. */
function codewords(bytes: Uint8Array): { version: number; words: number[] } | null {
  const version = VERSIONS.findIndex(([all, each, blocks], at) => {
    const room = (all - each * blocks) * 8;
    return 4 + (at < 9 ? 8 : 16) + bytes.length * 8 <= room;
  });
  const found = VERSIONS[version];
  if (!found) return null;
  const [all, each, blocks] = found;
  const room = all - each * blocks;
  const bits: number[] = [];
  const put = (value: number, count: number) => {
    for (let n = count - 1; n >= 0; n -= 1) bits.push((value >> n) & 1);
  };
  put(4, 4);
  put(bytes.length, version < 9 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, room * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const data: number[] = [];
  for (let at = 0; at < bits.length; at += 8) {
    data.push(bits.slice(at, at + 8).reduce((sum, bit) => sum * 2 + bit, 0));
  }
  for (let pad = 0xec; data.length < room; pad ^= 0xec ^ 0x11) data.push(pad);
  // Later blocks are one longer, where they cannot all be the same.
  const short = Math.floor(room / blocks);
  const parts: number[][] = [];
  for (let n = 0, at = 0; n < blocks; n += 1) {
    const length = short + (n >= blocks - (room % blocks) ? 1 : 0);
    parts.push(data.slice(at, (at += length)));
  }
  const checks = parts.map((part) => correction(part, each));
  const woven = (lists: number[][]) =>
    Array.from({ length: Math.max(...lists.map((list) => list.length)) }, (_, n) =>
      lists.flatMap((list) => list[n] ?? []),
    ).flat();
  return { version: version + 1, words: [...woven(parts), ...woven(checks)] };
}

const MASKS: ((x: number, y: number) => boolean)[] = [
  (x, y) => (x + y) % 2 === 0,
  (_, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** A number, and the remainder that protects it. */
function protectedBy(value: number, divisor: number, bits: number): number {
  let rest = value << bits;
  const top = 31 - Math.clz32(divisor);
  while (31 - Math.clz32(rest) >= top && rest) rest ^= divisor << (31 - Math.clz32(rest) - top);
  return (value << bits) | rest;
}

/** How hard a code would be to read: long runs, full squares, false corners, too much of one colour. */
function cost(dark: boolean[][]): number {
  const size = dark.length;
  let sum = 0;
  const lines = [...dark, ...dark.map((_, x) => dark.map((row) => row[x] ?? false))];
  for (const line of lines) {
    let run = 0;
    line.forEach((value, at) => {
      run = value === line[at - 1] ? run + 1 : 1;
      if (run === 5) sum += 3;
      else if (run > 5) sum += 1;
    });
    const text = line.map((value) => (value ? '1' : '0')).join('');
    for (const corner of ['10111010000', '00001011101']) {
      for (let at = text.indexOf(corner); at >= 0; at = text.indexOf(corner, at + 1)) sum += 40;
    }
  }
  let all = 0;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const value = dark[y]?.[x];
      if (value) all += 1;
      if (value === dark[y]?.[x + 1] && value === dark[y + 1]?.[x] && value === dark[y + 1]?.[x + 1])
        sum += 3;
    }
  }
  return sum + Math.floor(Math.abs((all * 20) / (size * size) - 10)) * 10;
}

/** The squares of a text's code, row by row, true for dark; nothing for a text that is too long. */
export function qr(text: string): boolean[][] | null {
  const coded = codewords(new TextEncoder().encode(text));
  if (!coded) return null;
  const { version, words } = coded;
  const size = 17 + version * 4;
  const dark = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const taken = Array.from({ length: size }, () => new Array<boolean>(size).fill(false));
  const set = (x: number, y: number, value: boolean) => {
    const [row, fixed] = [dark[y], taken[y]];
    if (!row || !fixed || x < 0 || x >= size) return;
    row[x] = value;
    fixed[x] = true;
  };
  for (let n = 0; n < size; n += 1) {
    set(6, n, n % 2 === 0);
    set(n, 6, n % 2 === 0);
  }
  for (const [x, y] of [
    [3, 3],
    [size - 4, 3],
    [3, size - 4],
  ] as const) {
    for (let dy = -4; dy <= 4; dy += 1) {
      for (let dx = -4; dx <= 4; dx += 1) {
        const far = Math.max(Math.abs(dx), Math.abs(dy));
        set(x + dx, y + dy, far !== 2 && far !== 4);
      }
    }
  }
  const places = SQUARES[version - 1] ?? [];
  const [near, end] = [places[0], places.at(-1)];
  for (const x of places) {
    for (const y of places) {
      if ((x === near && (y === near || y === end)) || (x === end && y === near)) continue;
      for (let dy = -2; dy <= 2; dy += 1) {
        for (let dx = -2; dx <= 2; dx += 1) {
          set(x + dx, y + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
        }
      }
    }
  }
  if (version >= 7) {
    const bits = protectedBy(version, 0x1f25, 12);
    for (let n = 0; n < 18; n += 1) {
      const [a, b] = [size - 11 + (n % 3), Math.floor(n / 3)];
      set(a, b, ((bits >> n) & 1) === 1);
      set(b, a, ((bits >> n) & 1) === 1);
    }
  }
  const form = (mask: number) => {
    // The level L is 1.
    const bits = protectedBy((1 << 3) | mask, 0x537, 10) ^ 0x5412;
    const bit = (n: number) => ((bits >> n) & 1) === 1;
    for (let n = 0; n < 15; n += 1) {
      const down = n < 6 ? n : n < 8 ? n + 1 : size - 15 + n;
      const across = n < 8 ? size - 1 - n : n < 9 ? 15 - n : 14 - n;
      set(8, down, bit(n));
      set(across, 8, bit(n));
    }
    set(8, size - 8, true);
  };
  form(0);
  // Two columns at once, up and down in turn, from the right, around the line of marks.
  let at = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      const isUp = ((right + 1) & 2) === 0;
      const y = isUp ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        const [row, fixed] = [dark[y], taken[y]];
        if (!row || !fixed || fixed[x]) continue;
        row[x] = (((words[at >> 3] ?? 0) >> (7 - (at & 7))) & 1) === 1;
        at += 1;
      }
    }
  }
  const flip = (mask: number) => {
    const isFlipped = MASKS[mask];
    dark.forEach((row, y) =>
      row.forEach((value, x) => {
        if (!taken[y]?.[x] && isFlipped?.(x, y)) row[x] = !value;
      }),
    );
  };
  let best = 0;
  let least = Infinity;
  for (let mask = 0; mask < MASKS.length; mask += 1) {
    flip(mask);
    form(mask);
    const found = cost(dark);
    if (found < least) [best, least] = [mask, found];
    flip(mask);
  }
  flip(best);
  form(best);
  return dark;
}
