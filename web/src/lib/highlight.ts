// Colours for code, loaded when there is some.
import hljs from 'highlight.js/lib/core';
import bash from 'highlight.js/lib/languages/bash';
import c from 'highlight.js/lib/languages/c';
import cpp from 'highlight.js/lib/languages/cpp';
import css from 'highlight.js/lib/languages/css';
import diff from 'highlight.js/lib/languages/diff';
import dockerfile from 'highlight.js/lib/languages/dockerfile';
import go from 'highlight.js/lib/languages/go';
import ini from 'highlight.js/lib/languages/ini';
import java from 'highlight.js/lib/languages/java';
import javascript from 'highlight.js/lib/languages/javascript';
import json from 'highlight.js/lib/languages/json';
import markdown from 'highlight.js/lib/languages/markdown';
import python from 'highlight.js/lib/languages/python';
import ruby from 'highlight.js/lib/languages/ruby';
import rust from 'highlight.js/lib/languages/rust';
import sql from 'highlight.js/lib/languages/sql';
import typescript from 'highlight.js/lib/languages/typescript';
import xml from 'highlight.js/lib/languages/xml';
import yaml from 'highlight.js/lib/languages/yaml';

const LANGUAGES = {
  bash, c, cpp, css, diff, dockerfile, go, ini, java, javascript, json, markdown, python, ruby, rust, sql,
  typescript, xml, yaml,
}; // prettier-ignore

for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);

/** What is longer stays as it is. */
const MOST = 200 * 1024;

/** What the highlighter makes of a text, before it would become a string of markup. */
interface Scope {
  scope?: string;
  children: (Scope | string)[];
}

/** Colours an element's text by its language, if that is known. */
export function highlight(element: HTMLElement, language: string): void {
  const text = element.textContent ?? '';
  if (!hljs.getLanguage(language) || text.length > MOST) return;
  const { _emitter } = hljs.highlight(text, { language, ignoreIllegals: true });
  const root = (_emitter as unknown as { rootNode: Scope }).rootNode;
  element.replaceChildren(...root.children.map(node));
}

function node(part: Scope | string): Node {
  if (typeof part === 'string') return document.createTextNode(part);
  const span = document.createElement('span');
  const [first, ...rest] = (part.scope ?? '').split('.');
  if (first && !first.startsWith('language:'))
    span.className = [`hljs-${first}`, ...rest.map((one) => `${one}_`)].join(' ');
  span.append(...part.children.map(node));
  return span;
}
