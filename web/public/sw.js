// Shows what the page or the box has to tell, and leads to it. It answers for no request: nothing that
// it kept could be out of date.
const PLACE = /^\/(s\/[0-9a-f-]{36}|t\/[0-9a-f]{8})$/;
const CODE = /^[\w-]{20}$/;

addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil(clients.claim()));

// A browser takes the leave back from who shows nothing for a push.
addEventListener('push', (event) => event.waitUntil(tell(event.data)));

/** Shows what was pushed. */
async function tell(data) {
  let told = {};
  try {
    told = data.json();
  } catch {
    // What cannot be read is still shown.
  }
  const { title = 'claude-in-box', body = '', tag, where = '/', code, options = [] } = told;
  await registration.showNotification(title, {
    body,
    tag,
    data: { where, code, options },
    actions: options.map((title, at) => ({ action: String(at), title })),
  });
}

addEventListener('notificationclick', (event) => {
  const { data } = event.notification;
  event.notification.close();
  event.waitUntil(lead(data ?? {}, event.action));
});

/** Brings a page to where a notification is about, or gives the answer that was chosen: by the code that
    came with a push, or by a page that can. */
async function lead({ where, code, question, prompt, options }, action) {
  const path = PLACE.test(where) ? where : '/';
  const answer = action === '' ? undefined : options?.[Number(action)];
  if (answer !== undefined && CODE.test(code) && (await answers(code, answer))) return;
  const pages = await clients.matchAll({ type: 'window' });
  const page = pages.find((one) => new URL(one.url).pathname.startsWith(path)) ?? pages[0];
  if (page && answer !== undefined && question) {
    page.postMessage({ answer: { session: path.slice(3), question, prompt, answer } });
    return;
  }
  if (!page) return void (await clients.openWindow(path));
  page.postMessage({ where: path });
  await page.focus();
}

/** Whether the box took an answer by a one-time code. */
async function answers(code, answer) {
  try {
    const answered = await fetch(`/a/${code}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ answer }),
      credentials: 'omit',
      redirect: 'error',
    });
    return answered.ok;
  } catch {
    return false;
  }
}
