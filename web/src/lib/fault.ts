// What went wrong, in words and in a code.

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

/** What is to be shown of anything that was thrown. */
export function asFault(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  return new Fault('page', thrown instanceof Error ? thrown.message : String(thrown), 0);
}
