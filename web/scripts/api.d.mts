export const written: string;
export function generate(): Promise<string>;
