// Hooks as rows of a form, and back. What a row does not show of a hook is kept as it was.

export type HookMap = Record<string, unknown[]>;

export interface HookRow {
  /** For lists that are drawn; it means nothing else. */
  key: number;
  event: string;
  matcher: string;
  /** Of a hook of type `command`; null for any other, which a form does not change. */
  command: string | null;
  /** Seconds as they are typed; empty for the CLI's own. */
  timeout: string;
  /** The hook as it was. */
  hook: Record<string, unknown>;
  /** The matcher's entry as it was, without its matcher and its hooks. */
  entry: Record<string, unknown>;
}

let keys = 0;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function emptyRow(event: string): HookRow {
  return { key: keys++, event, matcher: '', command: '', timeout: '', hook: { type: 'command' }, entry: {} };
}

/** The rows of hooks; null if they are nothing that rows could show. */
export function rowsOf(hooks: unknown): HookRow[] | null {
  if (!isObject(hooks)) return null;
  const rows: HookRow[] = [];
  for (const [event, matchers] of Object.entries(hooks)) {
    if (!Array.isArray(matchers)) return null;
    for (const one of matchers as unknown[]) {
      if (!isObject(one)) return null;
      const { matcher = '', hooks: list, ...entry } = one;
      if (typeof matcher !== 'string' || !Array.isArray(list)) return null;
      for (const hook of list as unknown[]) {
        if (!isObject(hook)) return null;
        const { timeout } = hook;
        if (timeout !== undefined && typeof timeout !== 'number') return null;
        const isCommand = hook['type'] === 'command' && typeof hook['command'] === 'string';
        rows.push({
          key: keys++,
          event,
          matcher,
          command: isCommand ? (hook['command'] as string) : null,
          timeout: timeout === undefined ? '' : String(timeout),
          hook,
          entry,
        });
      }
    }
  }
  return rows;
}

/** The hooks of rows: neighbours with the same event and matcher are one entry. */
export function hooksOf(rows: HookRow[]): HookMap {
  const hooks: HookMap = {};
  let last = null as { of: string; list: unknown[] } | null;
  for (const { event, matcher, command, timeout, hook, entry } of rows) {
    const seconds = Number(timeout);
    const made: Record<string, unknown> = { ...hook };
    if (command !== null) made['command'] = command;
    // What is no number stays what it is, and the box says so.
    if (timeout.trim()) made['timeout'] = Number.isFinite(seconds) ? seconds : timeout;
    else delete made['timeout'];
    const of = JSON.stringify([event, matcher, entry]);
    if (last?.of === of) {
      last.list.push(made);
      continue;
    }
    last = { of, list: [made] };
    (hooks[event] ??= []).push({ ...entry, ...(matcher ? { matcher } : {}), hooks: last.list });
  }
  return hooks;
}
