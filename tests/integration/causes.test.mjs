// Why a configuration is as fast as it is: real models, compressed and profiled by the real worker, explained by the real service.
// The test is the agent, so that a profile takes half a second and the machine may lack an instruction set. Causes are those that
// the shares of the operators show; what only times would show (threads, batches, instances) is tested with figures.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { check, request } from '../support/openapi.mjs';
import { firstRows, hasFashion, resnet, writeFashion, writeText } from '../support/samples.mjs';
import { root, Service } from '../support/service.mjs';
import { askWorker, WorkerTarget } from '../support/worker_target.mjs';

const shared = path.resolve(root, process.env.PARE_MODELS ?? '../shared');
const needsFashion = hasFashion ? false : 'the package dataset-fashion-mnist is not installed';
const needsShared = existsSync(shared) ? needsFashion : `there is no ${shared} (PARE_MODELS)`;
const fingerprint = JSON.parse(readFileSync(new URL('../data/http/fingerprint.json', import.meta.url)));

let service, target, old;
let order, notes; // of the last study

const quick = (spec) => {
  if (spec.kind === 'profile') Object.assign(spec, { time_limit_s: 0.5, min_samples: 20, ...(spec.generate ? { generate: 16 } : {}) });
};

before(async () => {
  service = await Service.start({ args: ['--no-agent'] });
  const roofline = askWorker('--calibrate');
  target = new WorkerTarget(service, { fingerprint: { ...fingerprint, roofline }, change: quick });
  const cpu = { ...fingerprint.cpu, isa: ['avx', 'avx2', 'fma'] }; // a machine of before VNNI
  old = new WorkerTarget(service, { fingerprint: { ...fingerprint, cpu, roofline }, change: quick, name: 'old' });
  await target.register();
  await old.register();
});
after(() => service.stop());

async function registered(what, body) {
  const answer = await service.post(`/v1/${what}`, body);
  assert.ok([200, 201].includes(answer.status), answer.text);
  return answer.body.id;
}

/** What the service answers, which must be as the document says. */
async function ask(where) {
  const answer = await request(service.url + where);
  check('GET', where, answer);
  return answer;
}

async function images() {
  const d = JSON.parse(readFileSync(writeFashion(target.folder, 'images', 't10k', 0, 120)));
  const files = [{ ...(await target.upload(path.join(target.folder, d.images))), role: 'images' },
    { ...(await target.upload(path.join(target.folder, d.labels))), role: 'labels' }];
  return registered('datasets', { name: 'images', format: 'idx', input: 'image', preprocess: d.preprocess, files });
}

async function arrays(name) {
  const file = firstRows(path.join(shared, 'data', `${name}.eval.npz`), path.join(target.folder, `${name}.npz`), 48);
  return registered('datasets', { name, format: 'npz', labels: 'labels', files: [{ ...(await target.upload(file)), role: 'arrays' }] });
}

/** Every configuration of a study of `recipes` on `machine`, as its answer shows it. */
async function configurations(model, dataset, recipes, machine = target, floor = 'relative>=0.01') {
  const id = await registered('models', { name: path.basename(model), files: [await target.upload(model)] });
  const body = { model: id, dataset: await dataset(), recipes, floors: [floor], targets: [machine.target], threads: 1 };
  const study = await machine.work(await registered('studies', body));
  assert.equal(study.state, 'done', JSON.stringify(study.error));
  assert.deepEqual(machine.failures, []);
  const answer = await ask(`/v1/recommendations/${study.recommendation}`);
  order = study.recipes;
  notes = study.notes;
  const { choice, baseline, runners_up, undecided, rejected } = answer.body;
  return [choice, baseline, ...runners_up, ...undecided, ...rejected.items].filter((c) => c?.id);
}

/** The text of the cause in one of the recipe's configurations. */
function cause(all, recipe, code) {
  const mine = all.filter((c) => c.recipe.split(',')[0] === recipe);
  assert.ok(mine.length > 0, `${recipe} was measured`);
  const found = mine.flatMap((c) => c.causes).find((c) => c.code === code);
  assert.ok(found, `${recipe}: ${code} is not among ${JSON.stringify(mine.map((c) => c.causes.map((k) => k.code)))}`);
  return found.text;
}

