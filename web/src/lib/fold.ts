// Frames folded into what is shown. One frame touches one row, so a session of any length costs
// the same at its end as at its beginning.
import type { Frame, Question, State, Todo, Usage } from '../api/types';

interface Common {
  readonly key: string;
  readonly seq: number;
  readonly ts: number;
}
export interface TextRow extends Common {
  readonly kind: 'user' | 'text' | 'thinking';
  readonly messageId: string | null;
  text: string;
  /** Whether more of it may come. */
  open: boolean;
}
export interface ToolRow extends Common {
  readonly kind: 'tool';
  readonly id: string;
  readonly tool: string;
  readonly input: Record<string, unknown>;
  readonly inputBytes: number | null;
  output: unknown;
  outputBytes: number | null;
  durationMs: number | null;
  state: 'running' | 'ok' | 'error' | 'unfinished';
  /** What the subagent said and did that this call started. */
  readonly children: Row[];
}
export interface QuestionRow extends Common {
  readonly kind: 'question';
  readonly id: string;
  readonly questions: Question[];
  readonly tool: string | null;
  readonly toolUseId: string | null;
  isOpen: boolean;
  answer: string | null;
}
export interface NoteRow extends Common {
  readonly kind: 'note';
  readonly what: 'note' | 'model' | 'permission' | 'driver' | 'resumed' | 'hook';
  readonly text: string;
}
export interface TurnRow extends Common {
  readonly kind: 'turn';
  readonly reason: string;
  readonly detail: string | null;
  readonly last: boolean;
  readonly usage: Usage | null;
  readonly durationMs: number | null;
}
export type Row = TextRow | ToolRow | QuestionRow | NoteRow | TurnRow;

export interface HookRun {
  seq: number;
  ts: number;
  name: string;
  event: string;
  outcome: string;
  blocked: boolean;
  text: string;
}

const NOTHING: Usage = { input: 0, output: 0, cache_read: 0, cache_write: 0, cost_usd: 0 };
const HOOKS = 200;
const TIMELINE = 200;

type Thread = Row[];

export class Fold {
  readonly rows: Row[] = [];
  /** Rows that have changed since somebody last looked. */
  readonly touched = new Set<Row>();
  /** Seq of the last frame that was folded. */
  seq = 0;
  frames = 0;
  state: State = 'starting';
  stateSince = 0;
  workingSince = 0;
  title: string | null = null;
  model: string | null = null;
  permission: string | null = null;
  driver: string | null = null;
  workdir: string | null = null;
  todos: Todo[] = [];
  readonly running = new Map<string, ToolRow>();
  readonly open = new Map<string, QuestionRow>();
  usage: Usage = { ...NOTHING };
  lastTurn: Usage | null = null;
  turns = 0;
  readonly hooks: HookRun[] = [];
  hookCount = 0;
  readonly timeline: { ts: number; state: State }[] = [];
  /** Messages that a turn has answered or taken up. */
  readonly taken = new Set<string>();

  private readonly tools = new Map<string, ToolRow>();
  private openings = 0;
  private pendingUsage: Usage | null = null;

  /** Takes up a frame. Older ones than the last are passed over: they were there already. */
  add(frame: Frame): void {
    if (frame.seq <= this.seq) return;
    this.seq = frame.seq;
    this.frames += 1;
    const ts = Date.parse(frame.ts);
    switch (frame.kind) {
      case 'text.delta':
        return this.text(frame, ts, frame.data.role === 'user' ? 'user' : 'text');
      case 'thinking':
        return this.text(frame, ts, 'thinking');
      case 'tool.use.start':
        return this.start(frame, ts);
      case 'tool.use.result':
        return this.result(frame);
      case 'todo.update':
        this.todos = frame.data.items;
        return;
      case 'ask.question':
        return this.ask(frame, ts);
      case 'usage':
        this.pendingUsage = frame.data;
        this.lastTurn = frame.data;
        this.usage = sum(this.usage, frame.data);
        return;
      case 'status':
        return this.status(frame.data.state, ts);
      case 'stop':
        return this.stop(frame, ts);
      case 'meta':
        return this.meta(frame, ts);
      case 'hook':
        return this.hook(frame, ts);
      default:
    }
  }

  /** Closes a question that was answered, by whomever. */
  close(question: QuestionRow, answer: string | null = null): void {
    if (!question.isOpen) return;
    question.isOpen = false;
    question.answer = answer;
    this.open.delete(question.id);
    this.touched.add(question);
  }

  private thread(agent: { parent_tool_use_id: string } | null | undefined): [Thread, ToolRow | null] {
    const parent = agent ? this.tools.get(agent.parent_tool_use_id) : undefined;
    return parent ? [parent.children, parent] : [this.rows, null];
  }

  private push<R extends Row>(thread: Thread, parent: ToolRow | null, row: R): R {
    const last = thread.at(-1);
    if (last && 'open' in last && last.open) {
      last.open = false;
      this.touched.add(last);
    }
    thread.push(row);
    this.touched.add(row);
    if (parent) this.touched.add(parent);
    return row;
  }

  private text(
    { data, seq }: Extract<Frame, { kind: 'text.delta' | 'thinking' }>,
    ts: number,
    kind: TextRow['kind'],
  ): void {
    const [thread, parent] = this.thread(data.agent);
    const messageId = data.message_id ?? null;
    const last = thread.at(-1);
    if (last?.kind === kind && last.messageId === messageId && (last.open || messageId !== null)) {
      last.text += data.text;
      last.open = kind !== 'user';
      this.touched.add(last);
      return;
    }
    const open = kind !== 'user';
    this.push(thread, parent, { kind, key: `r${seq}`, seq, ts, messageId, text: data.text, open });
  }

