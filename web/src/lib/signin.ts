// Signing in: with a name and a password, with a token, or by making the first account.
import { api, asFault, done } from '../api/client';
import { auth } from './auth.svelte';
import { box } from './box.svelte';
import { save } from './storage';

type Way = { username: string; password: string } | { token: string };

export async function enter(way: Way): Promise<void> {
  const { proof } = await done(api.POST('/api/auth/login', { body: way }));
  // What somebody signs in with here is what they are asked for the next time.
  save('browser', 'by-token', 'token' in way || null);
  auth.entered(proof);
}

export async function setUp(username: string, password: string): Promise<void> {
  const { proof } = await done(api.POST('/api/auth/setup', { body: { username, password } }));
  save('browser', 'by-token', null);
  auth.entered(proof);
}

/** Asks the box who we are, with the token out of the address if there was one. */
export async function greet(): Promise<void> {
  if (auth.offered) {
    try {
      await enter({ token: auth.offered });
    } catch (error) {
      const fault = asFault(error);
      // A box that asks nobody has nothing to exchange.
      if (fault.code !== 'auth_disabled') {
        if (fault.status !== 401) box.fault = fault;
        return;
      }
    }
  }
  const hadProof = auth.proof !== '';
  await box.greet();
  // A proof that is over must not stand in the way where a proxy says who somebody is.
  if (hadProof && auth.state === 'out') await box.greet();
}
