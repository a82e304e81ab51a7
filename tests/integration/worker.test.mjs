// The real pare-worker on real models, one JSON job at a time, as the agent runs it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync, truncateSync, copyFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';

const BIN = process.env.PARE_BIN ?? resolve('build/bin');
const WORKER = join(BIN, 'pare-worker');
const SHARED = resolve(process.env.PARE_MODELS ?? '../shared');
const RESNET = resolve('examples/fashion-mnist/fmnist-resnet.onnx');
const FASHION = '/usr/share/datasets/fashion-mnist';
const SMALL = resolve('tests/data/datasets');
const GGUF = resolve('examples/docs-llm/docs-llama-3m.f16.gguf');
const TEXT = resolve('examples/docs-llm/docs.small.txt');

const file = (local, extra = {}) => ({
  path: basename(local), sha256: '0'.repeat(64), bytes: existsSync(local) ? statSync(local).size : 0, local, ...extra });
const onnx = (local) => ({ family: 'onnx', main: basename(local), files: [file(local)] });
const gguf = (local) => ({ family: 'gguf', main: basename(local), files: [file(local)] });
const images = (split = { take: 'all' }) => ({
  id: 'dat_images', format: 'idx', input: 'image', split,
  files: [file(join(FASHION, 't10k-images-idx3-ubyte.gz'), { role: 'images' }),
    file(join(FASHION, 't10k-labels-idx1-ubyte.gz'), { role: 'labels' })],
  preprocess: { image: { scale: 1 / 255, mean: [0.286], std: [0.353] } } });
const npz = (local, extra = {}) => ({ id: 'dat_npz', format: 'npz', files: [file(local, { role: 'arrays' })], ...extra });
const limits = { threads: 2, memory_bytes: 4 * 2 ** 30, cpu_s: 600, file_bytes: 2 ** 30 };

function start(args, input, folder) {
  return new Promise((done) => {
    const child = spawn(WORKER, args, { cwd: folder });
    let out = '';
    let err = '';
    child.stdout.on('data', (data) => { out += data; });
    child.stderr.on('data', (data) => { err += data; });
    child.stdin.on('error', () => {}); // it may refuse to read
    child.stdin.end(input);
    child.on('close', (code, signal) => done({ code, signal, out, err }));
  });
}

function inFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'pare-worker-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

// Runs a job; every line of standard output must be JSON of the protocol.
async function run(t, job, args = []) {
  const folder = inFolder(t);
  const text = typeof job === 'string' ? job : JSON.stringify({ limits, ...job });
  const { code, signal, out, err } = await start(args, text, folder);
  assert.equal(signal, null, `ended by ${signal}: ${err}`);
  const lines = out.split('\n').filter((line) => line).map((line) => JSON.parse(line));
  const answers = lines.filter((line) => line.type !== 'progress');
  assert.equal(answers.length, 1, `one answer, not: ${out} ${err}`);
  assert.equal(lines.at(-1), answers[0], 'nothing comes after the answer');
  assert.equal(code, answers[0].type === 'result' ? 0 : 1);
  return { folder, lines, answer: answers[0], result: answers[0].result, files: answers[0].files, error: answers[0].error };
}

async function good(t, job) {
  const ran = await run(t, job);
  assert.equal(ran.answer.type, 'result', JSON.stringify(ran.error));
  for (const { path } of ran.files) assert.ok(existsSync(join(ran.folder, path)), `${path} was written`);
  return ran;
}

async function bad(t, job, code, pattern) {
  const ran = await run(t, job);
  assert.equal(ran.answer.type, 'error', JSON.stringify(ran.result));
  assert.equal(ran.error.code, code, ran.error.text);
  assert.match(ran.error.text, pattern);
}

const floats = (path) => {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
};

// Mean over columns of (sum of numerators / sum of denominators), from the file.
function metric(path, rows, columns) {
  const cells = floats(path);
  assert.equal(cells.length, rows * columns * 2);
  let total = 0;
  let counted = 0;
  for (let c = 0; c < columns; c++) {
    let numerator = 0;
    let denominator = 0;
    for (let r = 0; r < rows; r++) {
      numerator += cells[(r * columns + c) * 2];
      denominator += cells[(r * columns + c) * 2 + 1];
    }
    if (denominator > 0) { total += numerator / denominator; counted++; }
  }
  return total / counted;
}

