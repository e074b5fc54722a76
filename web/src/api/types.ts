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
export type SignInInfo = Schemas['SignInInfo'];
export type AccountInfo = Schemas['AccountInfo'];
export type Token = Schemas['TokenInfo'];
export type Scope = Schemas['CreateToken']['scopes'][number];
export type Login = Schemas['ClaudeLogin'];
export type CreateSession = Schemas['CreateSession'];
export type PermissionMode = Schemas['PermissionMode'];
export type BoxEvent = Schemas['BoxEvent'];
export type BoxState = Schemas['BoxState'];
export type Transcript = {
  id: string;
  frames: Frame[];
  next: number;
  last_seq: number;
  /** With `before`: what it takes for the page in front; 0 if there is none. */
  previous?: number;
};

/** Whether somebody may still do something about a session. */
export function isLive(state: State): boolean {
  return state === 'starting' || state === 'idle' || state === 'working' || state === 'waiting_for_input';
}
export type Forge = Schemas['ForgeInfo'];
export type ForgeRepository = Schemas['ForgeRepository'];
export type FileEntry = Schemas['FileEntry'];
export type FileRoot = Schemas['FileRoot'];
export type FileContent = Schemas['FileContent'];
export type GitStatus = Schemas['GitStatus'];
export type GitCommit = Schemas['GitCommit'];
export type GitRemote = Schemas['GitRemote'];
export type BranchPushed = Schemas['BranchPushed'];
export type PullRequestOpened = Schemas['PullRequestOpened'];
export type GitPatch = Schemas['GitPatch'];
export type Hooks = Schemas['Hooks'];
export type HookFinding = Schemas['HookFinding'];
export type TriedHook = Schemas['TriedHook'];
export type UsageReport = Schemas['UsageReport'];
export type UsageRow = Schemas['UsageRow'];
export type SearchHit = Schemas['SearchHit'];
export type Model = Schemas['Model'];
export type Command = Schemas['Command'];
export type Image = Schemas['Image'];
export type Provider = Schemas['Provider'];
export type ProviderProbe = Schemas['ProviderProbe'];
export type Port = Schemas['Port'];
export type Task = Schemas['Task'];
export type TaskQueue = Schemas['TaskQueueState'];
export type PortOpened = Schemas['PortOpened'];
