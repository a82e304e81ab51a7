// What is wrong is said, with what to do, and the exit code tells a mistake (2) from a failure around it (4).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, openSync, readFileSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fashionImages, hasFashion, languageModel, resnet, writeFashion, writeNpz } from '../support/samples.mjs';
import { runPare, Service, temporaryFolder } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";
const folder = temporaryFolder('bad-input');
const n = 40;
let service, fine;

function write(name, content) {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
}

/** Images and labels as .npz arrays, changed by `change`. */
function npz(name, change = {}) {
  const { images, labels } = fashionImages('t10k', 0, n);
  const floats = Float32Array.from(images, (b) => (b / 255 - 0.286) / 0.353);
  const arrays = {
    image: { dtype: '<f4', shape: [n, 1, 28, 28], bytes: Buffer.from(floats.buffer) },
    labels: { dtype: '<i8', shape: [n], bytes: Buffer.from(BigInt64Array.from(labels, BigInt).buffer) },
    ...change,
  };
  for (const key of Object.keys(arrays)) if (!arrays[key]) delete arrays[key];
  return writeNpz(path.join(folder, name), arrays);
}

const submit = (model, data, args = []) =>
  service.pare(['submit', model, '--data', data, '--recipe', 'fp32', '--threads', '1', '--floor', 'relative>=0.5', ...args]);

async function refused(run, expected, code = 2) {
  const { code: got, stderr } = await run;
  assert.match(stderr, expected);
  assert.equal(got, code, stderr);
  assert.doesNotMatch(stderr, /\(null\)|undefined|nan/);
}

before(async () => {
  if (skip) return;
  service = await Service.start({ folder });
  fine = writeFashion(folder, 'images', 't10k', 0, n);
});
after(() => service?.stop());

test('models: empty, truncated, mislabelled, missing', { skip }, async () => {
  const onnx = readFileSync(resnet), gguf = readFileSync(languageModel);
  await refused(submit(write('empty.onnx', ''), fine), /empty\.onnx.*empty/);
  await refused(submit(write('cut.onnx', onnx.subarray(0, onnx.length / 2)), fine), /cut\.onnx/);
  await refused(submit(write('cut.gguf', gguf.subarray(0, 4000)), fine), /cut\.gguf/);
  await refused(submit(write('text.onnx', 'this is not a model\n'), fine), /text\.onnx.*ONNX/);
  await refused(submit(write('zeros.gguf', Buffer.alloc(5000)), fine), /zeros\.gguf/);
  await refused(submit(path.join(folder, 'nowhere.onnx'), fine), /nowhere\.onnx.*No such file/);
});

test('models: the service looks for itself, whatever the client says', { skip }, async () => {
  const onnx = readFileSync(resnet);
  for (const [name, content] of [['a.onnx', onnx.subarray(0, 100000)], ['b.gguf', Buffer.from('GGUF')], ['c.onnx', Buffer.from('hello, hello')]]) {
    const sha256 = createHash('sha256').update(content).digest('hex');
    const put = await fetch(`${service.url}/v1/blobs/${sha256}`, { method: 'PUT', body: content });
    assert.ok(put.ok, `${name}: ${put.status}`);
    const { status, body } = await service.post('/v1/models', { name, files: [{ path: name, sha256 }] });
    assert.equal(status, 400, name);
    assert.ok(body.detail.length > 20, body.detail);
  }
  const wrong = await fetch(`${service.url}/v1/blobs/${'0'.repeat(64)}`, { method: 'PUT', body: 'something else' });
  assert.equal(wrong.status, 400);
});

test('npz: what is right is accepted', { skip }, async () => {
  const { code, stderr } = await submit(resnet, npz('right.npz'));
  assert.ok([0, 3].includes(code), stderr);
});

test('npz: wrong names, shapes, types, labels out of range, too few labels', { skip }, async () => {
  const { images } = fashionImages('t10k', 0, n);
  const zeros = (count) => Buffer.alloc(4 * count);
  const labels = BigInt64Array.from({ length: n }, (_, i) => BigInt(i === 7 ? 10 : 1));
  const cases = [
    [{ image: null, picture: { dtype: '<f4', shape: [n, 1, 28, 28], bytes: zeros(n * 784) } }, /image/],
    [{ image: { dtype: '<f4', shape: [n, 1, 14, 14], bytes: zeros(n * 196) } }, /image.*14/s],
    [{ image: { dtype: '|S8', shape: [n], bytes: Buffer.alloc(8 * n) } }, /image/],
    [{ image: { dtype: '<c8', shape: [n, 1, 28, 28], bytes: Buffer.alloc(8 * n * 784) } }, /image/],
    [{ labels: { dtype: '<i8', shape: [n], bytes: Buffer.from(labels.buffer) } }, /labels.*10.*example 7/s],
    [{ labels: { dtype: '<i8', shape: [n - 1], bytes: Buffer.alloc(8 * (n - 1)) } }, /labels/],
    [{ image: { dtype: '<f4', shape: [n, 1, 28, 28], bytes: Buffer.from(images) } }, /image/],
  ];
  for (const [i, [change, expected]] of cases.entries()) await refused(submit(resnet, npz(`wrong${i}.npz`, change)), expected);
  await refused(submit(resnet, write('not-a-zip.npz', 'nothing')), /numpy\.savez/);
});

