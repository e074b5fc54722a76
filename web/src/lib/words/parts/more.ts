// The places of the pages that have none in a phone's bar.
import { dictionary } from '../../i18n.svelte';

export const en = {
  title: 'More',
  new: 'New',
  sessions: 'Sessions',
  tasks: 'Tasks',
  shells: 'Shells',
  files: 'Files',
  usage: 'Usage',
  ports: 'Ports',
  hooks: 'Hooks',
  providers: 'Providers',
  settings: 'Settings',
  search: 'Search and commands',
};

export const zh: Record<keyof typeof en, string> = {
  title: '更多',
  new: '新建',
  sessions: '会话',
  tasks: '任务',
  shells: '终端',
  files: '文件',
  usage: '用量',
  ports: '端口',
  hooks: '钩子',
  providers: '提供方',
  settings: '设置',
  search: '搜索与命令',
};

export const t = dictionary(en, zh);
