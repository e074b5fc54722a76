/** The aliases that Claude Code takes for its models; any other name can be typed. */
export const MODELS = ['opus', 'sonnet', 'haiku'];