test('a ResNet: what its levels do to its convolutions', { skip: needsFashion }, async () => {
  const all = await configurations(resnet, images, ['fp32', 'fp16', 'int8:dynamic', 'int8:static', 'int4', 'prune:magnitude']);
  assert.match(cause(all, 'fp32', 'rate'), /% of the time is Conv/);
  assert.match(cause(all, 'fp16', 'no_fp16_kernels'), /in fp32 all the same: Conv/);
  assert.match(cause(all, 'int8:dynamic', 'conv_integer'), /fell back to ConvInteger/);
  assert.match(cause(all, 'int8:static', 'int8_kernels'), /QLinearConv.*in int8 at \d+ of this machine's best \d+ GOP\/s/);
  assert.match(cause(all, 'int4', 'products_left'), /is Conv, which int4 leaves in fp32/);
  assert.match(cause(all, 'prune:magnitude', 'zeros_computed'), /(81 M|1[0-9]{2} M|3[0-9]{2} M|64[0-9] M|[1-9][0-9.]* G) multiplications a run, as with fp32/);
  const slow = all.find((c) => c.recipe === 'int8:dynamic' && c.runtime.batch === 1 && c.speedup);
  assert.match(slow.explanation, /^int8:dynamic is [\d.]+x as fast as fp32, not the [\d.]+x of int8 products here: convolutions fell back/);
  const profile = await ask(`/v1/profiles/${slow.evidence.find((id) => id.startsWith('prof_'))}`);
  assert.deepEqual(profile.body.causes, slow.causes);
  assert.equal(profile.body.explanation, slow.explanation);
  assert.deepEqual(order, ['fp32', 'int8:dynamic', 'int8:static,act=u8', 'int4', 'fp16', 'prune:magnitude'], 'what cannot be faster comes last');
  assert.ok(notes.some((note) => /^fp16: smaller at most, and so measured last: ONNX Runtime has no fp16 kernels/.test(note)), notes.join('\n'));
  assert.equal(all.find((c) => c.recipe === 'fp16').hardware.gain, 'none');
  assert.equal(all.find((c) => c.recipe.startsWith('int8:static')).hardware.gain, 'speed');
  const shown = await service.pare(['show', profile.body.id]);
  assert.match(shown.stdout, /explanation +int8:dynamic is/);
});

test('a CPU without VNNI says so', { skip: needsFashion }, async () => {
  const all = await configurations(resnet, images, ['fp32', 'int8:static,act=u8'], old);
  assert.match(cause(all, 'int8:static', 'no_int8_instructions'), /VNNI, AMX, SDOT/);
});

test('a tiny network: operators too small, ranges looked for at every run', { skip: needsShared }, async () => {
  const all = await configurations(path.join(shared, 'models/fmnist-resnet-thin.onnx'), images, ['fp32', 'int8:dynamic']);
  assert.match(cause(all, 'int8:dynamic', 'tiny_operators'), /\d+ operators take [\d.]+ us each/);
  assert.match(cause(all, 'int8:dynamic', 'dynamic_ranges'), /is DynamicQuantizeLinear/);
});

test('an encoder: what stays fp32, a table that costs no time', { skip: needsShared }, async () => {
  const all = await configurations(path.join(shared, 'models/sst2-bert.onnx'), () => arrays('sst2-bert'), ['fp32', 'int8:static']);
  assert.match(cause(all, 'int8:static', 'stays_fp32'), /% of the time is .*(Add|Erf|LayerNormalization).*, which stay fp32/);
  assert.match(cause(all, 'int8:static', 'table_not_time'), /39 % of the weights of fp32 are a table/);
});

test('a language model as ONNX: conversions left over, weights unpacked that fit the cache anyway', { skip: needsShared }, async () => {
  const all = await configurations(path.join(shared, 'models/docs-lm.onnx'), () => arrays('docs-lm'), ['fp32', 'int8:static', 'int4']);
  assert.match(cause(all, 'int8:static', 'qdq_left'), /QuantizeLinear and DequantizeLinear, 17 of them/);
  assert.match(cause(all, 'int4', 'unpacked_weights'), /MatMulNBits takes .* it unpacks the weights at every run/);
  assert.match(cause(all, 'int4', 'fits_cache'), /already fit the last cache \(32 MiB\)/);
});

test('generation reads all weights for every token', { skip: needsShared }, async (t) => {
  if (!askWorker('--probe').runtimes.llama) return t.skip('built without libllama');
  const text = async () => registered('datasets', { name: 'text', format: 'text',
    files: [{ ...(await target.upload(writeText(target.folder, 'small.txt', 12000))), role: 'text' }] });
  const all = await configurations(path.join(shared, 'models/docs-llama-27m.f16.gguf'), text, ['original'], target, 'ppl<=100000');
  if (all.every((c) => c.unstable)) return t.skip('other work took the memory\'s bandwidth'); // seen on busy machines only
  assert.match(cause(all, 'original', 'memory_bound'), /every token reads the weights \(52 MiB\)/);
});

test('levels say which of them can be faster here, and those that cannot come last', async () => {
  const { body } = await ask('/v1/recipes?family=onnx');
  const helps = body.levels.map((level) => level.helps);
  assert.equal(body.levels[0].recipe, 'fp32');
  assert.equal(helps.indexOf(false), helps.lastIndexOf(true) + 1);
  const fp16 = body.levels.find((level) => level.recipe === 'fp16');
  assert.equal(fp16.helps, false);
  assert.match(fp16.hardware.why, /no fp16 kernels/);
  assert.ok(fp16.hardware.source.length > 10);
  assert.deepEqual(new Set(body.levels.map((level) => level.recipe)), new Set(Object.values(body.presets).flat()));
  const table = (await service.pare(['recipes'])).stdout;
  assert.match(table, /^int8:static +quick +yes +VNNI/m);
  assert.match(table, /^fp16 +\w+ +no +ONNX Runtime has no fp16 kernels/m);
  const unknown = await request(`${service.url}/v1/recipes?model=mdl_none`);
  assert.equal(unknown.status, 404);
});
