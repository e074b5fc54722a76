// Libraries that make style sheets while they run. The policy of the pages lets only those through
// that carry this answer's nonce, and it has to be there before the element is inserted.

export const nonce = document.querySelector<HTMLMetaElement>('meta[name=cib-nonce]')?.content ?? '';

export function markStyles(): void {
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (
    this: Document,
    name: string,
    options?: ElementCreationOptions,
  ) {
    const element = create.call(this, name, options);
    if (name.toLowerCase() === 'style') element.setAttribute('nonce', nonce);
    return element;
  } as typeof create;
}
