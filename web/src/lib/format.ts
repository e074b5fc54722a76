// Numbers, sizes and times as people read them.

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  for (const [unit, size] of [
    ['kB', 1e3],
    ['MB', 1e6],
    ['GB', 1e9],
  ] as const) {
    if (count < size * 1000) return `${(count / size).toFixed(count < size * 10 ? 1 : 0)} ${unit}`;
  }
  return `${(count / 1e12).toFixed(1)} TB`;
}

export function count(n: number): string {
  if (n < 1000) return String(n);
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)}k`;
  return `${(n / 1e6).toFixed(n < 1e7 ? 1 : 0)}M`;
}

/** Memory, and what part of a CPU is used, as far as there is any. */
export function used(memory: number, cpus: number): string {
  return [memory && bytes(memory), cpus && `${Math.ceil(cpus * 100)} %`].filter(Boolean).join(' · ');
}

export function money(usd: number): string {
  return usd === 0 ? '$0' : usd < 0.01 ? '<$0.01' : `$${usd.toFixed(usd < 10 ? 2 : 1)}`;
}

export function when(time: string | number, locale: string): string {
  const date = new Date(time);
  const today = new Date().toDateString() === date.toDateString();
  return date.toLocaleString(
    locale,
    today
      ? { hour: '2-digit', minute: '2-digit' }
      : { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' },
  );
}

/** The last part of a path, which is what tells directories apart. */
export function folder(path: string): string {
  return path.split('/').filter(Boolean).at(-1) ?? '/';
}

// Direction marks let code look like other code (Trojan Source); here they are seen.
const HIDDEN =
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u200b\u2060\ufeff]|[\0-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f]/g;

export function visible(text: string): string {
  return text.replace(HIDDEN, (c) => `⟦U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟧`);
}

/** What a session is called: its title, or where it works. */
export function nameOf(session: { title?: string | null; workdir: string }): string {
  return visible(session.title ?? folder(session.workdir));
}
