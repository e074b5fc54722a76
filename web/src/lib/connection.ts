// A stream of a session's or a shell's frames that survives whatever happens to the line.
//
// What is missing is fetched by pages, which is faster than any socket, and then one WebSocket goes
// on from there, with as many frames in a message as are ready. The cursor is the seq of the last
// frame that was *handled*, so a line that breaks costs no frame and doubles none.
//
// A long journal can be opened at its end: then its last frames come first, and older ones when they
// are asked for.
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

/** What the server says on a silent line: all frames up to this one were sent or passed over. */
interface Keepalive {
  keepalive: number;
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
  /** The proof of the sign-in; empty where none is asked for. */
  proof: () => string;
  /** Kinds of frames that are wanted; all, if not said. */
  kinds?: string;
  /** Begins with the last so many bytes of the journal instead of its first frame. */
  tail?: number;
  /** Begins with the last so many frames; those in front come by `older`. */
  last?: number;
  onFrames: (frames: Frame[]) => void;
  onStatus: (status: LinkStatus) => void;
}

/** Frames of a page: few enough that the box makes the next one while this one is taken up. */
export const PAGE = 2500;
/** Frames that are left to the socket, which is opened in any case. */
const FEW = 500;
const HANDSHAKE = 10_000;
const PATIENCE = 30_000;
// The server speaks every twenty seconds at least; a line that was silent for longer is none.
const STALE = 45_000;
const SILENT = 70_000;
const STEADY = 3_000;
const WAITING = 20_000;
const MOST_WAIT = 30_000;
/** Above every seq. */
const END = Number.MAX_SAFE_INTEGER;

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
  /** What is in front of the first frame that is here: `before` of the page to ask for, 0 if nothing. */
  front = 0;
  private queue: Frame[] = [];
  private scheduled = false;
  private generation = 0;
  private socket: WebSocket | null = null;
  private attempt = 0;
  private lastHeard = 0;
  private refs = 0;
  private readonly replies = new Map<number, (reply: Reply | null) => void>();
  private hangUp: (() => void) | null = null;
  private wakeUp: (() => void) | null = null;
  private timer: ReturnType<typeof setInterval> | null = null;
  private isFirst = true;
  private status: LinkStatus = { state: 'connecting', since: 0, retryAt: 0, last: 0 };

  constructor(
    private readonly options: Options,
    private readonly world: World = browser,
  ) {}

  start(): void {
    this.stop();
    this.generation += 1;
    this.attempt = 0;
    this.tell({ state: 'connecting', since: this.world.now(), retryAt: 0 });
    globalThis.addEventListener?.('online', this.wake);
    globalThis.addEventListener?.('focus', this.wake);
    globalThis.document?.addEventListener('visibilitychange', this.wake);
    this.timer = setInterval(() => this.probe(SILENT), SILENT / 7);
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
    this.probe(STALE);
  };

  /**
   * The frames in front of the first that is here, at most `limit` of them; none if nothing is in
   * front. Throws what a request throws.
   */
  async older(limit: number): Promise<Frame[]> {
    if (!this.front) return [];
    const before = this.front;
    const page = await this.fetchPage(this.query({ before, limit }));
    if (before !== this.front) return [];
    const previous = page.previous ?? 0;
    // A search that got nowhere in its time is not begun anew for ever.
    this.front = previous < before ? previous : 0;
    return page.frames;
  }

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
        if (!(this.isFirst && this.options.tail)) await this.catchUp(isOver);
        if (isOver()) return;
        await this.follow(isOver);
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

  private page(from: number): Promise<Transcript> {
    return this.fetchPage(this.query({ from, limit: PAGE }));
  }

  private async fetchPage(query: string): Promise<Transcript> {
    const proof = this.options.proof();
    const answer = await this.world.fetch(`${this.options.origin}${this.options.path}/transcript?${query}`, {
      headers: proof ? { 'x-cib-proof': proof } : {},
      signal: AbortSignal.timeout(PATIENCE),
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
    if (this.isFirst && this.options.last) {
      const page = await this.fetchPage(this.query({ before: END, limit: this.options.last }));
      if (isOver()) return;
      this.isFirst = false;
      this.lastHeard = this.world.now();
      this.front = page.previous ?? 0;
      this.tell({ last: page.last_seq });
      this.take(page);
      return;
    }
    let asked = this.page(this.cursor);
    for (let isMore = true; isMore;) {
      const page = await asked;
      if (isOver()) return;
      isMore = page.next > this.cursor && page.last_seq - page.next > FEW;
      if (isMore) {
        asked = this.page(page.next);
        // What is wrong with it is said when it is waited for.
        asked.catch(() => undefined);
      }
      this.isFirst = false;
      this.lastHeard = this.world.now();
      this.tell({ last: page.last_seq });
      this.take(page);
    }
  }

  private take(page: Transcript): void {
    if (page.frames.length) this.options.onFrames(page.frames.filter((frame) => frame.seq > this.cursor));
    this.cursor = Math.max(this.cursor, page.next);
  }

  private live(): void {
    this.tell({ state: 'live', since: 0, retryAt: 0 });
  }

  /** Goes on by a socket; returns or throws when that is over. */
  private follow(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const isTail = this.isFirst && this.options.tail;
      const from: Record<string, number> = isTail ? { tail: this.options.tail ?? 0 } : { from: this.cursor };
      const query = this.query({ ...from, keepalive: 1 });
      const proof = this.options.proof();
      const address = `${this.options.origin.replace(/^http/, 'ws')}${this.options.path}/stream?${query}`;
      const socket = this.world.socket(address, proof ? ['jsonl', `proof.${proof}`] : ['jsonl']);
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
        for (const line of message.data.split('\n')) {
          this.hear(JSON.parse(line) as Frame | Reply | Keepalive);
          // What is behind a frame that was not taken is fetched again, and must not come first.
          if (this.socket !== socket || socket.readyState !== 1) return;
        }
      };
      const closed = (code: number) => {
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
      socket.onclose = ({ code }) => closed(code);
      this.hangUp = () => closed(1006);
      socket.onerror = () => undefined;
    });
  }

  private hear(said: Frame | Reply | Keepalive): void {
    if ('seq' in said) {
      this.attempt = 0;
      this.enqueue(said);
    } else if ('keepalive' in said) {
      this.flush();
      // Whoever wants all kinds has had every frame up to that one, or the line lost some.
      if (!this.options.kinds && said.keepalive > this.cursor && this.cursor) this.socket?.close();
      else this.cursor = Math.max(this.cursor, said.keepalive);
    } else if (said.ref !== undefined) {
      this.replies.get(said.ref)?.(said);
      this.replies.delete(said.ref);
    }
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
    this.socket = this.hangUp = null;
    socket?.close();
    for (const resolve of this.replies.values()) resolve(null);
    this.replies.clear();
  }

  /** Ends a line that was silent for longer than a live one is; another is made at once. */
  private probe(longest: number): void {
    const socket = this.socket;
    if (!socket || socket.readyState !== 1 || this.world.isHidden()) return;
    if (this.world.now() - this.lastHeard > longest) {
      this.attempt = 0;
      // Closing alone would wait for an answer that may never come.
      this.hangUp?.();
    }
  }
}
