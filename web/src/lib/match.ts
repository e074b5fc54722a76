// Finding things by what somebody types of their names.

/** Whether typed words are all in a text, and how well: smaller is better, null is not at all. */
export function score(text: string, typed: string): number | null {
  const low = text.toLowerCase();
  let total = 0;
  for (const word of typed.toLowerCase().split(/\s+/).filter(Boolean)) {
    const at = low.indexOf(word);
    if (at >= 0) total += at === 0 || /[\s/_.-]/.test(low[at - 1] ?? '') ? 0 : 2;
    else if (initials(low).includes(word)) total += 1;
    else return null;
  }
  return total;
}

function initials(text: string): string {
  return text
    .split(/[\s/_.-]+/)
    .map((word) => word[0] ?? '')
    .join('');
}

export function rank<T extends { label: string; hint: string }>(items: T[], typed: string): T[] {
  if (!typed.trim()) return items;
  return items
    .map((item, place) => ({ item, place, found: score(`${item.label} ${item.hint}`, typed) }))
    .filter((one) => one.found !== null)
    .sort((a, b) => (a.found ?? 0) - (b.found ?? 0) || a.place - b.place)
    .map((one) => one.item);
}
