// samples.mjs -- small evaluation data made of the real files: the first images of Debian's Fashion-MNIST, the start of a text.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync, inflateRawSync } from 'node:zlib';
import { root } from './service.mjs';

const fashion = '/usr/share/datasets/fashion-mnist';
export const resnet = path.join(root, 'examples/fashion-mnist/fmnist-resnet.onnx');
export const languageModel = path.join(root, 'examples/docs-llm/docs-llama-3m.f16.gguf');
export const languageText = path.join(root, 'examples/docs-llm/docs.small.txt');
export const hasFashion = existsSync(`${fashion}/t10k-images-idx3-ubyte.gz`);

const preprocess = { image: { scale: 1 / 255, mean: [0.286], std: [0.353], layout: 'nchw' } };

/** {images: Buffer of n x 784, labels: Buffer of n} from `split` ("t10k" or "train"), beginning at `from`. */
export function fashionImages(split, from, n) {
  const images = gunzipSync(readFileSync(`${fashion}/${split}-images-idx3-ubyte.gz`));
  const labels = gunzipSync(readFileSync(`${fashion}/${split}-labels-idx1-ubyte.gz`));
  return { images: images.subarray(16 + from * 784, 16 + (from + n) * 784), labels: labels.subarray(8 + from, 8 + from + n) };
}

function idx(dimensions, bytes) {
  const head = Buffer.alloc(4 + 4 * dimensions.length);
  head.writeUInt32BE(0x0800 + dimensions.length, 0);
  dimensions.forEach((d, i) => head.writeUInt32BE(d, 4 + 4 * i));
  return Buffer.concat([head, bytes]);
}

/** Writes `n` images as an IDX pair with its description; gives the path of the description for --data. */
export function writeFashion(folder, name, split, from, n) {
  const { images, labels } = fashionImages(split, from, n);
  writeFileSync(path.join(folder, `${name}-images`), idx([n, 28, 28], images));
  writeFileSync(path.join(folder, `${name}-labels`), idx([n], labels));
  const description = path.join(folder, `${name}.json`);
  writeFileSync(description, JSON.stringify({ name, format: 'idx', images: `${name}-images`, labels: `${name}-labels`, input: 'image', preprocess }));
  return description;
}

/** The first `bytes` of the example's text. */
export function writeText(folder, name, bytes) {
  const file = path.join(folder, name);
  writeFileSync(file, readFileSync(languageText).subarray(0, bytes));
  return file;
}

/** An .npy header and its data. */
function npy(dtype, shape, bytes) {
  const text = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const padded = text.padEnd(64 * Math.ceil((text.length + 11) / 64) - 11, ' ') + '\n';
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY', 'latin1');
  head[6] = 1;
  head.writeUInt16LE(padded.length, 8);
  return Buffer.concat([head, Buffer.from(padded, 'latin1'), bytes]);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});
function crc32(bytes) {
  let c = 0xffffffff;
  for (const b of bytes) c = crcTable[(c ^ b) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** Writes an .npz (stored zip) of {name: {dtype, shape, bytes}}. */
export function writeNpz(file, arrays) {
  const parts = [], directory = [];
  let offset = 0;
  for (const [name, a] of Object.entries(arrays)) {
    const data = npy(a.dtype, a.shape, a.bytes), title = Buffer.from(`${name}.npy`);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(title.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, title, data]);
    const entry = Buffer.alloc(46);
    entry.write('PK\x01\x02');
    entry.writeUInt16LE(20, 4);
    common.copy(entry, 6, 0, 26);
    entry.writeUInt32LE(offset, 42);
    directory.push(Buffer.concat([entry, title]));
    parts.push(local);
    offset += local.length;
  }
  const entries = Buffer.concat(directory), end = Buffer.alloc(22);
  end.write('PK\x05\x06');
  end.writeUInt16LE(parts.length, 8);
  end.writeUInt16LE(parts.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(offset, 16);
  writeFileSync(file, Buffer.concat([...parts, entries, end]));
  return file;
}

/** Writes the first `n` rows of every array of the .npz `from` to `to`. */
export function firstRows(from, to, n) {
  const zip = readFileSync(from), arrays = {};
  let at = zip.readUInt32LE(zip.lastIndexOf('PK\x05\x06', undefined, 'latin1') + 16); // the central directory
  while (zip.toString('latin1', at, at + 4) === 'PK\x01\x02') {
    const method = zip.readUInt16LE(at + 10), packed = zip.readUInt32LE(at + 20), nameSize = zip.readUInt16LE(at + 28);
    const name = zip.toString('latin1', at + 46, at + 46 + nameSize), local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const raw = zip.subarray(start, start + packed), data = method === 8 ? inflateRawSync(raw) : raw;
    const head = data.readUInt16LE(8), text = data.toString('latin1', 10, 10 + head);
    const shape = /'shape': \(([^)]*)\)/.exec(text)[1].split(',').map((d) => d.trim()).filter((d) => d).map(Number);
    const bytes = data.subarray(10 + head), rows = Math.min(n, shape[0]);
    arrays[name.replace(/\.npy$/, '')] = { dtype: /'descr': '([^']+)'/.exec(text)[1], shape: [rows, ...shape.slice(1)],
      bytes: Buffer.from(bytes.subarray(0, (bytes.length / shape[0]) * rows)) };
    at += 46 + nameSize + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return writeNpz(to, arrays);
}
