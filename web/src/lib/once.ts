// Requests that may be sent again without being done again.
import { asFault } from './fault';

/** A name for a request, by which the box knows it when it comes again. */
export function clientId(): string {
  // `crypto.randomUUID` is for secure contexts alone.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const WAITS = [500, 1500, 4000];

/**
 * Asks again when nobody knows whether the request arrived, or the box had no time for it. Only for
 * requests that have a client's id in them.
 */
export async function safely<T>(
  ask: () => Promise<T>,
  pause: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
): Promise<T> {
  for (const wait of WAITS) {
    try {
      return await ask();
    } catch (error) {
      const fault = asFault(error);
      if (!fault.isPassing || fault.code === 'page') throw error;
      await pause(fault.retryAfter ? Math.min(fault.retryAfter * 1000, 10_000) : wait);
    }
  }
  return ask();
}
