// Who is signed in. A sign-in is a cookie, which no script sees, and a proof, which no other origin
// has: the page keeps the proof for this browser, and never a token or a password
// (docs/design/decisions/0020).
import { load, save } from './storage';

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

class Auth {
  proof = $state(load<string>('browser', 'proof', ''));
  /** Whether the box has said yes, no, or nothing yet. */
  state = $state<'unknown' | 'in' | 'out'>('unknown');
  /** Whether a token out of the address was refused. */
  wasRefused = $state(false);
  /** A token out of the address, until it is exchanged for a sign-in. */
  private token = '';
  /** Where signing out leads, if a proxy signed in and the box knows where that ends. */
  leaves = $state('');

  constructor() {
    // Another tab signed in or out.
    addEventListener('storage', (event) => {
      if (event.key !== 'cib.proof') return;
      this.proof = load<string>('browser', 'proof', '');
      this.state = this.proof ? 'unknown' : 'out';
    });
  }

  /** Takes a token out of the address, which must not keep it: not for a second, not in history. */
  takeFromAddress(): boolean {
    const found = /^#(?:.*&)?token=([^&]+)/.exec(location.hash)?.[1];
    if (!found) return false;
    history.replaceState(history.state, '', location.pathname + location.search);
    this.token = decoded(found).trim();
    this.wasRefused = false;
    this.state = 'unknown';
    return true;
  }

  /** The token that is to be exchanged; it is given away once the box has answered about it. */
  get offered(): string {
    return this.token;
  }

  /** The box has let somebody in; it is asked who that is. */
  entered(proof: string): void {
    this.token = '';
    this.proof = proof;
    this.wasRefused = false;
    this.state = 'unknown';
    save('browser', 'proof', proof);
  }

  accepted(): void {
    this.state = 'in';
    this.wasRefused = false;
  }

  refused(): void {
    // Several requests may be refused at once; the first has said it.
    if (this.state === 'out') return;
    this.wasRefused = this.token !== '';
    this.forget();
  }

  /** Ends the sign-in here and, if it can be reached, on the box. */
  signOut(everywhere = false): void {
    if (!this.proof && this.leaves) return location.assign(this.leaves);
    const headers = { 'x-cib-proof': this.proof };
    const path = `/api/auth/logout${everywhere ? '?everywhere=true' : ''}`;
    // What the box does not hear ends there by itself; here it ends now.
    if (this.proof) void fetch(path, { method: 'POST', headers, keepalive: true }).catch(() => undefined);
    this.wasRefused = false;
    this.forget();
  }

  private forget(): void {
    this.state = 'out';
    this.token = '';
    this.proof = '';
    save('browser', 'proof', null);
  }
}

export const auth = new Auth();
