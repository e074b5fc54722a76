// A stream of a session's or a shell's frames that survives whatever happens to the line.
//
// What is missing is fetched by pages, which is far faster than a message a frame, and then one
// WebSocket goes on from there. The cursor is the seq of the last frame that was *handled*, so a
// line that breaks costs no frame and doubles none.
import type { Frame, Transcript } from '../api/types';

export type LinkState = 'connecting' | 'live' | 'waiting' | 'ended' | 'gone' | 'refused' | 'stopped';

export interface LinkStatus {
  state: LinkState;
  /** Since when there is no link, in milliseconds of the clock; 0 while there is one. */
  since: number;
  /** When it is tried again; 0 if that is now. */
  retryAt: number;
  /** Seq of the last frame in the journal, as far as is known; for progress. */
  last: number;
}

export interface Reply {
  ref: number;
  done: boolean;
  error?: string;
  detail?: string;
}

/** What the class needs of a browser, so that tests can stand in for it. */
export interface World {
  fetch: typeof fetch;
  socket: (url: string, protocols: string[]) => WebSocket;
  now: () => number;
  random: () => number;
  isHidden: () => boolean;
  /** Runs something soon, when the page is drawn next. */
  soon: (work: () => void) => void;
}

export interface Options {
  /** `/api/sessions/ID` or `/api/shells/ID`. */
  path: string;
  origin: string;
  token: () => string;
  /** Kinds of frames that are wanted; all, if not said. */
  kinds?: string;
  /** Begins with the last so many bytes of the journal instead of its first frame. */
  tail?: number;
  onFrames: (frames: Frame[]) => void;
  onStatus: (status: LinkStatus) => void;
}

export const PAGE = 4000;
const HANDSHAKE = 10_000;
const PATIENCE = 30_000;
const STALE = 45_000;
const SILENT = 70_000;
const STEADY = 3_000;
const WAITING = 20_000;
const LONG_POLL = 25_000;
const MOST_WAIT = 30_000;

/** The browser itself. */
export const browser: World = {
  fetch: (...asked) => fetch(...asked),
  socket: (url, protocols) => new WebSocket(url, protocols),
  now: () => Date.now(),
  random: () => Math.random(),
  isHidden: () => document.hidden,
  // No frame is drawn in a hidden page.
  soon: (work) => {
    if (document.hidden) setTimeout(work, 250);
    else requestAnimationFrame(work);
  },
};

/** Whether a token can be said in a subprotocol: other characters are not allowed there. */
export function fitsSocket(token: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]*$/.test(token);
}

class Ended extends Error {
  constructor(readonly state: 'ended' | 'gone' | 'refused') {
    super(state);
  }
}
class Later extends Error {
  constructor(readonly ms: number) {
    super('later');
  }
}

export class Connection {
  /** Seq of the last frame that was handled. */
  cursor = 0;
  private queue: Frame[] = [];
  private scheduled = false;
  private generation = 0;
  private socket: WebSocket | null = null;
  private attempt = 0;
  private lastHeard = 0;
  private refs = 0;
  private readonly replies = new Map<number, (reply: Reply | null) => void>();
  private wakeUp: (() => void) | null = null;
  private timer: ReturnType<typeof setInterval> | null = null;
  private isFirst = true;
  private isPolled = false;
  private status: LinkStatus = { state: 'connecting', since: 0, retryAt: 0, last: 0 };

  constructor(
    private readonly options: Options,
    private readonly world: World = browser,
  ) {
    this.isPolled = !fitsSocket(options.token());
  }

  start(): void {
    this.stop();
    this.generation += 1;
    this.attempt = 0;
    this.tell({ state: 'connecting', since: this.world.now(), retryAt: 0 });
    globalThis.addEventListener?.('online', this.wake);
    globalThis.addEventListener?.('focus', this.wake);
    globalThis.document?.addEventListener('visibilitychange', this.wake);
    this.timer = setInterval(() => void this.probe(), SILENT / 2);
    void this.run(this.generation);
  }

