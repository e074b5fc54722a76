// The one way to the API: the typed client, who asks, and what went wrong in words.
import createClient from 'openapi-fetch';
import type { paths } from './schema';
import { auth } from '../lib/auth.svelte';
import { Fault } from '../lib/fault';

export { asFault, Fault } from '../lib/fault';

declare global {
  interface Window {
    /** What `public/early.js` asked before the page was here, and with which proof. */
    cibGreeting?: { proof: string; answer: Promise<Response> };
  }
}

/** The answer to a question that was asked before the page was here; it is taken once. */
function early(request: Request): Promise<Response> | null {
  const greeting = window.cibGreeting;
  if (!greeting || request.method !== 'GET' || new URL(request.url).pathname !== '/api/info') return null;
  delete window.cibGreeting;
  return greeting.proof === auth.proof ? greeting.answer : null;
}

async function send(request: Request): Promise<Response> {
  if (auth.proof) request.headers.set('x-cib-proof', auth.proof);
  try {
    const response = await (early(request) ??
      fetch(request, { credentials: 'same-origin', redirect: 'error' }));
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