const withImages = { skip: existsSync(FASHION) ? false : 'the package dataset-fashion-mnist is not installed' };
const withShared = { skip: existsSync(SHARED) ? false : 'there is no PARE_MODELS' };

// A counting pass of the same job: counts where the machine counts, and the machine's own reason where not.
async function countsOrSaysWhyNot(t, job, counters) {
  const events = counters.available ? counters.passes[0] : ['instructions'];
  const ran = await run(t, { ...job, count: { events, runs: 3 } });
  if (!counters.available) {
    assert.equal(ran.error.code, 'unsupported');
    assert.equal(ran.error.text, counters.reason);
    return;
  }
  assert.deepEqual(Object.keys(ran.result.counters.per_inference).sort(), [...events].sort());
  assert.equal(ran.result.scenarios, undefined, 'nothing is timed while counting');
}

test('inspect tells inputs, outputs, labels and metrics', withImages, async (t) => {
  const calibration = images({ take: 'calibration', calibration_examples: 500, exclude: null });
  const { result } = await good(t, { kind: 'inspect', model: onnx(RESNET), dataset: images({ take: 'eval', calibration_examples: 500, exclude: null }), calibration });
  assert.deepEqual(result.inputs, [{ name: 'image', dtype: 'float32', shape: [null, 1, 28, 28] }]);
  assert.deepEqual(result.outputs, [{ name: 'logits', dtype: 'float32', shape: [null, 10] }]);
  assert.equal(result.examples + result.calibration_examples + result.overlap_dropped, 10000);
  assert.equal(result.calibration_examples, 500);
  assert.equal(result.labels, 'example');
  assert.equal(result.classes, 10);
  assert.deepEqual(result.metrics, ['top1', 'f1']);
  assert.match(result.runtime, /^onnxruntime 1\./);
  assert.equal(result.sandbox.seccomp, true);
  assert.equal(result.sandbox.limits, true);
});

test('evaluate gives ResNet 94.78 % on Fashion-MNIST, and score files that say the same', withImages, async (t) => {
  const { result, folder, files, lines } = await good(t, { kind: 'evaluate', model: onnx(RESNET), dataset: images() });
  assert.equal(result.primary, 'top1');
  assert.equal(result.metrics.top1, 0.9478);
  assert.equal(result.examples, 10000);
  assert.equal(result.positions, 10000);
  assert.deepEqual(files.map((f) => f.path), ['scores-top1.bin', 'scores-f1.bin']);
  for (const { metric: name, path, rows, columns } of result.scores) {
    assert.ok(Math.abs(metric(join(folder, path), rows, columns) - result.metrics[name]) < 1e-6, name);
  }
  assert.ok(lines.some((line) => line.type === 'progress' && line.fraction > 0));
});

test('evaluate with itself as the reference: full agreement, no divergence', withImages, async (t) => {
  const dataset = images({ take: 'calibration', calibration_examples: 300, exclude: null });
  const { result } = await good(t, { kind: 'evaluate', model: onnx(RESNET), dataset, reference: onnx(RESNET) });
  assert.equal(result.examples, 300);
  assert.equal(result.metrics.agreement, 1);
  assert.ok(result.metrics.kld >= 0 && result.metrics.kld < 1e-9);
});

test('evaluate the same twice, on one thread and on two: the same scores', withImages, async (t) => {
  const dataset = images({ take: 'calibration', calibration_examples: 300, exclude: null });
  const hashes = [];
  for (const threads of [1, 2]) {
    const { folder } = await good(t, { kind: 'evaluate', model: onnx(RESNET), dataset, limits: { ...limits, threads } });
    hashes.push(createHash('sha256').update(readFileSync(join(folder, 'scores-top1.bin'))).digest('hex'));
  }
  assert.equal(hashes[0], hashes[1]);
});

