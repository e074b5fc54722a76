// Which rows of a long conversation are mounted. All are kept as data; about a hundred are drawn: a
// reader waits for what is mounted at once, at each opening, reconnect and step of a scroll.

export const MOUNTED = 50;
export const STEP = 20;
export const MOST = 110;

export interface Range {
  start: number;
  end: number;
}

/** The last rows, where somebody follows. */
export function atEnd(count: number): Range {
  return { start: Math.max(0, count - MOUNTED), end: count };
}

/** Some more above; what is far below goes. */
export function above({ start, end }: Range): Range {
  const next = Math.max(0, start - STEP);
  return { start: next, end: Math.min(end, next + MOST) };
}

/** Some more below; what is far above goes. */
export function below({ start, end }: Range, count: number): Range {
  const next = Math.min(count, end + STEP);
  return { start: Math.max(start, next - MOST), end: next };
}
