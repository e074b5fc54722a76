/**
 * The bytes of the sealed envelope, apart from any line: docs/AES-TRANSPORT.md is what they are.
 * It needs WebCrypto, which Node has, and browsers have on pages of https alone.
 */

export const Kind = { hello: 1, challenge: 2, open: 3, next: 4, connect: 5, response: 6, push: 7 } as const;
export const Carries = { body: 1, stream: 2, connection: 3 } as const;
export const ItemType = {
  heartbeat: 0x00,
  call: 0x01,
  reply: 0x02,
  frame: 0x03,
  streamEnd: 0x7e,
  end: 0x7f,
} as const;
export const MAX_RECORD = 4096;
export const RESPONSE_PREFIX = 20;

const METHODS = { GET: 1, POST: 2, PUT: 3, PATCH: 4, DELETE: 5 } as const;
export type Method = keyof typeof METHODS;

/** Bytes that nobody shares with another thread. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** The answer is not authentic, or was cut. */
export class Damaged extends Error {
  override name = 'Damaged';
}

/** Several pieces as one. */
export function join(...pieces: Uint8Array[]): Bytes {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** The bytes of hexadecimal text. */
export function unhex(text: string): Bytes {
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) throw new TypeError('not hexadecimal');
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

const ascii = (text: string): Bytes => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

/** What a message begins with. */
export function lead(kind: number): Bytes {
  return join(ascii('CIB3'), Uint8Array.of(kind, 1, 0, 0));
}

function numbers(size: number, write: (view: DataView) => void): Bytes {
  const bytes = new Uint8Array(size);
  write(new DataView(bytes.buffer));
  return bytes;
}

export const u32 = (value: number): Bytes => numbers(4, (view) => view.setUint32(0, value));

async function mac(key: Bytes, ...pieces: Uint8Array[]): Promise<Bytes> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', key, algorithm, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, join(...pieces)));
}

const expand = (key: Bytes, label: string, ...info: Uint8Array[]): Promise<Bytes> =>
  mac(key, ascii(label), ...info, Uint8Array.of(1));

/** One direction of one message: its records in their order. */
export class Records {
  isOver = false;
  #count = 0;

  private constructor(
    private readonly key: CryptoKey,
    private readonly prefix: Bytes,
  ) {}

  static async of(key: Bytes, prefix: Bytes): Promise<Records> {
    const imported = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']);
    return new Records(imported, prefix);
  }

