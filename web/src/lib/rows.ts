// The rows of a conversation, as they are kept and shown.
import type { Image, Question, Usage } from '../api/types';

interface Common {
  readonly key: string;
  readonly seq: number;
  readonly ts: number;
}
export interface TextRow extends Common {
  readonly kind: 'user' | 'text' | 'thinking';
  readonly messageId: string | null;
  text: string;
  /** Whether more of it may come. */
  open: boolean;
  /** Whether its beginning may stand in frames that are not here yet. */
  isCut: boolean;
  /** Who sent it, if it is the user's and that is known. */
  readonly by: string | null;
  /** Images that it has, if it is the user's. */
  readonly images: Image[];
}
export interface ToolRow extends Common {
  readonly kind: 'tool';
  readonly id: string;
  readonly tool: string;
  readonly input: Record<string, unknown>;
  readonly inputBytes: number | null;
  output: unknown;
  outputBytes: number | null;
  durationMs: number | null;
  state: 'running' | 'ok' | 'error' | 'unfinished';
  /** What the subagent said and did that this call started. */
  readonly children: Row[];
}
export interface QuestionRow extends Common {
  readonly kind: 'question';
  readonly id: string;
  readonly questions: Question[];
  readonly tool: string | null;
  readonly toolUseId: string | null;
  isOpen: boolean;
  answer: string | null;
  /** Who answered, if that is known. */
  by: string | null;
}
export interface NoteRow extends Common {
  readonly kind: 'note';
  readonly what: 'note' | 'model' | 'effort' | 'permission' | 'driver' | 'resumed' | 'hook';
  readonly text: string;
  /** Who wanted it, if that is known. */
  readonly by: string | null;
}
export interface TurnRow extends Common {
  readonly kind: 'turn';
  readonly reason: string;
  readonly detail: string | null;
  readonly last: boolean;
  usage: Usage | null;
  durationMs: number | null;
  /** Who ended it, if somebody did and that is known. */
  readonly by: string | null;
}
export type Row = TextRow | ToolRow | QuestionRow | NoteRow | TurnRow;

export interface HookRun {
  seq: number;
  ts: number;
  name: string;
  event: string;
  outcome: string;
  blocked: boolean;
  text: string;
}
