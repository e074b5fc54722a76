// Which files a session has changed, by the calls that changed them.
import type { Row, ToolRow } from './rows';

/** What a tool calls the file that it writes. */
const WRITES: Record<string, string> = {
  Edit: 'file_path',
  MultiEdit: 'file_path',
  Write: 'file_path',
  NotebookEdit: 'notebook_path',
};

export interface Touched {
  path: string;
  /** How often it was written to. */
  times: number;
}

/** Files that were written to, the last one first. Calls that failed have changed nothing. */
export function touched(rows: readonly Row[], most = 50): Touched[] {
  const found = new Map<string, number>();
  const look = (row: Row) => {
    if (row.kind !== 'tool') return;
    const path = written(row);
    if (path) {
      const times = found.get(path) ?? 0;
      // Anew, so that it stands behind those that were written to before.
      found.delete(path);
      found.set(path, times + 1);
    }
    row.children.forEach(look);
  };
  rows.forEach(look);
  const last = [...found].reverse().slice(0, most);
  return last.map(([path, times]) => ({ path, times }));
}

function written({ tool, input, state }: ToolRow): string | null {
  const path = Object.hasOwn(WRITES, tool) ? input[WRITES[tool] ?? ''] : null;
  return state === 'ok' && typeof path === 'string' && path ? path : null;
}
