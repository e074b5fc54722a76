// What the pages know of the box: sessions, shells and the box itself, from its one stream.
import { api, asFault, done, type Fault } from '../api/client';
import type { BoxEvent, Info, Session, Shell, State } from '../api/types';
import { isLive } from '../api/types';
import { auth } from './auth.svelte';
import { Broadcast } from './broadcast';
import { take, type Known, type Viewers } from './known';

/** The smaller, the more it needs somebody. */
const ATTENTION: Record<State, number> = {
  waiting_for_input: 0,
  working: 1,
  starting: 2,
  idle: 3,
  interrupted: 4,
  failed: 5,
  stopped: 6,
};

export function byAttention(a: Session, b: Session): number {
  return ATTENTION[a.state] - ATTENTION[b.state] || activity(b).localeCompare(activity(a));
}

/** When something last happened in a session. */
export function activity(session: Session): string {
  return session.stopped_at ?? session.active_at ?? session.started_at ?? session.created_at;
}

const NOTHING: Known = { sessions: new Map(), viewers: new Map(), shells: new Map(), box: null };

class Box {
  sessions = $state.raw<Session[]>([]);
  shells = $state.raw<Shell[]>([]);
  /** Streams of each session that are open, this page's own included. */
  viewers = $state.raw<Map<string, Viewers>>(new Map());
  info = $state.raw<Info | null>(null);
  fault = $state.raw<Fault | null>(null);
  isLoaded = $state(false);
  /** Since when the box does not answer; 0 while it does. */
  silentSince = $state(0);
  /** When the box started, by this machine's clock. */
  bootedAt = $state(0);

  private known = NOTHING;
  private watchers = 0;
  private readonly broadcast = new Broadcast({
    origin: location.origin,
    proof: () => auth.proof,
    onEvents: (events) => this.hear(events),
    onSilence: (since) => (this.silentSince = since),
    onRefused: () => auth.refused(),
  });

  /** Keeps the lists fresh for as long as somebody wants it; call what it returns to end that. */
  watch(): () => void {
    this.watchers += 1;
    if (this.watchers === 1) this.broadcast.start();
    return () => {
      this.watchers -= 1;
      if (this.watchers === 0) this.broadcast.stop();
    };
  }

  /** Tries again at once if there is no line. */
  readonly look = (): void => this.broadcast.wake();

  can(scope: string): boolean {
    const scopes = this.info?.caller.scopes ?? [];
    return scopes.includes('*') || scopes.includes(scope);
  }

  find(id: string): Session | undefined {
    return this.sessions.find((session) => session.id === id);
  }

  private hear(events: BoxEvent[]): void {
    const before = this.known.box;
    this.known = take(this.known, events);
    const { sessions, viewers, shells, box } = this.known;
    this.sessions = [...sessions.values()].toSorted(byAttention);
    this.shells = [...shells.values()].toSorted((a, b) => b.created_at.localeCompare(a.created_at));
    this.viewers = viewers;
    this.isLoaded = true;
    if (box && box !== before) this.bootedAt = box.uptime_ms ? Date.now() - box.uptime_ms : 0;
    this.tell();
  }

  private tell(): void {
    if (!this.info) return;
    const { box, sessions } = this.known;
    const live = [...sessions.values()].filter((one) => isLive(one.state)).length;
    const counts = this.isLoaded ? { ...this.info.sessions, live } : this.info.sessions;
    this.info = { ...this.info, ...box, sessions: counts };
  }

  /** Asks the box who we are; false if it does not want us. */
  async greet(): Promise<void> {
    try {
      this.info = await done(api.GET('/api/info'));
      auth.leaves = this.info.caller.logout_url ?? '';
      this.bootedAt ||= this.info.uptime_ms ? Date.now() - this.info.uptime_ms : 0;
      this.tell();
      this.fault = null;
      auth.accepted();
    } catch (error) {
      const fault = asFault(error);
      if (fault.status === 401) return;
      this.fault = fault;
      // A token whose scopes do not reach this far is a token all the same.
      if (fault.status === 403) auth.accepted();
    }
  }

  forget(): void {
    this.broadcast.cursor = '';
    this.known = NOTHING;
    this.sessions = [];
    this.shells = [];
    this.viewers = new Map();
    this.info = null;
    this.isLoaded = false;
  }
}

export const box = new Box();
