// What is said about a token as a QR code.
import { dictionary } from '../../i18n.svelte';

export const en = {
  code: 'The token as a QR code',
  what: 'A phone that reads this opens the box and is signed in.',
};

export const zh: Record<keyof typeof en, string> = {
  code: '令牌的二维码',
  what: '手机读取后会打开盒子并登录。',
};

export const t = dictionary(en, zh);
