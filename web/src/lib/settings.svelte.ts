// What somebody likes, kept in this browser.
import { load, save } from './storage';

export type Theme = 'system' | 'light' | 'dark';

class Settings {
  theme = $state<Theme>(load('browser', 'theme', 'system'));
  /** Whether single letters are shortcuts (WCAG 2.1.4). */
  letters = $state(load('browser', 'letters', true));
  fontSize = $state(load('browser', 'terminalFont', 13));

  /** Whether this browser says when Claude needs somebody. */
  notify = $state(load('browser', 'notify', false));

  setTheme(theme: Theme): void {
    this.theme = theme;
    save('browser', 'theme', theme === 'system' ? null : theme);
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }

  setLetters(on: boolean): void {
    this.letters = on;
    save('browser', 'letters', on);
  }

  setNotify(on: boolean): void {
    this.notify = on;
    save('browser', 'notify', on || null);
  }

  setFontSize(size: number): void {
    this.fontSize = Math.min(24, Math.max(8, size));
    save('browser', 'terminalFont', this.fontSize);
  }
}

export const settings = new Settings();
