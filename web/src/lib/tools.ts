// What a tool call tells in one line, and what of its output is shown how.
import type { Image } from '../api/types';
import type { ToolRow } from './rows';

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The argument that tells what a call is about. */
export function telling({ tool, input }: Pick<ToolRow, 'tool' | 'input'>): string {
  const path = text(input['file_path']) || text(input['notebook_path']) || text(input['path']);
  switch (tool) {
    case 'Bash':
      return text(input['command']);
    case 'Read': {
      const from = typeof input['offset'] === 'number' ? `:${input['offset']}` : '';
      return path + from;
    }
    case 'Edit':
    case 'MultiEdit':
    case 'Write':
    case 'NotebookEdit':
      return path;
    case 'Grep':
    case 'Glob':
      return [text(input['pattern']), path].filter(Boolean).join(' in ');
    case 'WebFetch':
      return text(input['url']);
    case 'WebSearch':
      return text(input['query']);
    case 'Task':
    case 'Agent':
      return text(input['description']);
    case 'TaskCreate':
      return text(input['subject']);
    case 'TaskUpdate':
      return [text(input['taskId']), text(input['status'])].filter(Boolean).join(' → ');
    default: {
      const first = Object.values(input).find((value) => typeof value === 'string');
      return text(first);
    }
  }
}

/** Whether a call changes a file in a way that can be shown. */
export function isEdit({ tool, input }: Pick<ToolRow, 'tool' | 'input'>): boolean {
  return (
    (tool === 'Write' && typeof input['content'] === 'string') ||
    (tool === 'Edit' && typeof input['old_string'] === 'string') ||
    (tool === 'MultiEdit' && Array.isArray(input['edits']))
  );
}

/** What a call returned, as text. */
export function outputText(output: unknown): string {
  if (output === null || output === undefined) return '';
  if (typeof output === 'string') return output;
  if (Array.isArray(output)) return output.map(block).filter(Boolean).join('\n');
  return JSON.stringify(output, null, 2);
}

/** The images that a call returned. */
export function imagesOf(output: unknown): Image[] {
  if (!Array.isArray(output)) return [];
  return output.flatMap((part) => {
    const { type, source } = (part ?? {}) as { type?: string; source?: Partial<Image> & { type?: string } };
    const { media_type, data } = source ?? {};
    const isOne = type === 'image' && typeof media_type === 'string' && typeof data === 'string';
    return isOne ? [{ media_type, data }] : [];
  });
}

function block(part: unknown): string {
  if (typeof part === 'string') return part;
  const { type, text: words } = (part ?? {}) as { type?: string; text?: string };
  if (typeof words === 'string') return words;
  if (type === 'image') return '[image]';
  return JSON.stringify(part);
}

const LANGUAGE: Record<string, string> = {
  bash: 'bash', c: 'c', cc: 'cpp', cpp: 'cpp', css: 'css', go: 'go', h: 'c', html: 'xml', java: 'java',
  js: 'javascript', json: 'json', jsx: 'javascript', md: 'markdown', mjs: 'javascript', py: 'python',
  rb: 'ruby', rs: 'rust', sh: 'bash', sql: 'sql', svelte: 'xml', toml: 'ini', ts: 'typescript',
  tsx: 'typescript', xml: 'xml', yaml: 'yaml', yml: 'yaml',
}; // prettier-ignore

/** The language of a fence's word or a file's ending. */
export function languageOf(word: string): string {
  const name = word.toLowerCase();
  return LANGUAGE[name.split('.').at(-1) ?? name] ?? name;
}
