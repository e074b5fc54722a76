// What is said about publishing a working tree.
import { dictionary } from '../../i18n.svelte';

export const en = {
  push: 'Push',
  pr: 'Push and open a pull request',
  'push.title': 'Push to a forge',
  where: 'To',
  branch: 'Branch there',
  commit: 'Commit',
  title: 'Title',
  body: 'Description',
  made: 'Made of the commits if empty',
  draft: 'As a draft',
  uncommitted: 'What is not committed is not pushed.',
  pushing: 'Pushing …',
  opening: 'Opening the pull request …',
  pushed: '{branch} is at {commit} at {where} now.',
  see: 'What it brings',
  opened: 'Pull request {n} is open.',
  adopted: 'Pull request {n} was open already, and has the new commits.',
  drafted: 'Pull request {n} is open as a draft.',
  'why.nothing': 'Nothing is committed yet, so there is nothing to push.',
  'why.remote': 'This tree has no remote to push to.',
  'why.account':
    'The box has no account where this tree comes from, so it is pushed from elsewhere: by “cib push” or “cib pr” on the machine that the box was started from.',
  'why.scope': 'You may not publish: that needs the scope tasks:write.',
};

export const zh: Record<keyof typeof en, string> = {
  push: '推送',
  pr: '推送并创建拉取请求',
  'push.title': '推送到代码托管平台',
  where: '目标',
  branch: '那里的分支',
  commit: '提交',
  title: '标题',
  body: '说明',
  made: '留空则根据提交生成',
  draft: '作为草稿',
  uncommitted: '未提交的内容不会被推送。',
  pushing: '正在推送…',
  opening: '正在创建拉取请求…',
  pushed: '{where} 的 {branch} 现在位于 {commit}。',
  see: '查看其内容',
  opened: '拉取请求 {n} 已创建。',
  adopted: '拉取请求 {n} 此前已打开，现已包含新提交。',
  drafted: '拉取请求 {n} 已作为草稿创建。',
  'why.nothing': '尚无提交，没有可推送的内容。',
  'why.remote': '此工作树没有可推送的远程仓库。',
  'why.account':
    '盒子在此仓库所在的平台没有账户，因此要从别处推送：在启动盒子的机器上使用 “cib push” 或 “cib pr”。',
  'why.scope': '您无权发布：需要 tasks:write 权限。',
};

export const t = dictionary(en, zh);
