// A session that is looked at: its journal folded, live, and what is said to it.
import { api, asFault, done, type Fault } from '../api/client';
import type { Frame, PermissionMode, Session } from '../api/types';
import { isLive } from '../api/types';
import { auth } from './auth.svelte';
import { Connection, type LinkStatus } from './connection';
import { Fold, type QuestionRow, type Row } from './fold';

/** What tells a mounted row that it has changed. */
class Cell {
  version = $state(0);
}

export interface Queued {
  key: number;
  text: string;
  state: 'sending' | 'sent' | 'failed';
  fault: Fault | null;
}

/** Kinds that a conversation is made of: all but the terminal's bytes, which are many. */
const TALK = 'text.delta,thinking,tool.*,todo.update,ask.question,usage,status,stop,meta,hook';

/** Milliseconds between two looks at a session that is still being fetched. */
const SELDOM = 700;

export class OpenSession {
  readonly fold = new Fold();
  /** Changes with every batch of frames; the fold is no state of Svelte's. */
  version = $state(0);
  meta = $state.raw<Session | null>(null);
  link = $state.raw<LinkStatus>({ state: 'connecting', since: 0, retryAt: 0, last: 0 });
  fault = $state.raw<Fault | null>(null);
  isLoaded = $state(false);
  isStopping = $state(false);
  queued = $state<Queued[]>([]);

  private readonly cells = new WeakMap<Row, Cell>();
  private readonly connection: Connection;
  private keys = 0;
  private shownAt = -SELDOM;

  constructor(readonly id: string) {
    this.connection = new Connection({
      path: `/api/sessions/${id}`,
      origin: location.origin,
      token: () => auth.token,
      kinds: TALK,
      onFrames: (frames) => this.take(frames),
      onStatus: (status) => {
        this.link = status;
        if (status.state === 'live' || status.state === 'ended') this.isLoaded = true;
        if (this.fold.touched.size && status.state !== 'connecting') this.show();
        if (status.state === 'ended' || status.state === 'live') void this.refresh();
        if (status.state === 'refused') auth.refused();
      },
    });
  }

  start(): void {
    this.connection.start();
    void this.refresh();
  }

  stop(): void {
    this.connection.stop();
  }

  reconnect(): void {
    this.connection.wake();
  }

  /** Says that a row is read, which is read anew when a frame has touched it. */
  watch(row: Row): number {
    return this.cells.get(row)?.version ?? 0;
  }

  get state() {
    void this.version;
    const meta = this.meta?.state;
    // A keeper that died says nothing any more; then the list's word counts.
    return meta && !isLive(meta) && this.link.state === 'ended'
      ? meta
      : this.fold.seq
        ? this.fold.state
        : (meta ?? 'starting');
  }

  private take(frames: Frame[]): void {
    for (const frame of frames) this.fold.add(frame);
    this.settle(frames);
    // A long journal comes in many pages; nobody can read what is drawn between them.
    if (this.isLoaded || performance.now() - this.shownAt > SELDOM) this.show();
  }

  private show(): void {
    this.shownAt = performance.now();
    for (const row of this.fold.touched) {
      // Made here and not when it is first watched: what is made while something is derived is no
      // reason to derive it anew.
      const cell = this.cells.get(row);
      if (cell) cell.version += 1;
      else this.cells.set(row, new Cell());
    }
    this.fold.touched.clear();
    this.version += 1;
  }

  /** Messages that appear in the journal are no longer ours to show. */
  private settle(frames: Frame[]): void {
    for (const frame of frames) {
      if (frame.kind === 'stop') this.isStopping = false;
      if (frame.kind === 'status' && frame.data.state !== 'working') this.isStopping = false;
      if (frame.kind !== 'text.delta' || frame.data.role !== 'user') continue;
      const said = frame.data.text.trim();
      const at = this.queued.findIndex(
        (message) => message.text.trim() === said && message.state !== 'failed',
      );
      if (at >= 0) this.queued.splice(at, 1);
    }
  }

  async refresh(): Promise<void> {
    try {
      this.meta = await done(api.GET('/api/sessions/{id}', { params: { path: { id: this.id } } }));
    } catch (error) {
      const fault = asFault(error);
      // That the box does not answer is said by the line to it.
      if (!fault.isPassing) this.fault = fault;
    }
  }

  /** Sends a message; it is shown as on its way until the journal has it. */
  async send(text: string): Promise<boolean> {
    const key = ++this.keys;
    this.queued.push({ key, text, state: 'sending', fault: null });
    // The state's own proxy, which is what the page shows.
    const message = this.queued.find((one) => one.key === key);
    if (!message) return false;
    const command = /^[/!]\S/.test(text);
    try {
      await done(
        api.POST('/api/sessions/{id}/input', {
          params: { path: { id: this.id } },
          body: { data: text, encoding: command ? 'command' : 'utf8' },
        }),
      );
      message.state = 'sent';
      // Commands of Claude's interface are no messages, and appear nowhere.
      if (command) this.forget(key);
      return true;
    } catch (error) {
      message.state = 'failed';
      message.fault = asFault(error);
      return false;
    }
  }

  forget(key: number): void {
    this.queued = this.queued.filter((message) => message.key !== key);
  }

  async answer(question: QuestionRow, answers: Record<string, string>): Promise<void> {
    await this.act(
      () =>
        done(
          api.POST('/api/sessions/{id}/answer', {
            params: { path: { id: this.id } },
            body: { id: question.id, answers },
          }),
        ),
      'no_such_question',
    );
    if (this.fault) return;
    this.fold.close(question, Object.values(answers).join(', '));
    this.take([]);
  }

  async interrupt(): Promise<void> {
    this.isStopping = true;
    await this.act(() =>
      done(api.POST('/api/sessions/{id}/interrupt', { params: { path: { id: this.id } } })),
    );
    if (this.fault) this.isStopping = false;
  }

  async setModel(model: string): Promise<void> {
    await this.act(() =>
      done(api.POST('/api/sessions/{id}/model', { params: { path: { id: this.id } }, body: { model } })),
    );
    await this.refresh();
  }

  async setPermission(mode: PermissionMode): Promise<void> {
    await this.act(() =>
      done(api.POST('/api/sessions/{id}/permission', { params: { path: { id: this.id } }, body: { mode } })),
    );
    await this.refresh();
  }

  async rename(title: string): Promise<void> {
    await this.act(() =>
      done(api.PATCH('/api/sessions/{id}', { params: { path: { id: this.id } }, body: { title } })),
    );
    await this.refresh();
  }

  async setDriver(driver: 'stream' | 'tty'): Promise<void> {
    await this.act(() =>
      done(api.POST('/api/sessions/{id}/driver', { params: { path: { id: this.id } }, body: { driver } })),
    );
    await this.refresh();
  }

  async end(): Promise<void> {
    await this.act(() => done(api.DELETE('/api/sessions/{id}', { params: { path: { id: this.id } } })));
    await this.refresh();
  }

  /** Continues an ended session under its own id. */
  async resume(): Promise<void> {
    await this.act(() => done(api.POST('/api/sessions', { body: { resume: this.id, env: {} } })));
    if (!this.fault) this.connection.start();
    await this.refresh();
  }

  /** Does something and keeps what went wrong; `benign` is no fault. */
  private async act(what: () => Promise<unknown>, benign?: string): Promise<void> {
    this.fault = null;
    try {
      await what();
    } catch (error) {
      const fault = asFault(error);
      if (fault.code !== benign) this.fault = fault;
    }
  }
}
