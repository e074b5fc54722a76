// A push service, and a browser's end of it: it opens what the box sealed for a browser.
import { createDecipheriv, createECDH, createHmac, randomBytes } from 'node:crypto';
import http from 'node:http';

const mac = (key, ...parts) => {
  const sum = createHmac('sha256', key);
  for (const part of parts) sum.update(part);
  return sum.digest();
};

export class PushService {
  static async start() {
    const service = new PushService();
    service.key = createECDH('prime256v1');
    service.key.generateKeys();
    service.auth = randomBytes(16);
    service.pushes = [];
    service.server = http.createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      service.pushes.push({ headers: request.headers, body: Buffer.concat(parts) });
      response.writeHead(201).end();
    });
    service.server.listen(0, '127.0.0.1');
    await new Promise((resolve) => service.server.once('listening', resolve));
    return service;
  }

  /** What a page sends of its subscription. */
  subscription() {
    return {
      endpoint: `http://127.0.0.1:${this.server.address().port}/push`,
      keys: {
        p256dh: this.key.getPublicKey().toString('base64url'),
        auth: this.auth.toString('base64url'),
      },
    };
  }

  /** RFC 8291. */
  open({ body }) {
    const [salt, sender] = [body.subarray(0, 16), body.subarray(21, 86)];
    const info = [Buffer.from('WebPush: info\0'), this.key.getPublicKey(), sender, Buffer.from([1])];
    const input = mac(mac(this.auth, this.key.computeSecret(sender)), ...info);
    const pseudorandom = mac(salt, input);
    const key = mac(pseudorandom, 'Content-Encoding: aes128gcm\0\x01').subarray(0, 16);
    const nonce = mac(pseudorandom, 'Content-Encoding: nonce\0\x01').subarray(0, 12);
    const cipher = createDecipheriv('aes-128-gcm', key, nonce);
    cipher.setAuthTag(body.subarray(-16));
    const text = Buffer.concat([cipher.update(body.subarray(86, -16)), cipher.final()]);
    if (text.at(-1) !== 2) throw new Error('no last record');
    return text.subarray(0, -1).toString();
  }

  stop() {
    this.server.close();
  }
}
