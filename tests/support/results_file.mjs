// results_file.mjs -- takes a bundle's signed results apart and puts them together again, honestly or not.
import { createPrivateKey, sign } from 'node:crypto';

/** {head, contents}: the JSON and the bytes of all files. */
export function takeApart(bytes) {
  const size = bytes.readUInt32LE(8);
  return { head: JSON.parse(bytes.subarray(12, 12 + size)), contents: bytes.subarray(12 + size, bytes.length - 64) };
}

/** The file with that head and those contents, signed with a bundle's secret key (hexadecimal, as in bundle.json). */
export function putTogether(head, contents, secretKey) {
  const text = Buffer.from(JSON.stringify(head));
  const front = Buffer.alloc(12);
  front.write('PARERES1', 0, 'latin1');
  front.writeUInt32LE(text.length, 8);
  const body = Buffer.concat([front, text, contents]);
  const seed = Buffer.from(secretKey.slice(0, 64), 'hex');
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' });
  return Buffer.concat([body, sign(null, body, key)]);
}