  private start({ data, seq }: Extract<Frame, { kind: 'tool.use.start' }>, ts: number): void {
    const [thread, parent] = this.thread(data.agent);
    const row = this.push(thread, parent, {
      kind: 'tool',
      key: `r${seq}`,
      seq,
      ts,
      id: data.tool_use_id,
      tool: data.tool,
      input: isObject(data.input) ? data.input : { input: data.input },
      inputBytes: data.original_bytes ?? null,
      output: null,
      outputBytes: null,
      durationMs: null,
      state: 'running',
      children: [],
    } satisfies ToolRow);
    this.tools.set(row.id, row);
    this.running.set(row.id, row);
  }

  private result({ data }: Extract<Frame, { kind: 'tool.use.result' }>): void {
    const row = this.tools.get(data.tool_use_id);
    for (const question of this.open.values()) {
      if (question.toolUseId === data.tool_use_id) this.close(question);
    }
    if (!row) return;
    row.output = data.output;
    row.outputBytes = data.original_bytes ?? null;
    row.durationMs = data.duration_ms ?? null;
    row.state = data.is_error ? 'error' : 'ok';
    this.running.delete(row.id);
    this.touched.add(row);
  }

  private ask({ data, seq }: Extract<Frame, { kind: 'ask.question' }>, ts: number): void {
    const row = this.push(this.rows, null, {
      kind: 'question',
      key: `r${seq}`,
      seq,
      ts,
      id: data.id,
      questions: data.questions,
      tool: data.tool ?? null,
      toolUseId: data.tool_use_id ?? null,
      isOpen: true,
      answer: null,
    } satisfies QuestionRow);
    this.open.set(row.id, row);
  }

  private status(state: State, ts: number): void {
    if (state === 'working' && this.state !== 'waiting_for_input') this.workingSince = ts;
    this.state = state;
    this.stateSince = ts;
    this.timeline.push({ ts, state });
    if (this.timeline.length > TIMELINE) this.timeline.shift();
    if (state !== 'waiting_for_input') for (const question of this.open.values()) this.close(question);
  }

  private stop({ data, seq }: Extract<Frame, { kind: 'stop' }>, ts: number): void {
    for (const message of data.messages ?? []) this.taken.add(message);
    // A turn's end ends its calls too, whether or not they say so; what runs behind it is not shown.
    for (const row of this.running.values()) {
      row.state = 'unfinished';
      this.touched.add(row);
    }
    this.running.clear();
    const durationMs = this.workingSince && !data.last ? ts - this.workingSince : null;
    if (!data.last) this.turns += 1;
    this.push(this.rows, null, {
      kind: 'turn',
      key: `r${seq}`,
      seq,
      ts,
      reason: data.reason,
      detail: data.detail ?? null,
      last: data.last,
      usage: this.pendingUsage,
      durationMs,
    } satisfies TurnRow);
    this.pendingUsage = null;
  }

  private meta({ data, seq }: Extract<Frame, { kind: 'meta' }>, ts: number): void {
    const note = (what: NoteRow['what'], text: string) =>
      this.push(this.rows, null, { kind: 'note', key: `r${seq}${what}`, seq, ts, what, text });
    if (data.opening) {
      this.openings += 1;
      if (this.openings > 1) note('resumed', '');
    }
    if (data.model) {
      if (this.model && this.model !== data.model) note('model', data.model);
      this.model = data.model;
    }
    if (data.permissionMode) {
      if (this.permission && this.permission !== data.permissionMode) note('permission', data.permissionMode);
      this.permission = data.permissionMode;
    }
    if (data.driver) {
      if (this.driver && this.driver !== data.driver) note('driver', data.driver);
      this.driver = data.driver;
    }
    if (data.title !== undefined && data.title !== null) this.title = data.title;
    if (data.workdir) this.workdir = data.workdir;
    if (data.note) note('note', data.note);
  }

  private hook({ data, seq }: Extract<Frame, { kind: 'hook' }>, ts: number): void {
    const result = isObject(data.result) ? data.result : {};
    const text = (name: string) => (typeof result[name] === 'string' ? result[name] : '');
    const run: HookRun = {
      seq,
      ts,
      name: data.name,
      event: data.event,
      outcome: text('outcome') || 'ran',
      blocked: isBlock(result),
      text: (text('stderr') || text('stdout')).trim(),
    };
    this.hookCount += 1;
    this.hooks.push(run);
    if (this.hooks.length > HOOKS) this.hooks.shift();
    if (run.blocked) {
      const said = run.text.length > 400 ? `${run.text.slice(0, 400)}…` : run.text;
      this.push(this.rows, null, {
        kind: 'note',
        key: `r${seq}hook`,
        seq,
        ts,
        what: 'hook',
        text: said ? `${run.name}: ${said}` : run.name,
      } satisfies NoteRow);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a hook forbade something: by its exit code, or in its words. */
function isBlock(result: Record<string, unknown>): boolean {
  if (result['exit_code'] === 2) return true;
  const said = typeof result['stdout'] === 'string' ? result['stdout'] : '';
  return /"(?:permissionDecision|decision)"\s*:\s*"(?:deny|block)"|"continue"\s*:\s*false/.test(said);
}

function sum(a: Usage, b: Usage): Usage {
  return {
    input: a.input + b.input,
    output: a.output + b.output,
    cache_read: a.cache_read + b.cache_read,
    cache_write: a.cache_write + b.cache_write,
    cost_usd: (a.cost_usd ?? 0) + (b.cost_usd ?? 0),
  };
}
