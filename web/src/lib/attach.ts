// What is sent with a message: images to Claude itself, all other files into its working directory.
import { api, asFault, done, Fault } from '../api/client';
import type { FileRoot, Image } from '../api/types';
import { child, type Place, pathOf, placeIn, typed, upload } from './files';

/** What Claude takes as an image, and any browser shows. */
export const TYPES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];

/** Bytes of all images of a message, and how many there may be. */
export const MAX_BYTES = 5 * 1024 * 1024;
export const MAX_IMAGES = 20;

/** Pixels of the longer side. Claude makes larger ones as small itself. */
const SIDE = 1568;
/** Bytes up to which an image is sent as it is, if it is not larger than that either. */
const SMALL = 1024 * 1024;

/** Names that are tried for a file, where something else has its name. */
const NAMES = 20;

export const bytesOf = (image: Image): number => Math.floor((image.data.length * 3) / 4);

async function base64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** A file as an image that Claude takes, made smaller where it is large; null if it is none. */
export async function imageOf(file: File): Promise<Image | null> {
  if (!TYPES.includes(file.type)) return null;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= SMALL) {
    return { media_type: file.type as Image['media_type'], data: await base64(file) };
  }
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const as = (type: string) =>
    new Promise<Blob | null>((resolve) =>
      canvas.toBlob(resolve, type, type === 'image/jpeg' ? 0.85 : undefined),
    );
  // Letters on a screen are sharp as PNG; a photograph would be many times as large.
  let made = await as('image/png');
  if (!made || made.size > SMALL) made = await as('image/jpeg');
  return made && { media_type: made.type as Image['media_type'], data: await base64(made) };
}

/** The name that is tried after `n` others were taken. */
export function nth(name: string, n: number): string {
  if (!n) return name;
  const dot = name.lastIndexOf('.');
  return dot > 0 ? `${name.slice(0, dot)}-${n + 1}${name.slice(dot)}` : `${name}-${n + 1}`;
}

/** A name that can be one of a file, and of none that is hidden or elsewhere. */
export function plain(name: string): string {
  const bare = name
    // eslint-disable-next-line no-control-regex -- they are what is taken out
    .replace(/[\x00-\x1f\x7f/\\]/g, '_')
    .replace(/^\.+/, '')
    .trim();
  return bare.slice(0, 120) || 'file';
}

/** Puts a file into a session's working directory, under a name that is free; returns its path there. */
export async function put(workdir: string, file: File, nowhere: string): Promise<string> {
  const { roots } = await done(api.GET('/api/fs/roots'));
  const folder: Place | null = placeIn(roots as FileRoot[], workdir);
  if (!folder) throw new Fault('nowhere', nowhere, 0);
  for (let n = 0; ; n += 1) {
    const name = nth(plain(file.name), n);
    try {
      const place = child(folder, typed(name));
      await upload(place, file, false);
      return pathOf({ root: folder.root, names: [name] });
    } catch (error) {
      if (asFault(error).code !== 'file_changed' || n + 1 >= NAMES) throw error;
    }
  }
}
