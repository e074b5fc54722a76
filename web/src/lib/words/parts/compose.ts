// What is said about commands that can be chosen, and about what is sent with a message.
import { dictionary } from '../../i18n.svelte';

export const en = {
  commands: 'Commands of Claude',
  'commands.old': 'As another session has said: this one does not tell.',
  attached: 'Sent with the message',
  remove: 'Do not send {name}',
  image: 'Image {n}',
  sending: 'Being copied into the working directory',
  there: 'In the working directory as {path}',
  large: 'Images of one message have 5 MB together. {name} is too much.',
  many: 'A message has 20 images at most.',
  nowhere: 'The session works where no file can be put from here.',
};

export const zh: Record<keyof typeof en, string> = {
  commands: 'Claude 的命令',
  'commands.old': '来自另一个会话:本会话不提供命令列表。',
  attached: '随消息一起发送',
  remove: '不发送 {name}',
  image: '图片 {n}',
  sending: '正在复制到工作目录',
  there: '已放入工作目录:{path}',
  large: '一条消息中的图片总共不能超过 5 MB,{name} 放不下。',
  many: '一条消息最多 20 张图片。',
  nowhere: '会话的工作目录无法从这里放入文件。',
};

export const t = dictionary(en, zh);
