// What a fold that begins mid-way cannot know by itself, until the frames in front of it come.
import type { Frame, State } from '../api/types';
import type { NoteRow, Row, ToolRow, TurnRow } from './rows';

export type Answer = Extract<Frame, { kind: 'ask.answer' }>['data'];
export type Result = Extract<Frame, { kind: 'tool.use.result' }>['data'];
export type Changing = 'model' | 'effort' | 'permission' | 'driver';

/** What a fold that begins mid-way cannot know by itself. */
export class Front {
  /** Rows of calls that stand further in front, made for what their subagents do. */
  readonly calls = new Map<string, ToolRow>();
  /** Results of calls that stand further in front. */
  results = new Map<string, Result>();
  /** Answers to questions that stand further in front. */
  answers = new Map<string, Answer>();
  /** The first word on each of these, which is a change only if there was another before, and the
   * row behind which that is to be noted. */
  readonly firsts = new Map<Changing, { note: NoteRow; after: Row | null }>();
  status: State | null = null;
  /** Whether it is the first status of all that says since when Claude works. */
  isWorkingByFirst = false;
  /** Turns that end without a word of when they began. */
  begunBefore: TurnRow[] = [];
  /** Turns that began by the first status of all. */
  begunByFirst: TurnRow[] = [];
  turn: TurnRow | null = null;
  hasUsage = false;
  hasClosed = false;
  hasTodos = false;
}
