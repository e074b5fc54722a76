/**
 * A client of claude-in-box for lines without TLS, for Node and hosts like it.
 *
 *     const box = new Box("http://box:8080", "0102030405060708", "00…1f");
 *     for await (const frame of box.follow(session)) console.log(frame.seq, frame.kind);
 */

import {
  Carries,
  Damaged,
  ItemType,
  RESPONSE_PREFIX,
  Records,
  Session,
  answerHead,
  items,
  join,
  unhex,
} from './envelope.js';
import type { Bytes, Head, Item, Method, Pending } from './envelope.js';

export { Damaged } from './envelope.js';
export type { Method } from './envelope.js';

const MEDIA = 'application/cib-aes-3';

/** What the box answers under seal instead of what was asked for. */
export class Fault extends Error {
  override name = 'Fault';
  constructor(
    readonly status: number,
    readonly body: unknown,
  ) {
    super(`${status} ${JSON.stringify(body)}`);
  }

  /** The API's word for it. */
  get code(): string | undefined {
    const body = this.body as { error?: string } | undefined;
    return body?.error;
  }
}

/**
 * A refusal in the clear. Anybody on the line can forge it: wait and ask again, and never throw the
 * secret away.
 */
export class Refused extends Error {
  override name = 'Refused';
}

class Lost extends Error {}

export interface Frame {
  seq: number;
  kind: string;
  session: string;
  ts: string;
  data: Record<string, unknown>;
}

interface Answered {
  head: Head;
  off: number;
  plains: AsyncGenerator<Bytes>;
}

/** A stream's bytes, so many at a time. */
class Reader {
  #waiting: Uint8Array = new Uint8Array();
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(body: ReadableStream<Uint8Array>) {
    this.#reader = body.getReader();
  }

  async exactly(count: number): Promise<Bytes> {
    while (this.#waiting.length < count) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Damaged('the answer was cut');
      this.#waiting = join(this.#waiting, value);
    }
    const bytes = this.#waiting.slice(0, count) as Bytes;
    this.#waiting = this.#waiting.subarray(count);
    return bytes;
  }

  async end(): Promise<void> {
    const { done } = await this.#reader.read();
    if (!done || this.#waiting.length > 0) throw new Damaged('something stands behind the last record');
  }

  leave(): void {
    void this.#reader.cancel().catch(() => undefined);
  }
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const random = (count: number): Bytes => crypto.getRandomValues(new Uint8Array(count));
const text = new TextDecoder();

/** A box, as a device with a key sees it. */
export class Box {
  readonly #url: URL;
  readonly #keyId: Bytes;
  readonly #secret: Bytes;
  #session: Session | undefined;
  #offset = 0;

  constructor(url: string, keyId: string, secret: string) {
    this.#url = new URL('/aes/v3', url);
    this.#keyId = unhex(keyId);
    this.#secret = unhex(secret);
    if (this.#keyId.length !== 8 || this.#secret.length !== 32) {
      throw new TypeError('a key id has 16 hexadecimal digits and a secret 64');
    }
  }

  /** Every session. */
  async sessions(): Promise<Record<string, unknown>[]> {
    const list = (await this.ask('GET', '/api/sessions')) as { sessions: Record<string, unknown>[] };
    return list.sessions;
  }

  /** Starts a session; the fields are those of `POST /api/sessions`. */
  async create(fields: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    return (await this.ask('POST', '/api/sessions', fields)) as Record<string, unknown>;
  }

  /** Sends a prompt. Sent again with the same `name`, it is done once. */
  async send(session: string, prompt: string, name?: string): Promise<unknown> {
    const body = { data: `${prompt}\n`, ...(name === undefined ? {} : { client_id: name }) };
    return this.ask('POST', `/api/sessions/${session}/input`, body);
  }

  /** Answers a question: its id, and a label for each question's text. */
  async answer(session: string, id: string, answers: Record<string, string>): Promise<unknown> {
    return this.ask('POST', `/api/sessions/${session}/answer`, { id, answers });
  }

  /** Frames from behind a seq until the session ends, each once, whatever the line does. */
  async *follow(session: string, after = 0, kinds = ''): AsyncGenerator<Frame> {
    for (let wait = 1000; ; wait = Math.min(60_000, wait * 2)) {
      const target = `/api/sessions/${session}/events?from=${after}${kinds && `&kinds=${kinds}`}`;
      try {
        for await (const item of this.#stream(target)) {
          wait = 1000;
          if (item.type === ItemType.frame) {
            const frame = JSON.parse(text.decode(item.payload)) as Frame;
            after = frame.seq;
            yield frame;
          } else if (item.type === ItemType.end) {
            const { reason } = JSON.parse(text.decode(item.payload)) as { reason: string };
            if (reason !== 'shutting_down' && reason !== 'rekey') return;
          }
        }
      } catch (error) {
        if (error instanceof Fault) throw error;
      }
      await pause(wait);
    }
  }

  /** Asks a route for its JSON. Throws Fault, Refused, Damaged, or what fetch throws. */
  async ask(method: Method, target: string, body?: unknown): Promise<unknown> {
    const bytes = body === undefined ? new Uint8Array() : new TextEncoder().encode(JSON.stringify(body));
    for (let tries = 0; tries < 3; tries += 1) {
      const answered = await this.#exchange(method, target, bytes);
      if (answered === undefined) continue;
      if (answered.head.carries !== Carries.body) {
        await answered.plains.return(undefined);
        throw new Damaged('a stream where a body was expected');
      }
      const value = await whole(answered.plains);
      const { status } = answered.head;
      if (status === 401 && Math.abs(answered.off) > 30_000 && tries < 2) continue;
      if (status >= 400) throw new Fault(status, value);
      return value;
    }
    throw new Refused('the box makes no session');
  }

  async *#stream(target: string): AsyncGenerator<Item> {
    for (let tries = 0; tries < 3; tries += 1) {
      const answered = await this.#exchange('GET', target, new Uint8Array());
      if (answered === undefined) continue;
      if (answered.head.carries === Carries.stream) {
        yield* items(answered.plains);
        return;
      }
      const value = await whole(answered.plains);
      if (!(answered.head.status === 401 && Math.abs(answered.off) > 30_000)) {
        throw new Fault(answered.head.status, value);
      }
    }
    throw new Refused('the box makes no session');
  }

  #now(): number {
    return Math.trunc(performance.now() + this.#offset);
  }

  #takeTime(told: number): number {
    const off = told - this.#now();
    this.#offset += off;
    return off;
  }