  #step(isLast: boolean): AesGcmParams {
    if (this.isOver || this.#count >= 1 << 24) throw new Damaged('a record behind the last');
    const iv = join(new Uint8Array(7), u32(this.#count), Uint8Array.of(Number(isLast)));
    const additionalData = this.#count === 0 ? this.prefix : new Uint8Array();
    this.#count += 1;
    this.isOver = isLast;
    return { name: 'AES-GCM', iv, additionalData };
  }

  /** A record. */
  async seal(plain: Bytes, isLast: boolean): Promise<Bytes> {
    const sealed = await crypto.subtle.encrypt(this.#step(isLast), this.key, plain);
    const header = numbers(2, (view) => view.setUint16(0, plain.length | (isLast ? 0x8000 : 0)));
    return join(header, new Uint8Array(sealed));
  }

  /** How many bytes follow the first two of a record. */
  static length(header: Uint8Array): number {
    const length = (((header[0] ?? 0) << 8) | (header[1] ?? 0)) & 0x7fff;
    if (length > MAX_RECORD) throw new Damaged('a record is too long');
    return length + 16;
  }

  /** The plaintext of a record, given its first two bytes and the rest. */
  async open(header: Uint8Array, sealed: Bytes): Promise<Bytes> {
    const how = this.#step(((header[0] ?? 0) & 0x80) !== 0);
    try {
      return new Uint8Array(await crypto.subtle.decrypt(how, this.key, sealed));
    } catch {
      this.isOver = true;
      throw new Damaged('a record does not open');
    }
  }
}

/** What opens the answer to one request. */
export class Pending {
  constructor(
    private readonly traffic: Bytes,
    private readonly number: Bytes,
    private readonly salt: Bytes,
  ) {}

  /** The records of the answer that begins so. */
  async records(prefix: Bytes): Promise<Records> {
    const expected = join(lead(Kind.response), this.number);
    if (!same(prefix.subarray(0, 12), expected)) throw new Damaged('the answer is to something else');
    const key = await expand(this.traffic, 'CIB3 response', this.number, this.salt, prefix.subarray(12));
    return Records.of(key, prefix);
  }
}

export interface Head {
  timeMs: number;
  status: number;
  carries: number;
  rest: Bytes;
}

/** The head of an answer, and what follows it in its first record. */
export function answerHead(plain: Bytes): Head {
  if (plain.length < 11) throw new Damaged('not the head of an answer');
  const view = new DataView(plain.buffer, plain.byteOffset, plain.length);
  return {
    timeMs: Number(view.getBigUint64(0)),
    status: view.getUint16(8),
    carries: view.getUint8(10),
    rest: plain.slice(11),
  };
}

/** The keys of one session, from a challenge. */
export class Session {
  #next = 0;
  #opening: Bytes | undefined;

  private constructor(
    readonly traffic: Bytes,
    readonly sid: Bytes,
    readonly timeMs: number,
    opening: Bytes,
  ) {
    this.#opening = opening;
  }

  static async open(
    keyId: Bytes,
    secret: Bytes,
    challenge: Bytes,
    nonce: Bytes,
    kind: number = Kind.open,
  ): Promise<Session> {
    if (challenge.length !== 48 || !same(challenge.subarray(0, 8), lead(Kind.challenge))) {
      throw new Damaged('not a challenge');
    }
    const opening = join(lead(kind), keyId, nonce, challenge.subarray(8));
    const salt = new Uint8Array(await crypto.subtle.digest('SHA-256', opening));
    const prk = await mac(salt, secret);
    const traffic = await expand(prk, 'CIB3 traffic');
    const sid = (await expand(prk, 'CIB3 session')).slice(0, 16);
    const time = Number(new DataView(challenge.buffer, challenge.byteOffset).getBigUint64(8));
    return new Session(traffic, sid, time, opening);
  }

  /** The next message: its prefix, its records, and what opens its answer. */
  async begin(salt: Bytes): Promise<{ prefix: Bytes; records: Records; pending: Pending }> {
    const number = u32(this.#next);
    this.#next += 1;
    const first = this.#opening ?? join(lead(Kind.next), this.sid);
    this.#opening = undefined;
    const prefix = join(first, number, salt);
    const key = await expand(this.traffic, 'CIB3 request', number, salt);
    const records = await Records.of(key, prefix);
    return { prefix, records, pending: new Pending(this.traffic, number, salt) };
  }

  /** A whole message. */
  async request(
    method: Method,
    target: string,
    body: Uint8Array,
    timeMs: number,
    salt: Bytes,
    maxRecord: number = MAX_RECORD,
  ): Promise<{ message: Bytes; pending: Pending }> {
    const { prefix, records, pending } = await this.begin(salt);
    const head = requestHead(method, target, timeMs, maxRecord);
    const room = MAX_RECORD - head.length;
    const pieces = [join(head, body.subarray(0, room))];
    for (let at = room; at < body.length; at += MAX_RECORD)
      pieces.push(join(body.subarray(at, at + MAX_RECORD)));
    const sealed = [prefix];
    for (const [at, piece] of pieces.entries())
      sealed.push(await records.seal(piece, at + 1 === pieces.length));
    return { message: join(...sealed), pending };
  }

  /**
   * A message that was subscribed to at a broker: its number, and what is in it. Drop one whose number
   * was there before.
   */
  async pushed(message: Bytes): Promise<{ number: number; content: Bytes }> {
    const prefix = message.slice(0, 36);
    if (prefix.length < 36 || !same(prefix.subarray(0, 24), join(lead(Kind.push), this.sid))) {
      throw new Damaged('not a message of this session');
    }
    const key = await expand(this.traffic, 'CIB3 push', prefix.subarray(24));
    const records = await Records.of(key, prefix);
    const pieces: Bytes[] = [];
    let rest = message.slice(36);
    while (!records.isOver) {
      const header = rest.slice(0, 2);
      const end = header.length === 2 ? 2 + Records.length(header) : 2;
      if (rest.length < end) throw new Damaged('the message was cut');
      pieces.push(await records.open(header, rest.slice(2, end)));
      rest = rest.slice(end);
    }
    if (rest.length > 0) throw new Damaged('a record behind the last');
    return { number: new DataView(prefix.buffer).getUint32(24), content: join(...pieces) };
  }
}

/** What a request begins with. */
export function requestHead(method: Method, target: string, timeMs: number, maxRecord: number): Bytes {
  const path = ascii(target);
  const fixed = numbers(13, (view) => {
    view.setBigUint64(0, BigInt(timeMs));
    view.setUint16(8, maxRecord);
    view.setUint8(10, METHODS[method]);
    view.setUint16(11, path.length);
  });
  return join(fixed, path);
}

export interface Item {
  type: number;
  reference: number;
  payload: Bytes;
}

/** Items, joined, of the records of a stream. */
export async function* items(plains: AsyncIterable<Bytes>): AsyncGenerator<Item> {
  const parts = new Map<number, Bytes>();
  for await (const plain of plains) {
    const [type, flags, high, low] = plain;
    if (type === undefined || flags === undefined || high === undefined || low === undefined || flags > 1) {
      throw new Damaged('not an item');
    }
    const key = (type << 16) | (high << 8) | low;
    const payload = join(parts.get(key) ?? new Uint8Array(), plain.subarray(4));
    if (flags === 1) {
      parts.set(key, payload);
    } else {
      parts.delete(key);
      yield { type, reference: (high << 8) | low, payload };
    }
  }
}
