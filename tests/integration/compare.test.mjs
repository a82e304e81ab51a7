// Comparison runs: the worker's replicate, and a whole comparison over HTTP and by `pare compare --measure`, with kills in the middle.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { check, request } from '../support/openapi.mjs';
import { hasFashion, languageModel, resnet, writeFashion, writeText } from '../support/samples.mjs';
import { binaries, Service, temporaryFolder } from '../support/service.mjs';
import { askWorker } from '../support/worker_target.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";
const folder = temporaryFolder('compare');
let service, model, slower, dataset;

/** Runs one job in a folder of its own; gives {type, result, error, files} and the folder. */
function work(job) {
  const inside = temporaryFolder('compare-worker');
  return new Promise((resolve) => {
    const child = spawn(path.join(binaries, 'pare-worker'), [], { cwd: inside });
    let out = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stdin.end(JSON.stringify({ limits: { threads: 1, memory_bytes: 2 ** 32, cpu_s: 300, file_bytes: 2 ** 30 }, ...job }));
    child.on('close', () => resolve({ ...JSON.parse(out.trim().split('\n').at(-1)), inside }));
  });
}

const local = (file, extra = {}) => ({ path: path.basename(file), local: file, ...extra });
const onnx = (file) => ({ family: 'onnx', main: path.basename(file), files: [local(file)] });
const images = () => ({ format: 'idx', input: 'image', files: [local(path.join(folder, 'images-images'), { role: 'images' }),
  local(path.join(folder, 'images-labels'), { role: 'labels' })] });
const runtime = { threads: 1, batch: 1 };

async function ask(method, where, body) {
  const answer = await request(service.url + where, method, body);
  check(method, where, answer);
  return answer;
}

async function upload(data) {
  const sha256 = createHash('sha256').update(data).digest('hex');
  await ask('PUT', `/v1/blobs/${sha256}`, data);
  return sha256;
}

async function register(name, file) {
  const answer = await ask('POST', '/v1/models', { name, files: [{ path: 'model.onnx', sha256: await upload(readFileSync(file)) }] });
  return answer.body.id;
}

/** Looks at a comparison until `enough`. */
async function until(id, enough) {
  for (;;) {
    const { body } = await ask('GET', `/v1/comparisons/${id}`);
    if (enough(body)) return body;
    await new Promise((done) => setTimeout(done, 50));
  }
}

before(async () => {
  if (skip) return;
  writeFashion(folder, 'images', 't10k', 0, 100);
  const made = await work({ kind: 'compress', model: onnx(resnet), recipe: 'int8:dynamic', calibration: null });
  assert.equal(made.type, 'result', JSON.stringify(made.error));
  service = await Service.start({ folder, args: ['--lease', '5'] });
  await service.agentRegistered();
  model = await register('resnet', resnet);
  slower = await register('slower', path.join(made.inside, made.files[0].path));
  const set = await ask('POST', '/v1/datasets', {
    name: 'images', format: 'idx', input: 'image', preprocess: { image: { scale: 1 / 255 } },
    files: [{ path: 'images', role: 'images', sha256: await upload(readFileSync(path.join(folder, 'images-images'))) },
      { path: 'labels', role: 'labels', sha256: await upload(readFileSync(path.join(folder, 'images-labels'))) }],
  });
  dataset = set.body.id;
});
after(() => service?.stop());

test('a replicate: samples of both, their ratio, the conditions', { skip }, async () => {
  const { type, result, error, inside } = await work({ kind: 'compare', model: onnx(resnet), reference: onnx(resnet), dataset: images(),
    runtime, reference_runtime: runtime, seed: 5, measure_s: 0.2 });
  assert.equal(type, 'result', JSON.stringify(error));
  assert.ok(Math.abs(result.log_ratio) < 0.7, `${result.log_ratio}`);
  assert.equal(result.n, result.pairs * result.block_runs);
  assert.ok(result.pairs >= 5 && result.seconds > 0);
  for (const side of ['model', 'reference']) {
    const bytes = readFileSync(path.join(inside, result[side].samples));
    const us = [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)].sort((a, b) => a - b);
    assert.equal(us.length, result.n);
    assert.ok(Math.abs(us[Math.ceil(us.length / 2) - 1] - result[side].p50_us) < 0.01);
  }
  assert.equal(typeof result.conditions.stable, 'boolean');
  assert.equal(result.repeated !== null, result.repeated?.conditions.stable === false);
});

