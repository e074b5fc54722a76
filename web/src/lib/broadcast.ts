// What changes in the whole box, live: one socket for everything that lists show.
//
// Each event says the whole of its subject, so nothing is lost by taking only the last one of each.
// The cursor is the last event that was handled; if the box no longer knows it, a snapshot comes.
import type { BoxEvent } from '../api/types';
import { browser, type World } from './connection';

export interface Listener {
  origin: string;
  proof: () => string;
  onEvents: (events: BoxEvent[]) => void;
  /** Since when there is no line, in milliseconds of the clock; 0 while there is one. */
  onSilence: (since: number) => void;
  onRefused: () => void;
}

const HANDSHAKE = 10_000;
// The server speaks every twenty seconds at least.
const SILENT = 70_000;
const STALE = 45_000;
const MOST_WAIT = 30_000;

export class Broadcast {
  cursor = '';
  private isWanted = false;
  private socket: WebSocket | null = null;
  private attempt = 0;
  private lastHeard = 0;
  private since = 0;
  private retry: ReturnType<typeof setTimeout> | null = null;
  private watch: ReturnType<typeof setInterval> | null = null;

  constructor(
    private readonly listener: Listener,
    private readonly world: World = browser,
  ) {}

  start(): void {
    this.stop();
    this.isWanted = true;
    this.attempt = 0;
    globalThis.addEventListener?.('online', this.wake);
    globalThis.addEventListener?.('focus', this.wake);
    globalThis.document?.addEventListener('visibilitychange', this.wake);
    this.watch = setInterval(() => this.probe(SILENT), SILENT / 7);
    this.connect();
  }

  stop(): void {
    this.isWanted = false;
    globalThis.removeEventListener?.('online', this.wake);
    globalThis.removeEventListener?.('focus', this.wake);
    globalThis.document?.removeEventListener('visibilitychange', this.wake);
    if (this.watch) clearInterval(this.watch);
    if (this.retry) clearTimeout(this.retry);
    this.retry = null;
    this.drop();
  }

  /** Tries again at once, and gives a line up that was silent for longer than a live one is. */
  readonly wake = (): void => {
    if (!this.isWanted || this.world.isHidden()) return;
    if (this.retry) {
      clearTimeout(this.retry);
      this.retry = null;
      this.connect();
    } else this.probe(STALE);
  };

  private query(): string {
    const query = new URLSearchParams();
    if (this.cursor) query.set('cursor', this.cursor);
    return query.toString();
  }

  private connect(): void {
    const proof = this.listener.proof();
    const address = `${this.listener.origin.replace(/^http/, 'ws')}/api/stream?keepalive=1&${this.query()}`;
    const socket = this.world.socket(address, proof ? ['jsonl', `proof.${proof}`] : ['jsonl']);
    this.socket = socket;
    const deadline = setTimeout(() => socket.close(), HANDSHAKE);
    socket.onopen = () => {
      clearTimeout(deadline);
      this.open();
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => {
      if (this.socket === socket) this.hear(data.split('\n'));
    };
    socket.onclose = ({ code }) => {
      clearTimeout(deadline);
      if (this.socket === socket) this.closed(code === 4401);
    };
  }

  private open(): void {
    this.lastHeard = this.world.now();
    this.attempt = 0;
    this.since = 0;
    this.listener.onSilence(0);
  }

  private hear(lines: string[]): void {
    this.lastHeard = this.world.now();
    const events = lines.map((line) => JSON.parse(line) as BoxEvent | { keepalive: string });
    const told = events.filter((event): event is BoxEvent => 'event' in event);
    this.cursor = told.at(-1)?.cursor ?? this.cursor;
    if (told.length) this.listener.onEvents(told);
  }

  private closed(isRefused: boolean): void {
    this.drop();
    if (!this.isWanted) return;
    if (isRefused) {
      this.isWanted = false;
      this.listener.onRefused();
      return;
    }
    this.since ||= this.world.now();
    this.listener.onSilence(this.since);
    const step = this.attempt === 0 ? 0 : Math.min(MOST_WAIT, 1000 * 2 ** (this.attempt - 1));
    this.attempt += 1;
    const go = () => {
      // Nobody looks; who comes back wakes it.
      if (this.world.isHidden() && step) return;
      this.retry = null;
      this.connect();
    };
    this.retry = setTimeout(go, step * (0.75 + this.world.random() / 2));
  }

  private drop(): void {
    const { socket } = this;
    this.socket = null;
    socket?.close();
  }

  private probe(longest: number): void {
    if (!this.socket || this.world.isHidden()) return;
    if (this.lastHeard && this.world.now() - this.lastHeard > longest) {
      this.attempt = 0;
      this.closed(false);
    }
  }
}
