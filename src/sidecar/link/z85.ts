const DIGITS =
  "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/** The bytes of a text in Z85 (ZeroMQ's RFC 32): each five characters are four bytes. */
export function decodeZ85(text: string): Buffer {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let place = 0; place * 5 < text.length; place += 1) {
    const group = Array.from(text.slice(place * 5, place * 5 + 5));
    const value = group.reduce((sum, digit) => sum * 85 + DIGITS.indexOf(digit), 0);
    bytes.writeUInt32BE(value, place * 4);
  }
  return bytes;
}
