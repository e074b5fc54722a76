// What a browser calls itself, in two words that a person knows.

const BROWSERS: [RegExp, string][] = [
  [/\bEdgA?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|CriOS|HeadlessChrome)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
];

const SYSTEMS: [RegExp, string][] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
];

/** The browser and the system; a program that is no browser is named as it names itself. */
export function device(agent: string): { browser: string; system: string } {
  const first = (known: [RegExp, string][]) => known.find(([sign]) => sign.test(agent))?.[1] ?? '';
  const browser = first(BROWSERS) || (/^([\w.-]{1,40})\//.exec(agent)?.[1] ?? '');
  return { browser: browser === 'Mozilla' ? '' : browser, system: first(SYSTEMS) };
}
