// A session that is looked at: its journal folded, live, and what is said to it.
import { api, asFault, done, type Fault } from '../api/client';
import type { Frame, Image, PermissionMode, Session } from '../api/types';
import { isLive } from '../api/types';
import { auth } from './auth.svelte';
import { Connection, type LinkStatus } from './connection';
import { clientId, safely } from './once';
import { Fold } from './fold';
import type { QuestionRow, Row } from './rows';

/** What tells a mounted row that it has changed. */
class Cell {
  version = $state(0);
}

export interface Queued {
  key: number;
  text: string;
  readonly images: Image[];
  state: 'sending' | 'sent' | 'failed';
  fault: Fault | null;
  /** What the box knows it by, however often it is sent. */
  readonly clientId: string;
}

/** Kinds that a conversation is made of: all but the terminal's bytes, which are many. */
const TALK = 'text.delta,thinking,tool.*,todo.update,ask.*,usage,status,stop,meta,hook';

/** Frames that a session is opened with: what is seen at its end, and some more. */
const LAST = 500;
/** Frames that are fetched at once from further in front, so that no other work waits for long. */
const OLDER = 4000;
/** As many, where somebody waits for all of them. */
const OLDER_ALL = 20_000;
/** Frames up to which older ones are fetched though nobody asked for them. */
const UNASKED = 100_000;

/** Milliseconds until a box that did not answer is asked for older frames again. */
const AWAY = 1000;

/** Frames that may be on their way still when what is there is drawn. */
const BEHIND = 1000;

/** Milliseconds between two looks at a session that is still being fetched. */
const SELDOM = 700;

/** A message with images, as the API takes it. */
function parts(text: string, images: Image[]) {
  const words = text ? [{ type: 'text' as const, text }] : [];
  const source = (image: Image) => ({ type: 'base64' as const, ...image });
  return [...words, ...images.map((image) => ({ type: 'image' as const, source: source(image) }))];
}

/** Runs something when the page has nothing else to do. */
function idle(work: () => void): void {
  // Not every browser says when that is.
  if ('requestIdleCallback' in window) requestIdleCallback(work, { timeout: 2000 });
  else setTimeout(work, 100);
}

export class OpenSession {
  readonly fold = new Fold();
  /** Changes with every batch of frames; the fold is no state of Svelte's. */
  version = $state(0);
  meta = $state.raw<Session | null>(null);
  link = $state.raw<LinkStatus>({ state: 'connecting', since: 0, retryAt: 0, last: 0 });
  fault = $state.raw<Fault | null>(null);
  isLoaded = $state(false);
  /** Whether older frames than those that are here can be had. */
  hasOlder = $state(false);
  isStopping = $state(false);
  queued = $state<Queued[]>([]);

  private readonly cells = new WeakMap<Row, Cell>();
  private readonly connection: Connection;
  private keys = 0;
  private shownAt = -SELDOM;
  private isStopped = false;
  private isFetchingIdly = false;
  private fetching: Promise<void> | null = null;

  constructor(readonly id: string) {
    this.connection = new Connection({
      path: `/api/sessions/${id}`,
      origin: location.origin,
      proof: () => auth.proof,
      kinds: TALK,
      last: LAST,
      onFrames: (frames) => this.take(frames),
      onStatus: (status) => {
        this.link = status;
        if (status.state === 'live' || status.state === 'ended') {
          this.isLoaded = true;
          this.fetchWhenIdle();
        }
        if (this.fold.touched.size && status.state !== 'connecting') this.show();
        if (status.state === 'ended' || status.state === 'live') void this.refresh();
        if (status.state === 'refused') auth.refused();
      },
    });
  }

  start(): void {
    this.isStopped = false;
    this.connection.start();
    void this.refresh();
  }

  stop(): void {
    this.isStopped = true;
    this.connection.stop();
  }

  /** Fetches frames in front of those that are here. Whoever asks meanwhile waits for the same. */
  older(limit = OLDER): Promise<void> {
    this.fetching ??= this.fetchOlder(limit).finally(() => (this.fetching = null));
    return this.fetching;
  }

