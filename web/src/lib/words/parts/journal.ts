// What is said about a session's journal as a file, and who looks at a session.
import { dictionary } from '../../i18n.svelte';

export const en = {
  watchers: 'Watching',
  download: 'Download the journal',
  loading: 'Fetching … {part} %',
  failed: 'The journal did not come whole: {why}',
};

export const zh: Record<keyof typeof en, string> = {
  watchers: '正在查看',
  download: '下载日志',
  loading: '正在获取… {part} %',
  failed: '日志没有完整到达:{why}',
};

export const t = dictionary(en, zh);
