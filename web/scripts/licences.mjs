// Checks the licence of every package of the lock file, as cargo-deny does for the programs: what
// is shipped may have those of SHIPPED alone, what only builds and tests those of TOOLS as well.
import { readFileSync } from 'node:fs';

const SHIPPED = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'];
const TOOLS = [...SHIPPED, '(MIT OR CC0-1.0)', 'BlueOak-1.0.0', 'MPL-2.0', 'Python-2.0'];

const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'));
const refused = Object.entries(lock.packages)
  .filter(([place]) => place !== '')
  .filter(([, one]) => !(one.dev ? TOOLS : SHIPPED).includes(one.license))
  .map(([place, one]) => `${place.replace(/^node_modules\//, '')}: ${one.license ?? 'none'}`);
if (refused.length > 0) {
  console.error(`these packages have a licence that is not allowed:\n  ${refused.join('\n  ')}`);
  process.exit(1);
}
