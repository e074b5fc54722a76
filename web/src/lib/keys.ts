// What a key means, in one place for every field and page.

type Pressed = Pick<KeyboardEvent, 'key' | 'shiftKey' | 'isComposing' | 'keyCode'>;

/**
 * Whether a key sends what a field holds. Enter that confirms a candidate of an input method does
 * not: browsers say so by `isComposing`, or by the key code 229 where the composition has just ended.
 */
export function isSubmit(event: Pressed): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/** Whether a key is somebody's text, or a composition's: then it is no shortcut. */
export function isTyping(event: KeyboardEvent): boolean {
  const at = event.target as HTMLElement | null;
  return (
    event.isComposing ||
    event.keyCode === 229 ||
    !!at?.closest?.('input, textarea, select, [contenteditable], .xterm')
  );
}

export const onMac = /mac|iphone|ipad/i.test(globalThis.navigator?.platform ?? '');

/** Ctrl, or Command where that is what people press. */
export function isCommand(event: KeyboardEvent): boolean {
  return (onMac ? event.metaKey : event.ctrlKey) && !event.altKey;
}
