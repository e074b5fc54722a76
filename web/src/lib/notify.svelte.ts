// Notifications, while a page of the box is open somewhere.
import { api, done } from '../api/client';
import { box } from './box.svelte';
import { nameOf, visible } from './format';
import { type News, Observer } from './news';
import { router } from './router.svelte';
import { t } from './words/parts/notify';

export type Ability = 'yes' | 'ask' | 'denied' | 'insecure' | 'absent';

/** Whether this browser can show any. */
export function ability(): Ability {
  if (!isSecureContext) return 'insecure';
  if (!('Notification' in window) || !navigator.serviceWorker) return 'absent';
  return { granted: 'yes', denied: 'denied', default: 'ask' }[Notification.permission] as Ability;
}

/** The address of the one script that is run beside the page, as the page's policy wants it. */
function script(): string {
  const path = '/sw.js';
  const types = (globalThis as { trustedTypes?: { createPolicy: (...words: unknown[]) => unknown } })
    .trustedTypes;
  if (!types) return path;
  const policy = types.createPolicy('cib-worker', { createScriptURL: () => path }) as {
    createScriptURL: (text: string) => string;
  };
  return policy.createScriptURL(path);
}

let worker: Promise<ServiceWorkerRegistration> | null = null;
const registered = () => (worker ??= navigator.serviceWorker.register(script()));

/** Asks for leave; to be called because somebody pressed a button. */
export async function allow(): Promise<boolean> {
  if ((await Notification.requestPermission()) !== 'granted') return false;
  await registered();
  return true;
}

interface Told {
  where?: string;
  answer?: { session: string; question: string; prompt: string; answer: string };
}

/** Tells news from now on, until what it returns is called. */
export function start(): () => void {
  if (ability() !== 'yes') return () => undefined;
  const observer = new Observer();
  const stop = $effect.root(() => {
    $effect(() => {
      if (!box.isLoaded) return;
      const isHidden = document.hidden || !document.hasFocus();
      for (const news of observer.look(box.sessions, Date.now(), isHidden)) void show(news, isHidden);
      void forget(box.sessions.filter((one) => one.state !== 'waiting_for_input').map((one) => one.id));
      const waiting = box.sessions.filter((one) => one.state === 'waiting_for_input').length;
      const badge = navigator as Navigator & { setAppBadge?: (n: number) => Promise<void> };
      badge.setAppBadge?.(waiting).catch(() => undefined);
    });
  });
  const heard = (event: MessageEvent<Told>) => void hear(event.data);
  navigator.serviceWorker.addEventListener('message', heard);
  void registered();
  return () => {
    stop();
    navigator.serviceWorker.removeEventListener('message', heard);
  };
}

/** Those that ask for something, by session: they go when it is not asked for any more. */
// eslint-disable-next-line svelte/prefer-svelte-reactivity -- nothing is drawn of it
const asking = new Set<string>();

async function show({ what, session }: News, isHidden: boolean): Promise<void> {
  const { route } = router;
  // Who sees it need not be told.
  if (!isHidden && route.page === 'session' && route.id === session.id) return;
  const question = what === 'asks' ? session.open_questions?.at(-1) : undefined;
  const said = question?.tool ? t('may', { tool: question.tool }) : (question?.prompt ?? t(what));
  const options = question?.options ?? [];
  if (what === 'asks') asking.add(session.id);
  const registration = await registered();
  await registration.showNotification(nameOf(session).slice(0, 100), {
    body: visible(said).slice(0, 200),
    tag: session.id,
    data: { where: `/s/${session.id}`, question: question?.id, prompt: question?.prompt, options },
    actions: options.map((title, at) => ({ action: String(at), title: visible(title) })),
  } as NotificationOptions);
}

async function forget(sessions: string[]): Promise<void> {
  for (const id of sessions) {
    if (!asking.delete(id)) continue;
    const registration = await registered();
    const shown = await registration.getNotifications({ tag: id });
    for (const one of shown) if ((one.data as { question?: string }).question) one.close();
  }
}

/** What somebody chose on a notification. */
async function hear({ where, answer }: Told): Promise<void> {
  if (where) router.go(where);
  if (!answer) return;
  const { session, question, prompt, answer: chosen } = answer;
  const asked = done(
    api.POST('/api/sessions/{id}/answer', {
      params: { path: { id: session } },
      body: { id: question, answers: { [prompt]: chosen } },
    }),
  );
  // Who could not answer so sees the question.
  await asked.catch(() => router.go(`/s/${session}`));
}