  stop(): void {
    this.generation += 1;
    globalThis.removeEventListener?.('online', this.wake);
    globalThis.removeEventListener?.('focus', this.wake);
    globalThis.document?.removeEventListener('visibilitychange', this.wake);
    if (this.timer) clearInterval(this.timer);
    this.drop();
    this.wakeUp?.();
  }

  /** Tries again at once, and asks whether a line that was silent for long is still one. */
  readonly wake = (): void => {
    if (this.world.isHidden()) return;
    this.wakeUp?.();
    if (this.socket && this.world.now() - this.lastHeard > STALE) void this.probe(true);
  };

  /**
   * Sends a command on the stream. False if there is no line for it; `null` comes if the line broke
   * before it was answered: then nobody knows whether it was done.
   */
  command(command: object): Promise<Reply | null> | false {
    const socket = this.socket;
    if (!socket || socket.readyState !== 1) return false;
    const ref = ++this.refs;
    socket.send(JSON.stringify({ ref, command }));
    return new Promise((resolve) => this.replies.set(ref, resolve));
  }

  private tell(change: Partial<LinkStatus>): void {
    this.status = { ...this.status, ...change };
    this.options.onStatus(this.status);
  }

  private async run(generation: number): Promise<void> {
    const isOver = () => generation !== this.generation;
    while (!isOver()) {
      let wait: number | null = null;
      try {
        if (!(this.isFirst && this.options.tail && !this.isPolled)) await this.catchUp(isOver);
        if (isOver()) return;
        if (this.isPolled) await this.poll(isOver);
        else await this.follow(isOver);
      } catch (error) {
        if (isOver()) return;
        this.flush();
        if (error instanceof Ended) {
          this.tell({ state: error.state, since: 0, retryAt: 0 });
          return;
        }
        if (error instanceof Later) wait = error.ms;
      }
      if (isOver()) return;
      this.flush();
      await this.pause(wait, isOver);
    }
  }

  /** Waits before the next attempt: not at all, then 1, 2, 4 … 30 s; hidden pages wait to be seen. */
  private async pause(wait: number | null, isOver: () => boolean): Promise<void> {
    const step = this.attempt === 0 ? 0 : Math.min(MOST_WAIT, 1000 * 2 ** (this.attempt - 1));
    const ms = wait ?? step * (0.75 + this.world.random() / 2);
    this.attempt += 1;
    const since = this.status.since || this.world.now();
    this.tell({ state: ms ? 'waiting' : 'connecting', since, retryAt: ms ? this.world.now() + ms : 0 });
    if (ms) {
      await new Promise<void>((resolve) => {
        let isDone = false;
        const go = () => {
          if (isDone || (this.world.isHidden() && !isOver())) return;
          isDone = true;
          this.wakeUp = null;
          resolve();
        };
        this.wakeUp = go;
        setTimeout(go, ms);
      });
    }
    if (!isOver()) this.tell({ state: 'connecting', retryAt: 0 });
  }

