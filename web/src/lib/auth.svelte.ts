// Who is signed in. Until the box has accounts, that is whoever has a token: it is kept in memory
// and in this tab's own storage, and goes with the tab (docs/design/decisions/0013).
import { load, save } from './storage';

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

class Auth {
  token = $state(load<string>('tab', 'token', ''));
  /** Whether the box has said yes, no, or nothing yet. */
  state = $state<'unknown' | 'in' | 'out'>('unknown');
  /** Whether a token that worked, or was given, was refused. */
  wasRefused = $state(false);

  /** Takes a token out of the address, which must not keep it: not for a second, not in history. */
  takeFromAddress(): boolean {
    const found = /^#(?:.*&)?token=([^&]+)/.exec(location.hash)?.[1];
    if (!found) return false;
    history.replaceState(history.state, '', location.pathname + location.search);
    this.use(decoded(found));
    return true;
  }

  use(token: string): void {
    this.token = token.trim();
    this.wasRefused = false;
    this.state = 'unknown';
    save('tab', 'token', this.token);
  }

  accepted(): void {
    this.state = 'in';
    this.wasRefused = false;
  }

  refused(): void {
    // Several requests may be refused at once; the first has said it.
    if (this.state === 'out') return;
    this.wasRefused = this.token !== '';
    this.state = 'out';
    this.forget();
  }

  signOut(): void {
    this.wasRefused = false;
    this.state = 'out';
    this.forget();
  }

  private forget(): void {
    this.token = '';
    save('tab', 'token', null);
  }
}

export const auth = new Auth();
