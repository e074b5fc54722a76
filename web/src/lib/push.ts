// Web Push: this browser is told by the box although no page of it is open.
import { api, done } from '../api/client';
import type { components } from '../api/schema';
import { device } from './device';

export type NoticeEvent = components['schemas']['NoticeEvent'];
export type Subscription = components['schemas']['PushSubscription'];

export const EVENTS: NoticeEvent[] = ['waiting', 'finished', 'failed', 'limit'];

/** Whether this browser can be pushed to. */
export const canPush = () => isSecureContext && 'PushManager' in window && !!navigator.serviceWorker;

const bytes = (text: string) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));

async function own(): Promise<PushSubscription | null> {
  const registration = await navigator.serviceWorker.getRegistration();
  return (await registration?.pushManager.getSubscription()) ?? null;
}

async function digest(text: string): Promise<string> {
  const sum = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return [...new Uint8Array(sum)].map((one) => one.toString(16).padStart(2, '0')).join('');
}

/** This browser's subscription, as the box knows it. */
export async function subscribed(): Promise<Subscription | null> {
  if (!canPush()) return null;
  const endpoint = (await own())?.endpoint;
  if (!endpoint) return null;
  const { subscriptions } = await done(api.GET('/api/push/subscriptions'));
  const sum = await digest(endpoint);
  return subscriptions.find((one) => one.endpoint_sha256 === sum) ?? null;
}

/** Has this browser pushed to. The service worker is there already. */
export async function subscribe(events: NoticeEvent[]): Promise<Subscription> {
  const { key } = await done(api.GET('/api/push/key'));
  const registration = await navigator.serviceWorker.ready;
  const how = { userVisibleOnly: true, applicationServerKey: bytes(key) };
  const before = await registration.pushManager.getSubscription();
  // One that was made with another key is of no use.
  const made = await registration.pushManager.subscribe(how).catch(async (error: unknown) => {
    if (!before) throw error;
    await before.unsubscribe();
    return registration.pushManager.subscribe(how);
  });
  const { browser, system } = device(navigator.userAgent);
  const { endpoint, keys } = made.toJSON();
  return done(
    api.POST('/api/push/subscriptions', {
      body: {
        endpoint: endpoint ?? '',
        keys: { p256dh: keys?.['p256dh'] ?? '', auth: keys?.['auth'] ?? '' },
        events,
        label: [browser, system].filter(Boolean).join(', '),
      },
    }),
  );
}

/** Has this browser pushed to no more. */
export async function unsubscribe(): Promise<void> {
  const known = await subscribed();
  if (known) await done(api.DELETE('/api/push/subscriptions/{id}', { params: { path: { id: known.id } } }));
  await (await own())?.unsubscribe();
}

/** Sends a test to this browser. */
export async function testPush(id: string): Promise<void> {
  await done(api.POST('/api/push/subscriptions/{id}/test', { params: { path: { id } } }));
}