test('labels a position are scored a position', withShared, async (t) => {
  const { result } = await good(t, { kind: 'evaluate', model: onnx(join(SHARED, 'models/docs-lm.onnx')),
    dataset: npz(join(SHARED, 'data/docs-lm.eval.npz'), { split: { take: 'calibration', calibration_examples: 40, exclude: null } }) });
  assert.equal(result.examples, 40);
  assert.ok(result.positions > 40 * 100 && result.positions <= 40 * 128);
  assert.ok(result.metrics.top1 > 0.3 && result.metrics.top1 < 0.5);
  assert.equal(result.metrics.f1, undefined); // 4,096 columns would say nothing
});

for (const [instances, threads] of [[1, 1], [1, 2], [2, 1]]) {
  test(`profile ${instances} x ${threads}: scenarios, memory, load time, reasons`, withImages, async (t) => {
    const job = { kind: 'profile', model: onnx(RESNET), dataset: images(), runtime: { instances, threads, batch: 1 }, time_limit_s: 3, min_samples: 100 };
    const ran = await run(t, job);
    if (ran.error && /need .* cores/.test(ran.error.text)) return t.skip(ran.error.text);
    const { result, folder } = ran;
    assert.equal(ran.answer.type, 'result', JSON.stringify(ran.error));
    for (const name of ['single-stream', 'offline']) {
      const s = result.scenarios[name];
      const samples = floats(join(folder, s.samples));
      assert.equal(samples.length, s.n);
      assert.ok(s.n >= 1 && s.throughput_per_s > 0);
      const sorted = [...samples].sort((a, b) => a - b);
      if (s.latency_us.p50) assert.ok(Math.abs(s.latency_us.p50 - sorted[Math.ceil(s.n / 2) - 1]) < 0.01);
      assert.equal('p99' in s.latency_us, s.n >= 473);
      assert.equal(s.unsupported.some((text) => text.startsWith('p99 ')), s.n < 473);
    }
    assert.ok(result.memory_mib > 2, 'at least the weights');
    assert.ok(result.memory_mib < 500);
    assert.ok(result.load_ms > 0);
    assert.equal(result.size_bytes, statSync(RESNET).size);
    assert.equal(typeof result.counters.available, 'boolean');
    if (result.counters.available) assert.ok(result.counters.passes.length > 0);
    else assert.ok(result.counters.reason.length > 10);
    await countsOrSaysWhyNot(t, job, result.counters);
    assert.ok(result.conditions.warmup_runs > 0);
    const { conditions, energy } = result;
    assert.equal(conditions.stable, conditions.unstable.length === 0);
    for (const name of ['wall_ms', 'steal_ms', 'preemptions', 'waits', 'minor_faults', 'major_faults']) assert.ok(conditions[name] >= 0, name);
    assert.ok(conditions.wall_ms > 0 && conditions.minor_faults > 0);
    assert.ok(conditions.cpu_mhz ? conditions.cpu_mhz.before > 0 : /clock/.test(conditions.cpu_mhz_absent));
    if (energy.available) assert.ok(energy.joules >= 0 && energy.inferences > 0);
    else assert.match(energy.reason, /powercap|read/);
  });
}

test('profile tells where the time goes, with the work of each operator', withImages, async (t) => {
  const { result, folder } = await good(t, { kind: 'profile', model: onnx(RESNET), dataset: images(), runtime: { instances: 1, threads: 1, batch: 2 }, time_limit_s: 0.2, min_samples: 10 });
  const { operators } = result;
  assert.equal(operators.available, true, operators.reason);
  assert.equal(operators.provenance, 'measured');
  const conv = operators.types.find((k) => k.op === 'Conv');
  assert.equal(conv.dtype, 'float32');
  assert.equal(conv.calls, 15);
  assert.ok(conv.macs > 2 * 80e6 && conv.macs < 2 * 81e6, `80.5 M multiplications an image, not ${conv.macs / 2}`);
  assert.ok(conv.bytes > conv.weight_bytes && conv.weight_bytes > 2.7e6);
  assert.ok(Math.abs(operators.types.reduce((sum, k) => sum + k.share, 0) - 1) < 0.01);
  assert.equal(operators.types.find((k) => k.op === 'Flatten').macs, 0);
  for (const node of operators.top) assert.ok(node.node && node.us >= 0);
  assert.ok(!readdirSync(folder).some((name) => name.startsWith('operators')), 'its own files are gone');
});

