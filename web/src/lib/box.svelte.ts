// What the dashboard knows of the box: sessions, shells and the box itself.
//
// The API has no stream of the whole box yet. Until it has, the lists are asked for when the page is
// looked at, and every few seconds while it is. A stream takes this module's place and no other's.
import { api, asFault, done, Fault } from '../api/client';
import type { Info, Session, Shell, State } from '../api/types';
import { auth } from './auth.svelte';

const EVERY = 4_000;
const INFO_EVERY = 20_000;

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

function activity(session: Session): string {
  return session.stopped_at ?? session.started_at ?? session.created_at;
}

class Box {
  sessions = $state.raw<Session[]>([]);
  shells = $state.raw<Shell[]>([]);
  info = $state.raw<Info | null>(null);
  fault = $state.raw<Fault | null>(null);
  isLoaded = $state(false);
  /** Since when the box does not answer; 0 while it does. */
  silentSince = $state(0);
  wantsShells = false;

  private watchers = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private isAsking = false;
  private infoAt = 0;

  /** Keeps the lists fresh for as long as somebody wants it; call what it returns to end that. */
  watch(): () => void {
    this.watchers += 1;
    if (this.watchers === 1) {
      document.addEventListener('visibilitychange', this.look);
      addEventListener('focus', this.look);
      addEventListener('online', this.look);
    }
    this.look();
    return () => {
      this.watchers -= 1;
      if (this.watchers > 0) return;
      document.removeEventListener('visibilitychange', this.look);
      removeEventListener('focus', this.look);
      removeEventListener('online', this.look);
      if (this.timer) clearTimeout(this.timer);
    };
  }

  readonly look = (): void => void this.refresh();

  can(scope: string): boolean {
    const scopes = this.info?.caller.scopes ?? [];
    return scopes.includes('*') || scopes.includes(scope);
  }

  find(id: string): Session | undefined {
    return this.sessions.find((session) => session.id === id);
  }

  async refresh(): Promise<void> {
    if (this.isAsking || document.hidden || auth.state !== 'in') return;
    this.isAsking = true;
    if (this.timer) clearTimeout(this.timer);
    try {
      if (!this.info || Date.now() - this.infoAt > INFO_EVERY) {
        this.info = await done(api.GET('/api/info'));
        this.infoAt = Date.now();
      }
      const list = await done(api.GET('/api/sessions'));
      this.sessions = list.sessions.toSorted(byAttention);
      if (this.wantsShells && this.can('shells:read'))
        this.shells = (await done(api.GET('/api/shells'))).shells;
      this.fault = null;
      this.silentSince = 0;
      this.isLoaded = true;
    } catch (error) {
      this.fault = asFault(error);
      if (this.fault.isPassing) this.silentSince ||= Date.now();
    } finally {
      this.isAsking = false;
      if (this.watchers > 0) this.timer = setTimeout(this.look, EVERY);
    }
  }

  /** Asks the box who we are; false if it does not want us. */
  async greet(): Promise<void> {
    try {
      this.info = await done(api.GET('/api/info'));
      this.infoAt = Date.now();
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
    this.sessions = [];
    this.shells = [];
    this.info = null;
    this.isLoaded = false;
  }
}

export const box = new Box();