test('a replicate refuses what cannot be compared', { skip }, async () => {
  const job = { kind: 'compare', model: onnx(resnet), reference: onnx(resnet), dataset: images(), runtime, reference_runtime: runtime };
  const cases = [[{ reference: null }, /reference/], [{ reference_runtime: { threads: 1, batch: 2 } }, /same batch/],
    [{ runtime: { threads: 1000, batch: 1 } }, /cores/], [{ measure_s: -1 }, /measure_s/], [{ dataset: null }, /dataset/]];
  for (const [change, pattern] of cases) {
    const { type, error } = await work({ ...job, ...change });
    assert.equal(type, 'error');
    assert.match(error.text, pattern);
  }
});

test('the same model twice: grows replicate by replicate through kill -9 of service and worker, and is the same', { skip }, async () => {
  const begun = await ask('POST', '/v1/compare', { configurations: [model, model], measure: { margin: 0.5, time_limit_s: 300 }, dataset });
  assert.equal(begun.status, 202);
  assert.equal(begun.body.state, 'running');
  const early = await until(begun.body.id, (c) => c.replicates.length >= 2);
  await service.kill();
  await service.start();
  const worker = await until(begun.body.id, (c) => c.replicates.length >= 3 || c.state !== 'running');
  killWorker();
  const ended = await until(worker.id, (c) => c.state !== 'running');
  assert.equal(ended.state, 'done', JSON.stringify(ended.error));
  assert.equal(ended.verdict, 'same', ended.summary);
  assert.ok(ended.replicates.length >= 5);
  assert.deepEqual(ended.replicates.map((r) => r.number), ended.replicates.map((_, i) => i));
  assert.deepEqual(ended.replicates.slice(0, 2), early.replicates.slice(0, 2), 'what was measured stays');
  assert.ok(ended.ratio.low > 1 / 1.5 && ended.ratio.high < 1.5);
  assert.ok(ended.p90_ratio.low <= ended.p90_ratio.value);
  assert.equal(ended.unstable_replicates, ended.replicates.filter((r) => !r.conditions.stable).length);
});

/** kill -9 of a worker of the service's agent, if one runs now. */
function killWorker() {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
      if (name === 'pare-worker' && isDescendant(Number(pid), service.child.pid)) process.kill(Number(pid), 'SIGKILL');
    } catch { /* it has ended */ }
  }
}

