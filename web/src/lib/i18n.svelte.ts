// Words in the language of whoever reads. A key that a language lacks is an error of types.
import { en } from './words/en';
import { load, save } from './storage';

export type Words = Record<keyof typeof en, string>;
export type Key = keyof typeof en;
export type Language = 'en' | 'zh-CN';

export const LANGUAGES: Record<Language, string> = { en: 'English', 'zh-CN': '简体中文' };

class I18n {
  language = $state<Language>('en');
  private words = $state.raw<Words>(en);

  /** The language that was chosen, or the browser's own if the page knows it. */
  async start(): Promise<void> {
    const chosen = load<Language | null>('browser', 'language', null);
    const ours = navigator.languages.find((one) => /^(en|zh)\b/i.test(one)) ?? 'en';
    await this.use(chosen ?? (/^zh/i.test(ours) ? 'zh-CN' : 'en'), false);
  }

  async use(language: Language, keep = true): Promise<void> {
    this.words = language === 'zh-CN' ? (await import('./words/zh')).zh : en;
    this.language = language;
    document.documentElement.lang = language;
    if (keep) save('browser', 'language', language);
  }

  /** The words of a key, with what stands in braces put in. */
  readonly t = (key: Key, values: Values = {}): string => fill(this.words[key], values);
}

type Values = Record<string, string | number>;

function fill(words: string, values: Values): string {
  return words.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export const i18n = new I18n();
export const t = i18n.t;

/** The words of a part that is loaded when it is needed: it brings them in both languages. */
export function dictionary<T extends Record<string, string>>(en: T, zh: Record<keyof T, string>) {
  return (key: keyof T, values: Values = {}): string =>
    fill((i18n.language === 'zh-CN' ? zh : en)[key] as string, values);
}
