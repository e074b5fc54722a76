// What is said about what was found.
import { dictionary } from '../../i18n.svelte';

export const en = {
  found: 'Found in what was said',
  searching: 'Looking through what was said',
  none: 'Nothing was said of it.',
  more: 'Look on, in older sessions',
  user: 'You',
  assistant: 'Claude',
};

export const zh: Record<keyof typeof en, string> = {
  found: '在对话内容中找到',
  searching: '正在查找对话内容',
  none: '对话内容中没有找到。',
  more: '继续在更早的会话中查找',
  user: '你',
  assistant: 'Claude',
};

export const t = dictionary(en, zh);