function isDescendant(pid, ancestor) {
  for (let at = pid; at > 1;) {
    if (at === ancestor) return true;
    at = Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${at}/status`, 'utf8'))[1]);
  }
  return false;
}

test('pare compare --measure: 1 for a slower model, 0 for a faster one', { skip }, async () => {
  const worse = await service.pare(['compare', model, slower, '--measure', '--margin', '2%', '--dataset', dataset]);
  assert.equal(worse.code, 1, worse.stdout + worse.stderr);
  assert.match(worse.stdout, /^slower: slower takes \d+\.\d+ times as long as resnet/);
  const better = await service.pare(['compare', slower, model, '--measure', '--dataset', dataset, '--output', 'json']);
  assert.equal(better.code, 0, better.stdout + better.stderr);
  assert.equal(JSON.parse(better.stdout).verdict, 'faster');
});

test('language models are compared by generating', { skip }, async (t) => {
  if (!askWorker('--probe').runtimes.llama) return t.skip('built without libllama');
  const gguf = { family: 'gguf', main: path.basename(languageModel), files: [local(languageModel)] };
  const job = { kind: 'compare', model: gguf, reference: gguf, dataset: null, runtime, reference_runtime: runtime, seed: 3, measure_s: 0.1 };
  const { type, result, error } = await work(job);
  assert.equal(type, 'result', JSON.stringify(error));
  assert.ok(result.pairs >= 5 && result.model.p50_us > 0 && result.reference.p50_us > 0);
  assert.match(result.runtime_version, /llama/);
  assert.match((await work({ ...job, reference: onnx(resnet) })).error.text, /not one of each/);
  assert.match((await work({ ...job, runtime: { threads: 1, batch: 2 }, reference_runtime: { threads: 1, batch: 2 } })).error.text, /batch 1/);
  const posted = await ask('POST', '/v1/models', { name: 'llm', files: [{ path: 'm.gguf', sha256: await upload(readFileSync(languageModel)) }] });
  const text = await ask('POST', '/v1/datasets', { name: 'text', format: 'text',
    files: [{ path: 'text', role: 'text', sha256: await upload(readFileSync(writeText(folder, 'small.txt', 4000))) }] });
  const llm = posted.body.id;
  const begun = await ask('POST', '/v1/compare', { configurations: [llm, llm], measure: { margin: 0.5, time_limit_s: 1 }, dataset: text.body.id });
  assert.equal(begun.status, 202, begun.text);
  const ended = await until(begun.body.id, (c) => c.state !== 'running');
  assert.equal(ended.state, 'done', JSON.stringify(ended.error));
  assert.ok(ended.replicates.length >= 1 && ended.replicates.every((r) => r.model_p50_us > 0 && r.n >= 5), 'a busy machine may leave it undecided');
  const mixed = await ask('POST', '/v1/compare', { configurations: [model, llm], measure: {}, dataset });
  assert.equal(mixed.status, 422, mixed.text);
  assert.match(mixed.body.detail, /two of one kind/);
});

test('3: out of time', { skip }, async () => {
  const { code, stdout, stderr } = await service.pare(['compare', model, model, '--measure', '--margin', '0.1%', '--time-limit', '1', '--dataset', dataset]);
  assert.equal(code, 3, stdout + stderr);
  assert.match(stdout, /undecided after \d+ s/);
});

test('questions that make no sense are refused with the reason', { skip }, async () => {
  const cases = [[{ configurations: [model, 'mdl_none'] }, 404, /neither a configuration nor a model/], [{ configurations: [model] }, 400, /two ids/],
    [{ configurations: [model, model], measure: { margin: 0 } }, 400, /margin/], [{ configurations: [model, model], confidence: 0.9999 }, 400, /0\.999/],
    [{ configurations: [model, slower], dataset: undefined }, 400, /dataset/], [{ configurations: [model, model], measure: { speed: 1 } }, 400, /speed/]];
  for (const [change, status, pattern] of cases) {
    const answer = await ask('POST', '/v1/compare', { measure: {}, dataset, ...change });
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.body.detail, pattern);
  }
  assert.equal((await ask('GET', '/v1/comparisons/cmp_none')).status, 404);
  assert.equal((await service.pare(['compare', model, model, '--measure', '--margin', 'wide'])).code, 2);
});

test('a comparison that fails says why, and one that is cancelled ends', { skip }, async () => {
  const text = await ask('POST', '/v1/datasets', { name: 'broken', format: 'npz', files: [{ path: 'x.npz', role: 'arrays', sha256: await upload(Buffer.from('no zip at all')) }] });
  const begun = await ask('POST', '/v1/compare', { configurations: [model, model], measure: {}, dataset: text.body.id });
  const failed = await until(begun.body.id, (c) => c.state !== 'running');
  assert.equal(failed.state, 'failed');
  assert.ok(failed.error.text.length > 10);
  const other = await ask('POST', '/v1/compare', { configurations: [model, model], measure: { margin: 0.001 }, dataset });
  assert.equal((await ask('DELETE', `/v1/comparisons/${other.body.id}`)).body.state, 'cancelled');
  assert.equal((await ask('DELETE', `/v1/comparisons/${other.body.id}`)).status, 409);
});
