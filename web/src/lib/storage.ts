// Storage that may be forbidden, full or somebody else's: then the page works without.
/* eslint no-restricted-globals: off -- everybody else comes here */

type Place = 'tab' | 'browser';

function area(place: Place): Storage | null {
  try {
    return place === 'tab' ? sessionStorage : localStorage;
  } catch {
    return null;
  }
}

export function load<T>(place: Place, key: string, fallback: T): T {
  try {
    const text = area(place)?.getItem(`cib.${key}`);
    return text ? (JSON.parse(text) as T) : fallback;
  } catch {
    return fallback;
  }
}

export function save(place: Place, key: string, value: unknown): void {
  try {
    if (value === null || value === undefined || value === '') area(place)?.removeItem(`cib.${key}`);
    else area(place)?.setItem(`cib.${key}`, JSON.stringify(value));
  } catch {
    // What cannot be kept is asked for again.
  }
}