// The highest rank that may lie over a percentile for it to be shown is the worker's business; here the file must say what it reports.
for (const [instances, threads, batch] of [[1, 2, 1], [2, 1, 1], [1, 2, 4]]) {
  test(`profile ${instances} x ${threads} b${batch}: server and multi-stream`, withImages, async (t) => {
    const limit_us = 200000; // other work may hold the cores for a while
    const job = { kind: 'profile', model: onnx(RESNET), dataset: images(), runtime: { instances, threads, batch }, time_limit_s: 2, min_samples: 200,
      scenarios: ['server', 'multi-stream'], latency_limits: [{ quantile: 0.9, limit_us }], confidence: 0.95 };
    const ran = await run(t, job);
    if (ran.error && /need .* cores/.test(ran.error.text)) return t.skip(ran.error.text);
    assert.equal(ran.answer.type, 'result', JSON.stringify(ran.error));
    const { result, folder } = ran;
    assert.deepEqual(Object.keys(result.scenarios).sort(), ['multi-stream', 'offline', 'server', 'single-stream']);
    assert.deepEqual(result.skipped, []);
    const { server, offline, 'multi-stream': multi, 'single-stream': single } = result.scenarios;
    const latencies = [...floats(join(folder, server.samples))];
    assert.equal(latencies.length, server.n);
    assert.deepEqual(server.limits, [{ quantile: 0.9, limit_us }]);
    assert.ok(server.probes.length > 0 && server.queries >= server.n);
    assert.ok(server.throughput_per_s > 0 && server.throughput_per_s <= offline.throughput_per_s * 1.0001, 'nothing is served faster than by busy instances');
    assert.ok(server.unmet_per_s >= server.throughput_per_s);
    if (server.met) {
      assert.ok(latencies.filter((us) => us > limit_us).length <= 0.1 * server.n);
      assert.ok(server.probes.some((p) => p.verdict === 'met'));
      if (server.complete) assert.ok(server.unmet_per_s <= server.throughput_per_s * 1.0301);
    }
    assert.equal(multi.samples_per_query, 8);
    assert.equal(floats(join(folder, multi.samples)).length, multi.n);
    const least = (arr) => arr.reduce((a, b) => Math.min(a, b));
    const runs = Math.ceil(8 / batch / instances); // of one instance, one after the other
    assert.ok(least([...floats(join(folder, multi.samples))]) >= 0.9 * runs * least([...floats(join(folder, single.samples))]), 'a query is all its runs');
  });
}

test('profile: what makes no sense is skipped with the reason', withImages, async (t) => {
  const job = { kind: 'profile', model: onnx(RESNET), dataset: images(), runtime: { instances: 1, threads: 1, batch: 16 }, time_limit_s: 1, min_samples: 20,
    scenarios: ['server', 'multi-stream'] };
  const { result } = await good(t, job);
  assert.deepEqual(Object.keys(result.scenarios).sort(), ['offline', 'single-stream']);
  assert.deepEqual(result.skipped.map((s) => s.scenario), ['multi-stream', 'server']);
  assert.match(result.skipped[0].why, /batch/);
  assert.match(result.skipped[1].why, /p99<=5ms/);
  await bad(t, { ...job, scenarios: ['sever'] }, 'input', /did you mean "server"/);
  await bad(t, { ...job, latency_limits: [{ quantile: 2, limit_us: 1 }] }, 'input', /quantile/);
});

