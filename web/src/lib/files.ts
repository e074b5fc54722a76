// Places of files: how they stand in an address, and what they are called on the page.
import { Fault } from '../api/client';
import type { FileRoot } from '../api/types';
import { auth } from './auth.svelte';
import { visible } from './format';

/** A root and the names below it, as the API writes them. */
export interface Place {
  root: string;
  names: string[];
}

/** The place in the rest of an address; nothing if that names none. */
export function placeOf(rest: string): Place | null {
  const parts = rest.split('/').filter(Boolean);
  try {
    const [root, ...names] = parts.map(decodeURIComponent);
    return root ? { root, names } : null;
  } catch {
    return null;
  }
}

/** The address of a place on the page of files, or of changes. */
export function addressOf(place: Place, page: 'files' | 'changes' = 'files'): string {
  return `/${page}/${[place.root, ...place.names].map(encodeURIComponent).join('/')}`;
}

export const pathOf = (place: Place): string => place.names.join('/');

export function child(place: Place, name: string): Place {
  return { root: place.root, names: [...place.names, name] };
}

/** Where a directory of the box is, if files can be put there. */
export function placeIn(roots: FileRoot[], workdir: string): Place | null {
  const path = typed(workdir);
  const found = roots
    .filter((one) => one.writable && (path === one.path || path.startsWith(`${one.path}/`)))
    .sort((a, b) => b.path.length - a.path.length)[0];
  if (!found) return null;
  return { root: found.name, names: path.slice(found.path.length).split('/').filter(Boolean) };
}

/** What was typed, as the API writes it: a backslash there is one in the name. */
export const typed = (name: string): string => name.replaceAll('\\', '\\\\');

/** A name that may try to be another, or two lines, or a terminal's command. */
export function shown(name: string): string {
  return visible(name)
    .replaceAll('\\\\', '\\')
    .replace(
      // eslint-disable-next-line no-control-regex -- they are what is looked for
      /[\t\n\r\x1b\x7f-\x9f\u2028\u2029]/g,
      (c) => `⟦U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟧`,
    );
}

/** The same for the text of a file, whose lines and tabs are its own. */
export function shownText(text: string): string {
  return visible(text).replace(
    // eslint-disable-next-line no-control-regex -- they are what is looked for
    /[\x1b\x7f-\x84\x86-\x9f]/g,
    (c) => `⟦U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟧`,
  );
}

const LANGUAGES: Record<string, string> = {
  bash: 'bash', sh: 'bash', c: 'c', h: 'c', cc: 'cpp', cpp: 'cpp', hpp: 'cpp', css: 'css', diff: 'diff',
  patch: 'diff', dockerfile: 'dockerfile', go: 'go', toml: 'ini', ini: 'ini', conf: 'ini', java: 'java',
  js: 'javascript', mjs: 'javascript', cjs: 'javascript', jsx: 'javascript', json: 'json', jsonl: 'json',
  md: 'markdown', py: 'python', rb: 'ruby', rs: 'rust', sql: 'sql', ts: 'typescript', tsx: 'typescript',
  html: 'xml', svelte: 'xml', svg: 'xml', xml: 'xml', yaml: 'yaml', yml: 'yaml',
}; // prettier-ignore

/** The language of a file by its name; nothing if it has none that can be coloured. */
export function languageOf(name: string): string | null {
  const last = name.toLowerCase().split('.').at(-1) ?? '';
  return LANGUAGES[last] ?? null;
}

const rawAddress = (place: Place): string =>
  `/api/fs/raw?${new URLSearchParams({ root: place.root, path: pathOf(place) })}`;

async function raw(place: Place, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (auth.proof) headers.set('x-cib-proof', auth.proof);
  const asked = fetch(rawAddress(place), { ...init, headers, credentials: 'same-origin', redirect: 'error' });
  const response = await asked.catch(() => {
    throw new Fault('network', 'The box does not answer.', 0);
  });
  if (response.status === 401) auth.refused();
  if (response.ok) return response;
  const body = (await response.json().catch(() => ({}))) as { error?: string; detail?: string };
  throw new Fault(
    body.error ?? `http_${response.status}`,
    body.detail ?? `The box answered ${response.status}.`,
    response.status,
  );
}

/** Bytes above which a download goes to the disk as it comes, where the browser lets a page do that. */
const LARGE = 4_194_304;

type Picker = (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;

/** Has the browser save a file. A large one is asked for a place and written there piece by piece. */
export async function download(place: Place, size: number): Promise<void> {
  const name = shown(place.names.at(-1) ?? 'file').replaceAll('/', '_');
  // Only a page of a secure context has it.
  const pick = (window as { showSaveFilePicker?: Picker }).showSaveFilePicker;
  if (size > LARGE && pick) return stream(place, pick.call(window, { suggestedName: name }));
  const response = await raw(place, {});
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Writes a file where a person wants it. What breaks off leaves nothing there. */
async function stream(place: Place, asked: Promise<FileSystemFileHandle>): Promise<void> {
  const handle = await asked.catch((error: unknown) => {
    // A person who wants it nowhere has said so.
    if (error instanceof DOMException && error.name === 'AbortError') return null;
    throw error;
  });
  if (!handle) return;
  const response = await raw(place, {});
  const target = await handle.createWritable();
  await response.body?.pipeTo(target);
}

/** Writes a file of the user's; one that is there is replaced only if that is meant. */
export async function upload(place: Place, file: File, replace: boolean): Promise<void> {
  await raw(place, { method: 'PUT', body: file, headers: replace ? {} : { 'if-none-match': '*' } });
}