  async #refusal(response: Response): Promise<Error> {
    await response.arrayBuffer();
    const had = this.#session;
    if ([401, 403, 409].includes(response.status)) this.#session = undefined;
    return had && [401, 409].includes(response.status) ? new Lost() : new Refused(`HTTP ${response.status}`);
  }

  /** One request and its answer; nothing if the session was gone. */
  async #exchange(method: Method, target: string, body: Uint8Array): Promise<Answered | undefined> {
    try {
      return await this.#try(method, target, body);
    } catch (error) {
      if (error instanceof Lost) return undefined;
      throw error;
    }
  }

  async #try(method: Method, target: string, body: Uint8Array): Promise<Answered> {
    if (this.#session === undefined) {
      const response = await fetch(this.#url);
      if (!response.ok) throw await this.#refusal(response);
      const challenge = new Uint8Array(await response.arrayBuffer());
      this.#session = await Session.open(this.#keyId, this.#secret, challenge, random(16));
      this.#takeTime(this.#session.timeMs);
    }
    const { message, pending } = await this.#session.request(method, target, body, this.#now(), random(8));
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'content-type': MEDIA },
      body: message,
    });
    if (!response.ok || !response.body) throw await this.#refusal(response);
    const plains = records(new Reader(response.body), pending);
    const first = await plains.next();
    if (first.done) throw new Damaged('the answer was cut');
    const head = answerHead(first.value);
    const rest = async function* (): AsyncGenerator<Bytes> {
      if (head.rest.length > 0) yield head.rest;
      yield* plains;
    };
    return { head, off: this.#takeTime(head.timeMs), plains: rest() };
  }
}

async function* records(reader: Reader, pending: Pending): AsyncGenerator<Bytes> {
  let isWhole = false;
  try {
    const opened = await pending.records(await reader.exactly(RESPONSE_PREFIX));
    while (!opened.isOver) {
      const header = await reader.exactly(2);
      yield await opened.open(header, await reader.exactly(Records.length(header)));
    }
    await reader.end();
    isWhole = true;
  } finally {
    if (!isWhole) reader.leave();
  }
}

async function whole(plains: AsyncIterable<Bytes>): Promise<unknown> {
  const pieces: Bytes[] = [];
  for await (const plain of plains) pieces.push(plain);
  const joined = text.decode(join(...pieces));
  return joined === '' ? undefined : (JSON.parse(joined) as unknown);
}