test('profile: a limit that nothing keeps is told with the lowest rate that was tried', withImages, async (t) => {
  const job = { kind: 'profile', model: onnx(RESNET), dataset: images(), runtime: { instances: 1, threads: 1, batch: 1 }, time_limit_s: 1, min_samples: 100,
    scenarios: ['server'], latency_limits: [{ quantile: 0.99, limit_us: 1 }] };
  const { server, offline } = (await good(t, job)).result.scenarios;
  assert.equal(server.met, false);
  assert.equal(server.complete, true);
  assert.ok(server.throughput_per_s < 0.25 * offline.throughput_per_s);
  assert.ok(server.probes.every((p) => p.verdict === 'broken'));
});

test('profile refuses more threads than there are cores', withImages, async (t) => {
  await bad(t, { kind: 'profile', model: onnx(RESNET), dataset: images(), runtime: { instances: 200, threads: 1000, batch: 1 } },
    'input', /need 200000 cores/);
});

test('compress with the baseline copies the model', async (t) => {
  const { folder, files, result } = await good(t, { kind: 'compress', model: onnx(RESNET), recipe: 'fp32' });
  assert.deepEqual(readFileSync(join(folder, files[0].path)), readFileSync(RESNET));
  assert.deepEqual(result.changed, []);
});

test('compress with an unknown recipe names the nearest', async (t) => {
  await bad(t, { kind: 'compress', model: onnx(RESNET), recipe: 'int8:statik' }, 'input', /int8:static/);
});

test('a language model: inspect, perplexity of a small text, tokens a second', async (t) => {
  const folder = inFolder(t);
  const short = join(folder, 'short.txt');
  writeFileSync(short, readFileSync(TEXT).subarray(0, 20000));
  const dataset = { id: 'dat_text', format: 'text', files: [file(short, { role: 'text' })], split: { take: 'all' } };
  const seen = await run(t, { kind: 'inspect', model: gguf(GGUF), dataset });
  if (seen.error?.code === 'unsupported') return t.skip(seen.error.text);
  assert.equal(seen.result.architecture, 'llama');
  assert.equal(seen.result.metrics[0], 'ppl');
  const { result } = await good(t, { kind: 'evaluate', model: gguf(GGUF), dataset, context: 128, limits: { ...limits, threads: 1 } });
  assert.equal(result.primary, 'ppl');
  assert.ok(result.metrics.ppl > 5 && result.metrics.ppl < 60);
  const profiled = await good(t, { kind: 'profile', model: gguf(GGUF), dataset, runtime: { instances: 1, threads: 1 }, generate: 16, time_limit_s: 2, min_samples: 16 });
  assert.ok(profiled.result.scenarios['single-stream'].prompt_per_s > 0);
  assert.ok(profiled.result.scenarios['single-stream'].throughput_per_s > 0);
});

// --- what must not work ---

test('garbage on standard input is an error line', async (t) => {
  for (const text of ['', 'garbage', '{"kind": "inspect"}', '[1]', '\u0000', '{'.repeat(10000), JSON.stringify({ kind: 'explode' })]) {
    await bad(t, text, 'input', /job/);
  }
});

test('truncated, empty and mislabelled models are input errors', withImages, async (t) => {
  const folder = inFolder(t);
  const cut = join(folder, 'cut.onnx');
  copyFileSync(RESNET, cut);
  truncateSync(cut, 100000);
  const empty = join(folder, 'empty.onnx');
  writeFileSync(empty, '');
  for (const kind of ['inspect', 'evaluate', 'profile']) {
    for (const local of [cut, empty, TEXT, GGUF]) {
      await bad(t, { kind, model: onnx(local), dataset: images(), runtime: { instances: 1, threads: 1, batch: 1 } }, 'input', /./);
    }
    await bad(t, { kind, model: gguf(RESNET), dataset: images(), runtime: { instances: 1, threads: 1 } }, 'input', /./);
  }
});

test('a dataset that does not fit is refused with what would', async (t) => {
  const job = (name) => ({ kind: 'inspect', model: onnx(RESNET), dataset: npz(join(SMALL, name)) });
  await bad(t, job('unlabelled.npz'), 'input', /"x".*image/);
  await bad(t, job('image.npz'), 'input', /3, 3/);
  await bad(t, job('nan.npz'), 'input', /NaN at example 1/);
});

