// Models that can be chosen.
import { api, done } from '../api/client';
import type { Model } from '../api/types';

const alias = (value: string): Model => ({ value, name: value, efforts: [] });

/** What an effort may be, unless Claude Code has said which a model has. */
export const EFFORTS = ['low', 'medium', 'high', 'xhigh', 'max'];

/** The aliases that Claude Code takes for its models, until one has said which it has. */
export const MODELS: Model[] = ['opus', 'sonnet', 'haiku'].map(alias);

/** What Claude Code says that it has; the aliases, where the box does not know. */
export async function models(): Promise<Model[]> {
  try {
    const list = await done(api.GET('/api/models'));
    return list.models.length ? list.models : MODELS;
  } catch {
    // Any name can be typed all the same.
    return MODELS;
  }
}