  /** Fetches all there is in front, however long the box is away meanwhile. */
  async whole(): Promise<void> {
    while (this.hasOlder && !this.isStopped) {
      const before = this.connection.front;
      await this.older(OLDER_ALL);
      if (this.connection.front === before) await new Promise((resolve) => setTimeout(resolve, AWAY));
    }
  }

  /** Fetches what is in front as far as a frame, if there is such a one. */
  async upTo(seq: number): Promise<void> {
    for (;;) {
      const before = this.connection.front;
      if (!this.hasOlder || this.isStopped || before <= seq) return;
      await this.older(OLDER_ALL);
      if (this.connection.front === before) return;
    }
  }

  private async fetchOlder(limit: number): Promise<void> {
    try {
      const frames = await this.connection.older(limit);
      if (this.isStopped) return;
      const older = new Fold();
      older.isMidway = this.connection.front > 0;
      for (const frame of frames) older.add(frame);
      this.hasOlder = older.isMidway;
      this.fold.prepend(older);
      this.show();
    } catch (error) {
      // It is asked for again when somebody scrolls there, or the line is back.
      if (!asFault(error).isPassing) this.hasOlder = false;
    }
  }

  /** Fetches older frames while there is nothing else to do, so that who scrolls up finds them. */
  private fetchWhenIdle(): void {
    if (this.isFetchingIdly || !this.hasOlder) return;
    this.isFetchingIdly = true;
    const step = async () => {
      const before = this.connection.front;
      if (this.isStopped || !this.hasOlder || this.fold.frames >= UNASKED) return;
      await this.older();
      if (this.connection.front === before) this.isFetchingIdly = false;
      else idle(() => void step());
    };
    idle(() => void step());
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
      : this.fold.stateSince
        ? this.fold.state
        : (meta ?? 'starting');
  }

  private take(frames: Frame[]): void {
    if (!this.fold.frames) this.hasOlder = this.fold.isMidway = this.connection.front > 0;
    for (const frame of frames) this.fold.add(frame);
    this.settle(frames);
    // What is missed comes in pages; nobody can read what is drawn between them.
    const behind = this.link.last - (frames.at(-1)?.seq ?? 0);
    const isThere = this.isLoaded && behind < BEHIND;
    if (isThere || performance.now() - this.shownAt > SELDOM) this.show();
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
  send(text: string, images: Image[] = []): Promise<boolean> {
    const key = ++this.keys;
    this.queued.push({ key, text, images, state: 'sending', fault: null, clientId: clientId() });
    return this.deliver(key);
  }

  /** Sends a message again that may have arrived, or not. Claude gets it once. */
  async deliver(key: number): Promise<boolean> {
    // The state's own proxy, which is what the page shows.
    const message = this.queued.find((one) => one.key === key);
    if (!message) return false;
    message.state = 'sending';
    message.fault = null;
    const { text, images, clientId: client_id } = message;
    const command = /^[/!]\S/.test(text) && !images.length;
    const body = images.length
      ? { content: parts(text, images), client_id }
      : { data: text, encoding: command ? ('command' as const) : ('utf8' as const), client_id };
    try {
      await safely(() =>
        done(
          api.POST('/api/sessions/{id}/input', {
            params: { path: { id: this.id } },
            body,
          }),
        ),
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
    const client_id = clientId();
    await this.act(
      () =>
        safely(() =>
          done(
            api.POST('/api/sessions/{id}/answer', {
              params: { path: { id: this.id } },
              body: { id: question.id, answers, client_id },
            }),
          ),
        ),
      'no_such_question',
    );
    if (this.fault) return;
    // The frame says the same, and by whom; a page must not wait for it.
    question.answer ??= Object.values(answers).join(', ');
    this.fold.close(question);
    this.show();
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

  async setEffort(effort: string): Promise<void> {
    await this.act(() =>
      done(api.POST('/api/sessions/{id}/effort', { params: { path: { id: this.id } }, body: { effort } })),
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
