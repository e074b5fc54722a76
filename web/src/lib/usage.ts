// What was used, as the page shows it.
import type { UsageRow } from '../api/types';

const DAY = 86_400_000;

/** A day as the API writes it, so many days before another moment. */
export const dayOf = (moment: number, before = 0): string =>
  new Date(moment - before * DAY).toISOString().slice(0, 10);

/** A value for each day, also for those of which nothing is told. */
export function byDay(
  since: string,
  until: string,
  rows: UsageRow[],
  of: (row: UsageRow) => number,
): { day: string; value: number }[] {
  const known = new Map(rows.map((row) => [row.key, of(row)]));
  const [first, last] = [Date.parse(since), Date.parse(until)];
  const days = [];
  // More than a year's bars are no picture any more.
  for (let at = Math.max(first, last - 400 * DAY); at <= last; at += DAY) {
    const day = dayOf(at);
    days.push({ day, value: known.get(day) ?? 0 });
  }
  return days;
}

/** The tokens that a bill counts. */
export const tokens = ({ usage }: Pick<UsageRow, 'usage'>): number =>
  usage.input + usage.output + usage.cache_write;
