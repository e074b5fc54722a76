// Frames folded into what is shown. One frame touches one row, so a session of any length costs
// the same at its end as at its beginning.
//
// A fold may begin mid-way. What it then cannot know, it keeps apart (`Front`), and knows when the
// fold of the frames in front is put before it. However a journal is cut, what comes out is the same.
import type { Frame, State, Todo, Usage } from '../api/types';
import { Front, type Answer, type Changing, type Result } from './front';
import type { HookRun, NoteRow, QuestionRow, Row, TextRow, ToolRow, TurnRow } from './rows';

const NOTHING: Usage = { input: 0, output: 0, cache_read: 0, cache_write: 0, cost_usd: 0 };
const HOOKS = 200;
const TIMELINE = 200;

type Thread = Row[];

export class Fold {
  /** Whether frames in front are missing. To be said before the first frame is added. */
  isMidway = false;
  rows: Row[] = [];
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
  effort: string | null = null;
  permission: string | null = null;
  driver: string | null = null;
  workdir: string | null = null;
  todos: Todo[] = [];
  running = new Map<string, ToolRow>();
  open = new Map<string, QuestionRow>();
  usage: Usage = { ...NOTHING };
  lastTurn: Usage | null = null;
  turns = 0;
  hooks: HookRun[] = [];
  hookCount = 0;
  timeline: { ts: number; state: State }[] = [];
  /** Messages that a turn has answered or taken up. */
  readonly taken = new Set<string>();

  private readonly tools = new Map<string, ToolRow>();
  /** Every question, by what its answer names; ids are used once. */
  private readonly questions = new Map<string, QuestionRow>();
  private front = new Front();
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
        this.front.hasTodos = true;
        return;
      case 'ask.question':
        return this.ask(frame, ts);
      case 'ask.answer':
        return this.answered(frame.data);
      case 'usage':
        this.pendingUsage = frame.data;
        this.lastTurn = frame.data;
        this.usage = sum(this.usage, frame.data);
        this.front.hasUsage ||= !this.front.turn;
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

  /** Closes a question that waits no longer. What was answered is said by a frame of its own. */
  close(question: QuestionRow): void {
    if (!question.isOpen) return;
    question.isOpen = false;
    this.open.delete(question.id);
    this.touched.add(question);
  }

  private answered(answer: Answer): void {
    const question = this.questions.get(answer.id);
    if (question) this.settle(question, answer);
    else this.front.answers.set(answer.id, answer);
  }

  private settle(question: QuestionRow, { answers, by }: Answer): void {
    if (answers) question.answer = Object.values(answers).join(', ');
    question.by = by ?? null;
    this.close(question);
    this.touched.add(question);
  }

  private thread(agent: { parent_tool_use_id: string } | null | undefined): [Thread, ToolRow | null] {
    const id = agent?.parent_tool_use_id;
    if (id === undefined) return [this.rows, null];
    const parent = this.tools.get(id) ?? (this.isMidway ? this.callInFront(id) : null);
    return parent ? [parent.children, parent] : [this.rows, null];
  }

  /** A row for a call that stands further in front, until it comes. */
  private callInFront(id: string): ToolRow {
    const row: ToolRow = {
      kind: 'tool',
      key: `c${id}`,
      seq: this.seq,
      ts: 0,
      id,
      tool: 'Agent',
      input: {},
      inputBytes: null,
      output: null,
      outputBytes: null,
      durationMs: null,
      state: 'running',
      children: [],
    };
    this.rows.unshift(row);
    this.touched.add(row);
    this.front.calls.set(id, row);
    this.tools.set(id, row);
    return row;
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
    const isBehindCut = !thread.length && (!parent || this.front.calls.has(parent.id));
    const isCut = this.isMidway && messageId !== null && isBehindCut;
    this.push(thread, parent, {
      kind,
      key: `r${seq}`,
      seq,
      ts,
      messageId,
      text: data.text,
      open,
      isCut,
      by: data.by ?? null,
      images: data.images ?? [],
    });
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
    if (row) this.finish(row, data);
    if (!row || this.front.calls.has(row.id)) this.front.results.set(data.tool_use_id, data);
  }

