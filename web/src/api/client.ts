// The one way to the API: the typed client, who asks, and what went wrong in words.
import createClient from 'openapi-fetch';
import type { paths } from './schema';
import { auth } from '../lib/auth.svelte';

/** Why a request was not done. `code` is the API's stable word, or `network`. */
export class Fault extends Error {
  constructor(
    readonly code: string,
    detail: string,
    readonly status: number,
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
    this.name = 'Fault';
  }

  /** Whether it may work in a moment, as it is. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

async function send(request: Request): Promise<Response> {
  if (auth.token) request.headers.set('authorization', `Bearer ${auth.token}`);
  try {
    const response = await fetch(request, { credentials: 'same-origin', redirect: 'error' });
    if (response.status === 401) auth.refused();
    return response;
  } catch (error) {
    if (request.signal.aborted) throw error;
    throw new Fault('network', 'The box does not answer.', 0);
  }
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: send });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The value of an answer, or its fault. */
export async function done<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (response.ok) return data as T;
  const body = (error ?? {}) as { error?: string; detail?: string };
  const after = Number(response.headers.get('retry-after'));
  throw new Fault(
    body.error ?? `http_${response.status}`,
    body.detail ?? `The box answered ${response.status}.`,
    response.status,
    Number.isFinite(after) && after > 0 ? after : null,
  );
}

/** What is to be shown of anything that was thrown. */
export function asFault(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  return new Fault('page', thrown instanceof Error ? thrown.message : String(thrown), 0);
}
