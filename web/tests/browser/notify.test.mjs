// Notifications, as the browser has them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { axeFinds, Box, DESKTOP, launch, overflow, PHONE, until, visit } from './kit.mjs';
import { PushService } from './push.mjs';

let box;
let browser;
before(async () => {
  // What is outside of the box is on this machine.
  box = await Box.start({ options: ['--webhook-private'] });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await box?.stop();
});

const shown = (page) =>
  page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration();
    const all = (await registration?.getNotifications()) ?? [];
    return all.map(({ title, body, tag, actions }) => ({
      title,
      body,
      tag,
      actions: actions?.map((one) => one.title),
    }));
  });

/** Somebody presses a notification, or a button on it. */
const press = async (page, action) => {
  const worker = await until('the service worker', () => page.context().serviceWorkers()[0]);
  await worker.evaluate(async (action) => {
    const [notification] = await self.registration.getNotifications();
    self.dispatchEvent(new NotificationEvent('notificationclick', { notification, action }));
  }, action);
};

test('who looks elsewhere is told that Claude asks, and answers from there', async () => {
  const page = await visit(browser, box, '/settings/notifications', { permissions: ['notifications'] });
  await page.getByRole('button', { name: 'Tell me when Claude needs me' }).click();
  await page.getByText('This device is told while a page of the box is open.').waitFor();
  assert.deepEqual(await axeFinds(page), []);
  const hostile = '<img src=x onerror=alert(1)>';
  const { id } = await box.create('@text ready', { title: hostile });
  await until('the end of the turn', () => box.frames(id).some((one) => one.kind === 'stop'));
  await box.call('POST', `/api/sessions/${id}/input`, {
    data: '@ask Which colour?|Red|Blue\n@text thanks for that',
  });
  const told = await until('that it is told', async () => {
    const all = await shown(page);
    return all.find((one) => one.tag === id && one.actions.length);
  });
  assert.deepEqual(told, { title: hostile, body: 'Which colour?', tag: id, actions: ['Red', 'Blue'] });
  await press(page, '1');
  await until('the answer', () => box.frames(id).some((one) => one.kind === 'ask.answer'));
  const answer = box.frames(id).find((one) => one.kind === 'ask.answer');
  assert.deepEqual(answer.data.answers, { 'Which colour?': 'Blue' });

  // A permission is more than a line: it is looked at before it is given.
  const other = await box.create('@text ready', { permission_mode: 'default' });
  await until('the end of the turn', () => box.frames(other.id).some((one) => one.kind === 'stop'));
  await box.call('POST', `/api/sessions/${other.id}/input`, { data: '@write made.txt hello\n@text done' });
  const may = await until('that it is told', async () =>
    (await shown(page)).find((one) => one.tag === other.id && /wants to use/.test(one.body)),
  );
  assert.deepEqual(may.actions, []);
  const worker = await until('the service worker', () => page.context().serviceWorkers()[0]);
  await worker.evaluate(async (tag) => {
    const [notification] = await self.registration.getNotifications({ tag });
    self.dispatchEvent(new NotificationEvent('notificationclick', { notification, action: '' }));
  }, other.id);
  await page.waitForURL(`${box.url}/s/${other.id}`);
  // Answered, it is not asked for any more.
  await page.getByRole('button', { name: /Deny/ }).last().click();
  await until(
    'that it goes',
    async () => !(await shown(page)).some((one) => one.tag === other.id && /use/.test(one.body)),
  );
  assert.deepEqual(page.wrongs, []);
  await page.context().close();
});

test('a push is shown although no page tells of it, and its button answers', async () => {
  const page = await visit(browser, box, '/settings/notifications', { permissions: ['notifications'] });
  await page.getByRole('button', { name: 'Tell me when Claude needs me' }).click();
  // No push service can be had here, which the page says.
  await page.getByText('While no page is open it is not told').waitFor();
  await page.getByRole('button', { name: 'Tell me no more' }).click();

  const service = await PushService.start();
  await box.call('POST', '/api/push/subscriptions', service.subscription());
  const { id } = await box.create('@text ready', { title: 'pushed' });
  await until('the end of the turn', () => box.frames(id).some((one) => one.kind === 'stop'));
  const input = { data: '@ask Which colour?|Red|Blue\n@text thanks for that' };
  await box.call('POST', `/api/sessions/${id}/input`, input);
  const data = await until('the push of the question', () =>
    service.pushes.map((push) => service.open(push)).find((text) => text.includes('Which colour?')),
  );

  // As the browser does when its push service has something for it.
  const cdp = await page.context().newCDPSession(page);
  const registrations = [];
  cdp.on('ServiceWorker.workerRegistrationUpdated', (event) => registrations.push(...event.registrations));
  await cdp.send('ServiceWorker.enable');
  const registration = await until('the service worker', () => registrations.at(-1));
  await cdp.send('ServiceWorker.deliverPushMessage', {
    origin: box.url,
    registrationId: registration.registrationId,
    data,
  });
  const told = await until('that it is shown', async () => (await shown(page)).find((one) => one.tag === id));
  assert.deepEqual(told, { title: 'pushed', body: 'Which colour?', tag: id, actions: ['Red', 'Blue'] });
  await press(page, '1');
  const answer = await until('the answer', () => box.frames(id).find((one) => one.kind === 'ask.answer'));
  assert.deepEqual(answer.data.answers, { 'Which colour?': 'Blue' });
  assert.deepEqual(page.wrongs, []);
  service.stop();
  await page.context().close();
});

test('an administrator sets channels up, tries them, and sees what was sent', async () => {
  const service = await PushService.start();
  for (const size of [DESKTOP, PHONE]) {
    const page = await visit(browser, box, '/settings/notifications', { size });
    await page.getByLabel('Address').fill(service.subscription().endpoint);
    await page.getByLabel('Name').fill('my <server>');
    await page.getByRole('button', { name: 'Add' }).click();
    await page.getByText('whsec_').waitFor();
    const row = page.getByRole('listitem').filter({ hasText: 'my <server>' });
    await row.getByRole('button', { name: 'Test' }).click();
    await until('the test', () => service.pushes.length > 0);
    // It has come, and the box may not have noted that yet.
    await until('that it is noted', async () => {
      await page.getByRole('button', { name: 'Look again' }).click();
      return page.getByText('delivered').first().isVisible();
    });
    assert.deepEqual(await axeFinds(page), []);
    assert.equal(await overflow(page, size.width), 0);
    await row.getByRole('button', { name: 'Remove' }).click();
    await row.waitFor({ state: 'detached' });
    assert.deepEqual(page.wrongs, []);
    service.pushes.length = 0;
    await page.context().close();
  }
  service.stop();
});
