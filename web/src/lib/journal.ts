// A session's journal as a file: every frame, a line each.
import { asFault, Fault } from '../api/client';
import type { Transcript } from '../api/types';
import { auth } from './auth.svelte';

/** Frames of a page. */
const PAGE = 5000;

async function page(session: string, from: number): Promise<Transcript> {
  const path = `/api/sessions/${session}/transcript?from=${from}&limit=${PAGE}`;
  const headers: HeadersInit = auth.proof ? { 'x-cib-proof': auth.proof } : {};
  const answer = await fetch(path, { headers });
  if (answer.status === 401) auth.refused();
  if (!answer.ok)
    throw new Fault(`http_${answer.status}`, `The box answered ${answer.status}.`, answer.status);
  return (await answer.json()) as Transcript;
}

/**
 * Fetches all frames that there are now. `told` hears how far it is, from 0 to 1. Throws a `Fault` if
 * they do not come whole: half a journal is never given for a whole one.
 */
export async function journal(session: string, told: (part: number) => void): Promise<Blob> {
  const pieces: string[] = [];
  let from = 0;
  let last: number | null = null;
  try {
    do {
      const { frames, next, last_seq } = await page(session, from);
      // What comes while it is fetched is not waited for: a session at work would never end.
      last ??= last_seq;
      const end = last;
      const wanted = frames.filter((frame) => frame.seq <= end);
      if (wanted.length) pieces.push(`${wanted.map((frame) => JSON.stringify(frame)).join('\n')}\n`);
      if (next <= from) break;
      from = next;
      told(last ? Math.min(1, from / last) : 1);
    } while (from < last);
  } catch (error) {
    throw asFault(error);
  }
  return new Blob(pieces, { type: 'application/jsonl' });
}
