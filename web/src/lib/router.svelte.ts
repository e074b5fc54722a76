// Which page is shown: the address's path, and nothing kept beside it.

export type Route =
  | { page: 'dashboard' }
  | { page: 'new' }
  | { page: 'session'; id: string; view: 'talk' | 'terminal' | 'details' }
  | { page: 'shells' }
  | { page: 'shell'; id: string }
  | { page: 'settings'; part: 'general' | 'tokens' | 'login' | 'about' }
  | { page: 'nowhere' };

const ID = '([0-9a-f-]{36})';
const SESSION = new RegExp(`^/s/${ID}(?:/(terminal|details))?/?$`);
const SHELL = new RegExp(`^/shells/${ID}/?$`);

export function parse(path: string): Route {
  if (path === '/') return { page: 'dashboard' };
  if (path === '/new') return { page: 'new' };
  if (path === '/shells') return { page: 'shells' };
  const session = SESSION.exec(path);
  if (session?.[1]) {
    return { page: 'session', id: session[1], view: (session[2] ?? 'talk') as 'talk' };
  }
  const shell = SHELL.exec(path);
  if (shell?.[1]) return { page: 'shell', id: shell[1] };
  const settings = /^\/settings(?:\/(tokens|login|about))?\/?$/.exec(path);
  if (settings) return { page: 'settings', part: (settings[1] ?? 'general') as 'general' };
  return { page: 'nowhere' };
}

class Router {
  path = $state(location.pathname);
  route = $derived(parse(this.path));

  constructor() {
    addEventListener('popstate', () => (this.path = location.pathname));
    document.addEventListener('click', (event) => this.follow(event));
  }

  go(path: string, replace = false): void {
    if (path !== location.pathname) history[replace ? 'replaceState' : 'pushState'](null, '', path);
    this.path = path;
  }

  /** Links to pages are followed without loading anything; all others as the browser does. */
  private follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || url.hash) return;
    event.preventDefault();
    this.go(url.pathname);
  }
}

export const router = new Router();
