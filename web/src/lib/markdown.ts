// Markdown that an agent wrote, as nodes that can do no harm.
//
// Whoever writes it may want the user's browser to fetch something: an image's address can carry a
// secret past the box's proxy. So marked only takes the text apart, and each node is made here, by
// name, out of the few that there are: no text ever becomes markup, tags of HTML are shown as the
// text that they are, an image is a link, and an address is opened only when a person follows it.
import { Lexer, type Token, type Tokens } from 'marked';
import { visible } from './format';

/** An address that may be opened, or nothing. */
export function openable(href: string): URL | null {
  try {
    const url = new URL(href);
    return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** How deep lists and quotes are followed; what lies deeper is text. */
const DEEPEST = 24;

/** What is longer is shown as it was written. */
const MOST = 1_000_000;

/** How far a text that still grows is made of whole blocks: behind its last blank line outside a fence. */
export function settled(text: string, from = 0): number {
  let fence: string | null = null;
  let end = from;
  let at = from;
  while (at < text.length) {
    const next = text.indexOf('\n', at);
    if (next < 0) break;
    const line = text.slice(at, next);
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (mark) {
      if (fence === null) fence = mark;
      else if (mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) fence = null;
    } else if (fence === null && line.trim() === '') end = next + 1;
    at = next + 1;
  }
  return end;
}

/** The nodes of a text. */
export function render(text: string): DocumentFragment {
  const found = document.createDocumentFragment();
  found.append(...take(visible(text)).flatMap((token) => block(token, 0)));
  return found;
}

/** A text's parts; one that is nested so deep, or so long, that it could hold up the page is one part. */
function take(words: string): Token[] {
  const whole = { type: 'html', raw: words } as Token;
  if (words.length > MOST) return [whole];
  try {
    return Lexer.lex(words, { gfm: true, breaks: true });
  } catch {
    return [whole];
  }
}

function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  children: Iterable<Node> = [],
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

/** An element whose direction is that of the words in it. */
function worded<K extends keyof HTMLElementTagNameMap>(name: K, children: Iterable<Node>) {
  const made = element(name, children);
  made.dir = 'auto';
  return made;
}

const text = (words: string): Node => document.createTextNode(words);

function block(token: Token, depth: number): Node[] {
  if (depth > DEEPEST) return [text(token.raw)];
  const inside = (tokens: Token[] | undefined) => (tokens ?? []).flatMap((one) => block(one, depth + 1));
  switch (token.type) {
    case 'space':
    case 'def':
      return [];
    case 'paragraph':
      return [worded('p', inline(token, depth))];
    case 'text':
      return inline(token, depth);
    case 'heading':
      return [heading(token as Tokens.Heading, depth)];
    case 'hr':
      return [element('hr')];
    case 'blockquote':
      return [element('blockquote', inside(token.tokens))];
    case 'code':
      return [code(token as Tokens.Code)];
    case 'list':
      return [list(token as Tokens.List, inside)];
    case 'table':
      return [table(token as Tokens.Table, depth)];
    case 'checkbox':
      return [text((token as Tokens.Checkbox).checked ? '☑ ' : '☐ ')];
    case 'html':
      return [worded('p', [text(token.raw.trimEnd())])];
    default:
      return [text(token.raw)];
  }
}

/** The page has one first heading, and it is not Claude's. */
function heading(token: Tokens.Heading, depth: number): Node {
  const made = worded('p', inline(token, depth));
  made.className = `md-heading md-h${token.depth}`;
  made.setAttribute('role', 'heading');
  made.setAttribute('aria-level', String(Math.min(6, token.depth + 2)));
  return made;
}

function code({ text: words, lang }: Tokens.Code): Node {
  const made = element('code', [text(words)]);
  const language = /^[\w+#.-]+/.exec(lang ?? '')?.[0];
  if (language) made.className = `language-${language}`;
  return element('pre', [made]);
}

function list(token: Tokens.List, inside: (tokens: Token[] | undefined) => Node[]): Node {
  const items = token.items.map((item) => worded('li', inside(item.tokens)));
  if (!token.ordered) return element('ul', items);
  const made = element('ol', items);
  if (typeof token.start === 'number' && token.start !== 1) made.start = token.start;
  return made;
}

function table({ header, rows }: Tokens.Table, depth: number): Node {
  const row = (cells: Tokens.TableCell[], name: 'td' | 'th') =>
    element(
      'tr',
      cells.map((cell) => worded(name, inline(cell, depth))),
    );
  const body = element(
    'tbody',
    rows.map((cells) => row(cells, 'td')),
  );
  const frame = element('div', [element('table', [element('thead', [row(header, 'th')]), body])]);
  frame.className = 'md-table';
  frame.tabIndex = 0;
  frame.setAttribute('role', 'group');
  return frame;
}

function inline(token: { tokens?: Token[] | undefined; text?: string }, depth: number): Node[] {
  if (!token.tokens) return [text(token.text ?? '')];
  return token.tokens.flatMap((one) => phrase(one, depth + 1));
}

function phrase(token: Token, depth: number): Node[] {
  if (depth > DEEPEST) return [text(token.raw)];
  switch (token.type) {
    case 'strong':
    case 'em':
    case 'del':
      return [element(token.type, inline(token, depth))];
    case 'codespan':
      return [element('code', [text((token as Tokens.Codespan).text)])];
    case 'br':
      return [element('br')];
    case 'escape':
      return [text((token as Tokens.Escape).text)];
    case 'link':
      return link((token as Tokens.Link).href, inline(token, depth));
    case 'image': {
      const { href, text: words } = token as Tokens.Image;
      return link(href, [text(words || href)]);
    }
    case 'text':
      return inline(token, depth);
    case 'checkbox':
      return block(token, depth);
    default:
      return [text(token.raw)];
  }
}

/** A link opens elsewhere, tells nobody where from, and says where it leads if its text lies. */
function link(href: string, children: Node[]): Node[] {
  const url = openable(href);
  if (!url) return children;
  const made = element('a', children);
  made.href = url.href;
  made.target = '_blank';
  made.rel = 'noopener noreferrer nofollow';
  made.title = url.href;
  const shown = /([\p{L}\p{N}-]+\.)+\p{L}{2,}/u.exec(made.textContent?.toLowerCase() ?? '')?.[0];
  const host = url.host;
  if (host && shown && shown !== host && shown !== host.replace(/^www\./, '')) {
    const real = element('span', [text(` (${host})`)]);
    real.className = 'md-host';
    made.append(real);
  }
  return [made];
}
