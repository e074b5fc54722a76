// The API's types under the names that the pages use.
import type { components } from './schema';

type Schemas = components['schemas'];

/** A frame: the envelope, and a payload that its kind tells. The document's own `Frame` admits any. */
export type Frame = Schemas['Data'] & { session: string; seq: number; ts: string };
export type Data = Schemas['Data'];
export type Session = Schemas['SessionMeta'];
export type State = Schemas['State'];
export type Usage = Schemas['Usage'];
export type Limits = Schemas['Limits'];
export type Info = Schemas['Info'];
export type Todo = Schemas['Todo'];
export type Question = Schemas['Question'];
export type Shell = Schemas['Shell'];
export type Token = Schemas['TokenInfo'];
export type Scope = Schemas['CreateToken']['scopes'][number];
export type Login = Schemas['ClaudeLogin'];
export type CreateSession = Schemas['CreateSession'];
export type PermissionMode = Schemas['PermissionMode'];
export type Transcript = { id: string; frames: Frame[]; next: number; last_seq: number };

/** Whether somebody may still do something about a session. */
export function isLive(state: State): boolean {
  return state === 'starting' || state === 'idle' || state === 'working' || state === 'waiting_for_input';
}
