// What accounts and tokens may do: the scopes that there are, and three sets of them.
import type { Scope } from '../api/types';

export const ALL: Scope = '*';

export const SETS: Record<'watch' | 'talk' | 'all', Scope[]> = {
  watch: ['sessions:read', 'shells:read', 'usage:read'],
  talk: ['sessions:read', 'sessions:write', 'sessions:input', 'usage:read'],
  all: [ALL],
};

/** Every scope but the one that is all of them. A missing one is an error of types. */
const EVERY: Record<Exclude<Scope, '*'>, true> = {
  'sessions:read': true,
  'sessions:write': true,
  'sessions:input': true,
  'shells:read': true,
  'shells:write': true,
  'shells:input': true,
  'fs:read': true,
  'fs:write': true,
  'providers:read': true,
  'providers:write': true,
  'prefs:read': true,
  'prefs:write': true,
  'ports:read': true,
  'ports:write': true,
  'hooks:read': true,
  'hooks:write': true,
  'tokens:read': true,
  'tokens:write': true,
  'proxy:read': true,
  'tasks:read': true,
  'tasks:write': true,
  'usage:read': true,
};

export const SCOPES = Object.keys(EVERY) as Exclude<Scope, '*'>[];
