// Bytes on their way into a terminal: gathered, and no more at once than it can take.

const PIECE = 64 * 1024;
const FLYING = 256 * 1024;

export function fromBase64(text: string): Uint8Array {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

type Write = (bytes: Uint8Array, written: () => void) => void;

/**
 * Small writes cost a terminal as much as large ones, and one that is given faster than it draws
 * throws away. So what comes is joined, and the next piece waits until the ones before are drawn.
 */
export class Pump {
  private waiting: (Uint8Array | (() => void))[] = [];
  private flying = 0;
  private isScheduled = false;

  constructor(
    private readonly write: Write,
    private readonly soon: (work: () => void) => void = (work) => void queueMicrotask(work),
  ) {}

  push(bytes: Uint8Array): void {
    this.add(bytes);
  }

  /** Does something once all bytes are drawn that came before. */
  then(work: () => void): void {
    this.add(work);
  }

  private add(next: Uint8Array | (() => void)): void {
    this.waiting.push(next);
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.soon(() => {
      this.isScheduled = false;
      this.go();
    });
  }

  private go(): void {
    while (this.waiting.length && this.flying < FLYING) {
      const next = this.waiting[0];
      if (typeof next === 'function') {
        if (this.flying) return;
        this.waiting.shift();
        next();
        continue;
      }
      const piece = this.take();
      this.flying += piece.length;
      this.write(piece, () => {
        this.flying -= piece.length;
        if (this.flying <= PIECE) this.go();
      });
    }
  }

  /** The next bytes, at most as many as one write should have. */
  private take(): Uint8Array {
    const parts: Uint8Array[] = [];
    let size = 0;
    while (this.waiting.length && size < PIECE) {
      const next = this.waiting[0];
      if (!next || typeof next === 'function') break;
      const room = PIECE - size;
      if (next.length <= room) {
        parts.push(next);
        this.waiting.shift();
      } else {
        parts.push(next.subarray(0, room));
        this.waiting[0] = next.subarray(room);
      }
      size += Math.min(next.length, room);
    }
    const joined = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  }
}