test('labels beyond the classes are named with their example', withImages, async (t) => {
  const folder = inFolder(t);
  const labels = join(folder, 'labels');
  const bytes = Buffer.alloc(8 + 10000); // an IDX file of 10,000 unsigned bytes
  bytes.writeUInt32BE(0x801, 0);
  bytes.writeUInt32BE(10000, 4);
  bytes[8 + 77] = 10;
  writeFileSync(labels, bytes);
  const dataset = images();
  dataset.files[1] = file(labels, { role: 'labels' });
  for (const kind of ['inspect', 'evaluate']) {
    await bad(t, { kind, model: onnx(RESNET), dataset }, 'input', /labels: 10 at example 77; the model has 10 classes \(0 to 9\)/);
  }
});

test('a job that wants more memory than its limit ends, and says so', withImages, async (t) => {
  const folder = inFolder(t);
  const job = { kind: 'evaluate', model: onnx(RESNET), dataset: images(), limits: { ...limits, memory_bytes: 12 * 2 ** 20 } };
  const { out, signal } = await start([], JSON.stringify(job), folder);
  const last = out.trim().split('\n').at(-1);
  assert.ok(signal !== null || JSON.parse(last).type === 'error', last);
});

test('a worker may not write more than its file limit', withImages, async (t) => {
  const folder = inFolder(t);
  const job = { kind: 'compress', model: onnx(RESNET), recipe: 'fp32', limits: { ...limits, file_bytes: 8192 } };
  const { out, signal } = await start([], JSON.stringify(job), folder);
  assert.ok(signal === 'SIGXFSZ' || JSON.parse(out.trim().split('\n').at(-1)).type === 'error');
  assert.ok(!existsSync(join(folder, 'model.onnx')) || statSync(join(folder, 'model.onnx')).size <= 8192);
});

// --- the sandbox ---

test('from inside the sandbox every way out is blocked', async (t) => {
  const { result, answer } = await run(t, '', ['--self-test-sandbox']);
  assert.equal(answer.type, 'result');
  const open = result.checks.filter((check) => !check.blocked);
  assert.deepEqual(open, []);
  assert.ok(result.checks.length >= 9);
});

test('--probe tells what the machine grants, and the whole sandbox can be required where it is granted', async (t) => {
  const { result } = await run(t, '', ['--probe']);
  assert.equal(result.sandbox.seccomp, true);
  assert.equal(typeof result.sandbox.landlock, 'number');
  assert.match(result.runtimes.onnxruntime, /^1\.\d+/);
  assert.ok(result.pmu.available || result.pmu.reason);
  const required = await start(['--sandbox=require', '--probe'], '', inFolder(t));
  const whole = result.sandbox.landlock > 0 && result.sandbox.namespaces;
  assert.equal(JSON.parse(required.out).type, whole ? 'result' : 'error');
});

test('usage errors have code 2', async (t) => {
  const { code, err } = await start(['--frobnicate'], '', inFolder(t));
  assert.equal(code, 2);
  assert.match(err, /unknown option --frobnicate/);
});

test('a library that starts threads while it is loaded costs no namespaces', async (t) => {
  const blas = ['/usr/lib/x86_64-linux-gnu/libopenblas.so.0', '/usr/lib/aarch64-linux-gnu/libopenblas.so.0'].find(existsSync);
  if (!blas) return t.skip('OpenBLAS is not installed');
  const plain = await run(t, '', ['--probe']);
  process.env.LD_PRELOAD = blas;
  const asan = process.env.ASAN_OPTIONS; // AddressSanitizer wants to be the first library, which is no matter here
  if (asan) process.env.ASAN_OPTIONS = `${asan}:verify_asan_link_order=0`;
  const threaded = await run(t, '', ['--probe']).finally(() => {
    delete process.env.LD_PRELOAD;
    if (asan) process.env.ASAN_OPTIONS = asan;
  });
  assert.equal(threaded.result.sandbox.namespaces, plain.result.sandbox.namespaces);
});