  private finish(row: ToolRow, data: Result): void {
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
      by: null,
    } as QuestionRow);
    this.open.set(row.id, row);
    this.questions.set(row.id, row);
  }

  private status(state: State, ts: number): void {
    if (state === 'working' && (this.state !== 'waiting_for_input' || !this.front.status)) {
      this.workingSince = ts;
      this.front.isWorkingByFirst = !this.front.status;
    }
    this.front.status ??= state;
    this.front.hasClosed ||= state !== 'waiting_for_input';
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
    const turn = this.push(this.rows, null, {
      kind: 'turn',
      key: `r${seq}`,
      seq,
      ts,
      reason: data.reason,
      detail: data.detail ?? null,
      last: data.last,
      usage: this.pendingUsage,
      durationMs,
      by: data.asked_by ?? null,
    } as TurnRow);
    if (!this.workingSince) this.front.begunBefore.push(turn);
    else if (this.front.isWorkingByFirst) this.front.begunByFirst.push(turn);
    this.front.turn ??= turn;
    this.pendingUsage = null;
  }

  private meta({ data, seq }: Extract<Frame, { kind: 'meta' }>, ts: number): void {
    const by = data.by ?? null;
    const note = (what: NoteRow['what'], text: string) =>
      this.push(this.rows, null, { kind: 'note', key: `r${seq}${what}`, seq, ts, what, text, by });
    if (data.opening) {
      this.openings += 1;
      if (this.openings > 1 || this.isMidway) note('resumed', '');
    }
    const change = (what: Changing, value: string | null | undefined) => {
      if (!value) return;
      if (this[what] === null) {
        const row: NoteRow = { kind: 'note', key: `r${seq}${what}`, seq, ts, what, text: value, by };
        this.front.firsts.set(what, { note: row, after: this.rows.at(-1) ?? null });
      } else if (this[what] !== value) note(what, value);
      this[what] = value;
    };
    change('model', data.model);
    // What was asked for at first, or nothing, is what a change is one of.
    change('effort', data.effort ?? (data.opening && (data.opening.effort || '–')));
    change('permission', data.permissionMode);
    change('driver', data.driver);
    if (data.title !== undefined && data.title !== null) this.title = data.title;
    if (data.workdir) this.workdir = data.workdir;
    if (data.note) note('note', data.note);
  }

  /** Puts the fold of the frames in front before this one. `older` is of no use afterwards. */
  prepend(older: Fold): void {
    const { front } = this;
    this.joinCalls(older);
    this.joinTurns(older);
    // Of several changes at one place each comes behind the one that came before it.
    const behind = new Map<Row | null, Row>();
    for (const [what, { note, after: from }] of front.firsts) {
      const before = older[what];
      const after = behind.get(from) ?? from;
      if (before === null) older.front.firsts.set(what, { note, after: after ?? older.rows.at(-1) ?? null });
      else if (before !== note.text) {
        const at = after ? this.rows.indexOf(after) + 1 : 0;
        const next = this.rows[at];
        if (next && 'open' in next && next.isCut) {
          next.isCut = false;
          this.touched.add(next);
        }
        this.rows.splice(at, 0, note);
        this.touched.add(note);
        behind.set(from, note);
      }
    }
    this.joinThreads(older.rows, this.rows, older.isMidway);
    this.rows = older.rows.concat(this.rows);
    for (const [id, answer] of front.answers) {
      const question = older.questions.get(id);
      if (question) older.settle(question, answer);
      else older.front.answers.set(id, answer);
    }
    for (const question of older.open.values()) {
      const isOver = question.toolUseId !== null && front.results.has(question.toolUseId);
      if (front.hasClosed || isOver) older.close(question);
    }
    for (const row of older.touched) this.touched.add(row);
    this.open = new Map([...older.open, ...this.open]);
    for (const [id, row] of older.tools) this.tools.set(id, row);
    for (const [id, row] of older.questions) this.questions.set(id, row);
    this.usage = sum(older.usage, this.usage);
    this.lastTurn ??= older.lastTurn;
    this.turns += older.turns;
    this.frames += older.frames;
    this.hookCount += older.hookCount;
    this.hooks = [...older.hooks, ...this.hooks].slice(-HOOKS);
    this.timeline = [...older.timeline, ...this.timeline].slice(-TIMELINE);
    for (const message of older.taken) this.taken.add(message);
    if (!front.hasTodos) this.todos = older.todos;
    if (!front.status) {
      this.state = older.state;
      this.stateSince = older.stateSince;
    }
    this.title ??= older.title;
    this.workdir ??= older.workdir;
    this.model ??= older.model;
    this.effort ??= older.effort;
    this.permission ??= older.permission;
    this.driver ??= older.driver;
    this.openings += older.openings;
    this.isMidway = older.isMidway;
    this.front = this.joinFront(older);
  }

  /** Gives calls of `older` what came of them here. */
  private joinCalls(older: Fold): void {
    const { front } = this;
    if (front.calls.size) {
      const made = new Set<Row>(front.calls.values());
      this.rows = this.rows.filter((row) => !made.has(row));
    }
    for (const [id, call] of front.calls) {
      const real = older.tools.get(id);
      if (real) {
        this.joinThreads(real.children, call.children, older.front.calls.has(id));
        real.children.push(...call.children);
        this.touched.add(real);
      } else {
        older.rows.unshift(call);
        older.tools.set(id, call);
        older.front.calls.set(id, call);
      }
    }
    for (const [id, result] of front.results) {
      const row = older.tools.get(id);
      if (row) older.finish(row, result);
      if (!row || older.front.calls.has(id)) older.front.results.set(id, result);
    }
    if (front.turn) {
      for (const row of older.running.values()) {
        row.state = 'unfinished';
        this.touched.add(row);
      }
      older.running.clear();
    }
    this.running = new Map([...older.running, ...this.running]);
  }

  private joinTurns(older: Fold): void {
    const { front } = this;
    const began = (turns: TurnRow[]) => {
      for (const turn of turns) {
        turn.durationMs = older.workingSince && !turn.last ? turn.ts - older.workingSince : null;
        this.touched.add(turn);
      }
      const { begunBefore, begunByFirst, isWorkingByFirst } = older.front;
      if (!older.workingSince) begunBefore.push(...turns);
      else if (isWorkingByFirst) begunByFirst.push(...turns);
    };
    began(front.begunBefore);
    // Who answers a question goes on with the turn that asked it.
    const goesOn = front.status === 'working' && older.state === 'waiting_for_input' && older.front.status;
    if (goesOn) {
      began(front.begunByFirst);
      if (front.isWorkingByFirst) this.workingSince = 0;
    } else if (!older.front.status) older.front.begunByFirst.push(...front.begunByFirst);
    const isOurs = this.workingSince !== 0;
    if (isOurs) older.front.isWorkingByFirst = front.isWorkingByFirst && !older.front.status;
    else this.workingSince = older.workingSince;
    if (!front.turn) this.pendingUsage ??= older.pendingUsage;
    else if (!front.hasUsage && older.pendingUsage) {
      front.turn.usage = older.pendingUsage;
      this.touched.add(front.turn);
    }
  }

  /** The end of one thread and the beginning of what follows it may be one message. */
  private joinThreads(older: Thread, newer: Thread, isCut: boolean): void {
    const [last, first] = [older.at(-1), newer[0]];
    if (!first) return;
    if (last && 'open' in last) {
      const isSame = 'open' in first && first.kind === last.kind && first.messageId === last.messageId;
      if (isSame && (last.open || last.messageId !== null)) {
        first.text = last.text + first.text;
        first.isCut = last.isCut;
        older.pop();
        this.touched.add(first);
        return;
      }
      last.open = false;
    }
    if ('open' in first && first.isCut) {
      first.isCut = isCut && !older.length;
      this.touched.add(first);
    }
  }

  /** What is still not known. */
  private joinFront({ front: older }: Fold): Front {
    const newer = this.front;
    older.hasUsage ||= !older.turn && newer.hasUsage;
    older.turn ??= newer.turn;
    older.status ??= newer.status;
    older.hasClosed ||= newer.hasClosed;
    older.hasTodos ||= newer.hasTodos;
    return older;
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
        by: null,
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