test('IDX and descriptions: cut short, unknown keys, wrong input', { skip }, async () => {
  const description = JSON.parse(readFileSync(fine, 'utf8'));
  const change = (name, fields) => write(name, JSON.stringify({ ...description, ...fields }));
  write('cut-images', readFileSync(path.join(folder, 'images-images')).subarray(0, 1000));
  await refused(submit(resnet, change('a.json', { images: 'cut-images' })), /cut-images|images/);
  await refused(submit(resnet, change('b.json', { imges: 'x' })), /did you mean "images"/);
  await refused(submit(resnet, change('c.json', { input: 'picture' })), /picture/);
  await refused(submit(resnet, change('d.json', { format: 'csv' })), /npz, idx or text/);
  await refused(submit(resnet, change('e.json', { images: 'nowhere' })), /nowhere.*No such file/);
  await refused(submit(resnet, write('data.csv', '1,2\n')), /must be an \.npz/);
});

test('recipes: the nearest name of an unknown step, option or value', { skip }, async () => {
  const cases = [
    ['int8:sttic', /did you mean "int8:static"/], ['int8:static,calb=mse', /did you mean "calib"/],
    ['int8:static,calib=msee', /did you mean "mse"/], ['Q8_0', /gguf/], ['prune:magnitude,ratio=2', /0\.01 to 0\.99/], ['', /empty/],
  ];
  for (const [recipe, expected] of cases) await refused(submit(resnet, fine, ['--recipe', recipe]), expected);
  await refused(submit(resnet, fine, ['--preset', 'quik']), /quick/);
});

test('floors and budgets: impossible ones, unknown ones, missing units', { skip }, async () => {
  const cases = [
    ['--floor', 'top1>=1.5', /never be met/], ['--floor', 'top1>=94', /did you mean top1>=0\.94/], ['--floor', 'tpo1>=0.9', /did you mean "top1"/],
    ['--floor', 'drop<=-1', /gain/], ['--floor', '0.99', /relative>=0\.99/], ['--budget', 'p99<=5', /unit/], ['--budget', 'memry<=5MiB', /did you mean "memory"/],
    ['--budget', 'p99<=0ms', /above 0/], ['--budget', 'p99>=5ms', /p99<=/],
  ];
  for (const [option, value, expected] of cases) await refused(submit(resnet, fine, [option, value]), expected);
});

test('a floor that nothing reaches ends with 1 and says what would', { skip }, async () => {
  const { code, stdout } = await submit(resnet, fine, ['--floor', 'top1>=0.5', '--budget', 'size<=1KiB']);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /Nearest miss: fp32: size .* breaks the budget of 1 KiB/);
  assert.match(stdout, /size<=\S+ instead of size<=1KiB would admit fp32/);
});

test('verbs, options and ids: the nearest name, or where to look', { skip }, async () => {
  await refused(runPare(['submt']), /did you mean "submit"/);
  await refused(service.pare(['submit', resnet]), /--data is missing/);
  await refused(service.pare(['submit']), /MODEL is missing/);
  await refused(service.pare(['submit', resnet, '--flor', 'x']), /did you mean --floor/);
  await refused(service.pare(['study', '--output', 'jsn']), /did you mean json/);
  await refused(service.pare(['recommend', 'no-such-model.onnx']), /no study of "no-such-model\.onnx"/);
  await refused(service.pare(['show', 'thing']), /not an id/);
  await refused(service.pare(['show', 'std_aaaaaaaaaaaaaaaaaaaaaaaaaa']), /std_aaaa/);
  await refused(service.pare(['targets', 'set-type', 'nobody', 'c7a.large']), /nobody/);
  await refused(service.pare(['targets', 'set-type', 'nobody', 'c7a.lrge']), /nobody|c7a\.large/);
  await refused(runPare(['study', '--server', 'http://127.0.0.1:9']), /cannot reach http:\/\/127\.0\.0\.1:9/, 4);
  await refused(runPare(['study', '--server', 'nonsense']), /nonsense/);
});

test('serve: port in use, folder in use, a folder that is a file, an address that is none', { skip }, async () => {
  const port = new URL(service.url).port;
  await refused(runPare(['serve', '--data', path.join(folder, 'other'), '--listen', `127.0.0.1:${port}`]), /in use/, 4);
  await refused(runPare(['serve', '--data', path.join(folder, 'data'), '--listen', '127.0.0.1:0']), /another|in use|runs/, 4);
  await refused(runPare(['serve', '--data', write('a-file', 'x'), '--listen', '127.0.0.1:0']), /a-file/, 4);
  await refused(runPare(['serve', '--data', path.join(folder, 'other'), '--listen', 'here']), /here/, 2);
  await refused(runPare(['serve', '--data', path.join(folder, 'other'), '--listen', '0.0.0.0:0']), /token/, 4);
});

test('serve: a database of a newer Pare is left alone', { skip }, async () => {
  const other = await Service.start({ folder: path.join(folder, 'newer'), args: ['--no-agent'] });
  await other.stop();
  const database = path.join(folder, 'newer/data/pare.db');
  assert.ok(!existsSync(`${database}-wal`), 'a stopped service leaves one file');
  const file = openSync(database, 'r+'), version = Buffer.alloc(4);
  version.writeUInt32BE(9999);
  writeSync(file, version, 0, 4, 60); // PRAGMA user_version lies at byte 60 of the header
  closeSync(file);
  const before = readFileSync(database);
  await refused(runPare(['serve', '--data', path.join(folder, 'newer/data'), '--listen', '127.0.0.1:0']), /newer|9999/, 4);
  assert.deepEqual(readFileSync(database), before);
});
