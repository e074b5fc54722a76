// Looking for words in what was said, a moment after somebody has stopped typing them.
import { api, asFault, done, type Fault } from '../api/client';
import type { SearchHit } from '../api/types';

/** Milliseconds without a key before the box is asked: a search reads journals. */
const PAUSE = 350;

/** Fewer letters are in everything. */
const LEAST = 2;

export class Search {
  hits = $state.raw<SearchHit[]>([]);
  isBusy = $state(false);
  /** What goes on behind what was looked through; null if that is all. */
  next = $state<string | null>(null);
  fault = $state.raw<Fault | null>(null);
  /** What was looked for. */
  words = $state('');
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running: AbortController | null = null;

  /** Looks for other words, in a moment. */
  type(words: string): void {
    const wanted = words.trim();
    if (wanted === this.words) return;
    this.stop();
    this.words = wanted;
    this.hits = [];
    this.next = null;
    this.fault = null;
    if (wanted.length < LEAST || wanted.length > 200) return;
    this.isBusy = true;
    this.timer = setTimeout(() => void this.ask(), PAUSE);
  }

  more(): void {
    if (!this.isBusy && this.next) void this.ask();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.running?.abort();
    this.running = null;
    this.isBusy = false;
  }

  private async ask(): Promise<void> {
    const mine = new AbortController();
    this.running = mine;
    this.isBusy = true;
    const query = { q: this.words, ...(this.next ? { after: this.next } : {}) };
    try {
      const found = await done(api.GET('/api/search', { params: { query }, signal: mine.signal }));
      if (this.running !== mine) return;
      this.hits = [...this.hits, ...found.hits];
      this.next = found.next ?? null;
    } catch (error) {
      if (this.running !== mine) return;
      this.fault = asFault(error);
    }
    this.isBusy = false;
  }
}

/** Where a hit is read: at its newest place, or the session. */
export function addressOf(hit: SearchHit, seq = hit.places[0]?.seq): string {
  return seq ? `/s/${hit.session}/at/${seq}` : `/s/${hit.session}`;
}
