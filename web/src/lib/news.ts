// What of the sessions is worth to be told to somebody who looks elsewhere.
import type { Session, State } from '../api/types';
import { isLive } from '../api/types';

/** Milliseconds of work after which its end is news also to somebody whose page is seen. */
const LONG = 30_000;

export interface News {
  what: 'asks' | 'ends' | 'fails' | 'limit';
  session: Session;
}

interface Seen {
  state: State;
  /** When it began to work, if it does. */
  since: number;
  questions: ReadonlySet<string>;
}

/** Compares what is with what was. What is there at first is no news. */
export class Observer {
  private seen: Map<string, Seen> | null = null;

  look(sessions: Session[], now: number, isHidden: boolean): News[] {
    const before = this.seen;
    const news: News[] = [];
    this.seen = new Map();
    for (const session of sessions) {
      const was = before?.get(session.id);
      const questions = new Set((session.open_questions ?? []).map((one) => one.id));
      const { state } = session;
      const goesOn = was && (was.state === 'working' || was.state === 'waiting_for_input');
      this.seen.set(session.id, { state, since: goesOn ? was.since : now, questions });
      if (!before) continue;
      // One that was not there has begun since, and is looked at by who began it, unless it asks: it
      // may have begun, worked and asked between two looks.
      if (!was) {
        if (state === 'waiting_for_input') news.push({ what: 'asks', session });
        continue;
      }
      const isNew = [...questions].some((id) => !was.questions.has(id));
      if (state === 'waiting_for_input' && (isNew || was.state !== state))
        news.push({ what: 'asks', session });
      else if (state === 'idle' && goesOn && (isHidden || now - was.since >= LONG))
        news.push({ what: 'ends', session });
      else if (isLive(was.state) && !isLive(state)) {
        if (session.reason?.startsWith('limit ')) news.push({ what: 'limit', session });
        else if (state !== 'stopped') news.push({ what: 'fails', session });
      }
    }
    return news;
  }
}
