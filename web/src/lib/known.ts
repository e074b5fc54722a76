// What is known of the box, after what its stream has said.
import type { BoxEvent, BoxState, Session, Shell } from '../api/types';

export interface Viewers {
  count: number;
  names: string[];
}

/** The lists as they are after some events. */
export interface Known {
  sessions: Map<string, Session>;
  /** Who looks at each, by name; as many as look, where there are more than names. */
  viewers: Map<string, Viewers>;
  shells: Map<string, Shell>;
  box: BoxState | null;
}

/** Takes up what events say; each says the whole of its subject. */
export function take(known: Known, events: BoxEvent[]): Known {
  let { sessions, viewers, shells, box } = known;
  [sessions, viewers, shells] = [new Map(sessions), new Map(viewers), new Map(shells)];
  for (const { event, data } of events) {
    if (event === 'snapshot') {
      sessions = new Map(data.sessions.map((seen) => [seen.session.id, seen.session]));
      viewers = new Map(data.sessions.map((seen) => [seen.session.id, viewersOf(seen)]));
      shells = new Map(data.shells.map((shell) => [shell.id, shell]));
      box = data.box;
    } else if (event === 'session') {
      sessions.set(data.session.id, data.session);
      viewers.set(data.session.id, viewersOf(data));
    } else if (event === 'shell') shells.set(data.id, data);
    else if (event === 'gone') {
      sessions.delete(data.id);
      viewers.delete(data.id);
      shells.delete(data.id);
    } else if (event === 'box') box = data;
  }
  return { sessions, viewers, shells, box };
}

const viewersOf = (seen: { viewers: number; viewer_names?: string[] }): Viewers => ({
  count: seen.viewers,
  names: seen.viewer_names ?? [],
});