  private query(extra: Record<string, string | number>): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(extra)) query.set(name, String(value));
    if (this.options.kinds) query.set('kinds', this.options.kinds);
    return query.toString();
  }

  private async page(limit: number, wait: number): Promise<Transcript> {
    const query = this.query({ from: this.cursor, limit, ...(wait ? { wait_ms: wait } : {}) });
    const token = this.options.token();
    const answer = await this.world.fetch(`${this.options.origin}${this.options.path}/transcript?${query}`, {
      headers: token ? { authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.timeout(PATIENCE + wait),
    });
    if (answer.status === 401) throw new Ended('refused');
    if (answer.status === 404) throw new Ended('gone');
    if (!answer.ok) {
      const after = Number(answer.headers.get('retry-after'));
      throw after > 0 ? new Later(after * 1000) : new Error(`status ${answer.status}`);
    }
    return (await answer.json()) as Transcript;
  }

  /** Fetches pages until there is nothing more to fetch. */
  private async catchUp(isOver: () => boolean): Promise<void> {
    for (;;) {
      const page = await this.page(PAGE, 0);
      if (isOver()) return;
      this.isFirst = false;
      this.lastHeard = this.world.now();
      this.tell({ last: page.last_seq });
      this.take(page);
      if (page.frames.length < PAGE) return;
    }
  }

  private take(page: Transcript): void {
    if (page.frames.length) this.options.onFrames(page.frames.filter((frame) => frame.seq > this.cursor));
    this.cursor = Math.max(this.cursor, page.next);
  }

  /** Goes on by long polls, where there can be no socket. */
  private async poll(isOver: () => boolean): Promise<void> {
    this.live();
    for (;;) {
      const page = await this.page(PAGE, LONG_POLL);
      if (isOver()) return;
      this.lastHeard = this.world.now();
      this.attempt = 0;
      this.take(page);
    }
  }

  private live(): void {
    this.tell({ state: 'live', since: 0, retryAt: 0 });
  }

  /** Goes on by a socket; returns or throws when that is over. */
  private follow(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const isTail = this.isFirst && this.options.tail;
      const query = this.query(isTail ? { tail: this.options.tail ?? 0 } : { from: this.cursor });
      const token = this.options.token();
      const address = `${this.options.origin.replace(/^http/, 'ws')}${this.options.path}/stream?${query}`;
      const socket = this.world.socket(address, token ? ['json', `bearer.${token}`] : ['json']);
      this.socket = socket;
      let opened = 0;
      const deadline = setTimeout(() => socket.close(), HANDSHAKE);
      const end = (error?: Error) => {
        clearTimeout(deadline);
        if (this.socket === socket) this.drop();
        if (error) reject(error);
        else resolve();
      };
      socket.onopen = () => {
        clearTimeout(deadline);
        opened = this.lastHeard = this.world.now();
        this.isFirst = false;
        this.live();
      };
      socket.onmessage = (message: MessageEvent<string>) => {
        if (this.socket !== socket || isOver()) return;
        this.lastHeard = this.world.now();
        const said = JSON.parse(message.data) as Frame | Reply;
        if ('seq' in said) {
          this.attempt = 0;
          this.enqueue(said);
        } else if (said.ref !== undefined) {
          this.replies.get(said.ref)?.(said);
          this.replies.delete(said.ref);
        }
      };
      socket.onclose = ({ code }) => {
        if (this.socket !== socket && !isOver()) return end();
        if (opened && this.world.now() - opened > STEADY) this.attempt = 0;
        // Taken before anything else is asked for: the cursor says what to ask for.
        this.flush();
        if (code === 1000) return end(new Ended('ended'));
        if (code === 4410) return end(new Ended('gone'));
        if (code === 4401) return end(new Ended('refused'));
        // Who refuses the handshake says why in an answer that only a request shows: the pages do.
        end();
      };
      socket.onerror = () => undefined;
    });
  }

  private enqueue(frame: Frame): void {
    this.queue.push(frame);
    if (this.queue.length > WAITING) {
      // A page this far behind is faster by pages; what waits is fetched again.
      this.queue = [];
      this.socket?.close();
      return;
    }
    if (this.scheduled) return;
    this.scheduled = true;
    this.world.soon(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    const frames = this.queue.filter((frame) => frame.seq > this.cursor);
    this.queue = [];
    const last = frames.at(-1);
    if (!last) return;
    this.cursor = last.seq;
    this.options.onFrames(frames);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    for (const resolve of this.replies.values()) resolve(null);
    this.replies.clear();
  }

  /**
   * Whether a line that has been silent for long is still one. Browsers hide the server's pings, so a
   * page is asked for: if it fails or has what the line should have brought, the line is dead.
   */
  private async probe(isUrgent = false): Promise<void> {
    const socket = this.socket;
    const silent = this.world.now() - this.lastHeard;
    if (!socket || socket.readyState !== 1 || this.world.isHidden()) return;
    if (silent < (isUrgent ? STALE : SILENT)) return;
    const before = this.cursor;
    const isAlive = await this.page(1, 0).then(
      (page) => page.frames.length === 0 || this.cursor > before || this.queue.length > 0,
      () => false,
    );
    if (this.socket !== socket) return;
    if (isAlive) this.lastHeard = this.world.now();
    else socket.close();
  }
}
