// Which page is shown: the address's path, and nothing kept beside it.

export type Route =
  | { page: 'dashboard' }
  | { page: 'new' }
  | { page: 'session'; id: string; view: 'talk' | 'terminal' | 'details'; seq: number | null }
  | { page: 'shells' }
  | { page: 'shell'; id: string }
  | {
      page: 'settings';
      part: 'general' | 'account' | 'tokens' | 'login' | 'providers' | 'notifications' | 'about';
    }
  | { page: 'setup' }
  | { page: 'files' | 'changes'; place: string }
  | { page: 'hooks' }
  | { page: 'ports' }
  | { page: 'usage' }
  | { page: 'tasks'; id: string }
  | { page: 'nowhere' };

const ID = '([0-9a-f-]{36})';
const SESSION = new RegExp(`^/s/${ID}(?:/(?:(terminal|details)|at/(\\d{1,15})))?/?$`);
const SHELL = new RegExp(`^/shells/${ID}/?$`);

export function parse(path: string): Route {
  if (path === '/') return { page: 'dashboard' };
  if (path === '/new') return { page: 'new' };
  if (path === '/setup') return { page: 'setup' };
  if (path === '/hooks') return { page: 'hooks' };
  // An address of an opened port that has ended shows this page too.
  if (path === '/ports' || path.startsWith('/ports/')) return { page: 'ports' };
  if (path === '/usage') return { page: 'usage' };
  if (path === '/shells') return { page: 'shells' };
  const task = /^\/t(?:\/([0-9a-f]{8}))?\/?$/.exec(path);
  if (task) return { page: 'tasks', id: task[1] ?? '' };
  const session = SESSION.exec(path);
  if (session?.[1]) {
    const seq = session[3] ? Number(session[3]) : null;
    return { page: 'session', id: session[1], view: (session[2] ?? 'talk') as 'talk', seq };
  }
  const shell = SHELL.exec(path);
  if (shell?.[1]) return { page: 'shell', id: shell[1] };
  const settings = /^\/settings(?:\/(account|tokens|login|providers|notifications|about))?\/?$/.exec(path);
  if (settings) return { page: 'settings', part: (settings[1] ?? 'general') as 'general' };
  const files = /^\/(files|changes)(?:\/(.*))?$/.exec(path);
  if (files) return { page: files[1] as 'files', place: files[2] ?? '' };
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
