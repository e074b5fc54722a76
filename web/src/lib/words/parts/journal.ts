// What is said about a session's journal as a file, and who looks at a session.
import { dictionary } from '../../i18n.svelte';

export const en = {
  watchers: 'Watching',
  files: 'Files changed',
  changes: 'Changes in the directory',
  download: 'Download the journal',
  loading: 'Fetching … {part} %',
  failed: 'The journal did not come whole: {why}',
  purge: 'Delete for good',
  'purge.sure': 'Delete it for good?',
  'purge.session':
    'The journal, everything that was said, and the home of its user if it has one go for good. Files in the working directory stay.',
  'purge.shell': 'Its record goes for good, and so does the home of its user if it has one.',
  'purge.failed': 'It could not be deleted: {why}',
  'purge.left': '{freed} were deleted. This stayed, and needs somebody with more rights: {left}',
};

export const zh: Record<keyof typeof en, string> = {
  watchers: '正在查看',
  files: '已修改的文件',
  changes: '目录中的更改',
  download: '下载日志',
  loading: '正在获取… {part} %',
  failed: '日志没有完整到达:{why}',
  purge: '永久删除',
  'purge.sure': '要永久删除吗？',
  'purge.session': '日志、所有对话内容以及该会话用户的主目录（如有）都将永久删除。工作目录中的文件会保留。',
  'purge.shell': '其记录将永久删除，该用户的主目录（如有）也会一并删除。',
  'purge.failed': '无法删除：{why}',
  'purge.left': '已删除 {freed}。以下内容仍然保留，需要更高权限的人处理：{left}',
};

export const t = dictionary(en, zh);
