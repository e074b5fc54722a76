import { expect, test } from 'vitest';
import read from 'jsqr';
import { qr } from '../../src/lib/qr';

/** What a camera would see. */
function picture(squares: boolean[][], zoom = 4) {
  const size = (squares.length + 8) * zoom;
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      if (squares[Math.floor(y / zoom) - 4]?.[Math.floor(x / zoom) - 4])
        pixels.fill(0, (y * size + x) * 4, (y * size + x) * 4 + 3);
    }
  }
  return { pixels, size };
}

const seen = (text: string) => {
  const squares = qr(text);
  if (!squares) return null;
  const { pixels, size } = picture(squares);
  return read(pixels, size, size)?.data ?? '';
};

test('a code of any length is read as what it says', () => {
  for (let length = 1; length <= 271; length += 9) {
    const text = Array.from({ length }, (_, n) => String.fromCharCode(33 + ((n * 37 + length) % 94))).join(
      '',
    );
    expect(seen(text), `${length}`).toBe(text);
  }
  expect(seen('x'.repeat(271))).toBe('x'.repeat(271));
});

test('a token in an address is read, and so is what is no ASCII', () => {
  const address = `https://box.example:8443/#token=cib_${'0123456789abcdef'.repeat(4)}`;
  expect(seen(address)).toBe(address);
  expect(seen('盒子')).toBe('盒子');
});

test('what is too long has none', () => {
  expect(qr('x'.repeat(272))).toBeNull();
});
