// `pare gate` in CI: every exit code provoked for real, and the summary it leaves.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { hasFashion, resnet, writeFashion } from '../support/samples.mjs';
import { runPare, Service, temporaryFolder } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";
const hasValgrind = spawnSync('valgrind', ['--version']).status === 0;
const folder = temporaryFolder('gate');
const policy = {
  name: 'images', model: resnet, data: 'some-images.json', calibration: 'other-images.json', threads: 1,
  recipes: ['fp32', 'int8:static'], recipe: 'int8:static', floors: ['relative>=0.9'], budgets: ['p50<=10s', 'size<=1MB'],
};
let service;

/** Writes a policy that differs from the one above and runs the gate on it. */
function gate(change, args = []) {
  const file = path.join(folder, 'pare.json');
  writeFileSync(file, typeof change === 'string' ? change : JSON.stringify({ ...policy, ...change }));
  return service.pare(['gate', '--policy', file, ...args]);
}

before(async () => {
  if (skip) return;
  service = await Service.start({ folder });
  writeFashion(folder, 'some-images', 't10k', 0, 300);
  writeFashion(folder, 'other-images', 'train', 0, 200);
});
after(() => service?.stop());

test('0: everything holds, and a Markdown summary is appended', { skip }, async () => {
  const summary = path.join(folder, 'summary.md');
  writeFileSync(summary, 'what other steps wrote\n');
  const { code, stdout, stderr } = await gate({}, ['--summary', summary]);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^gate images: pass$/m);
  assert.match(stdout, /^relative>=0\.9 +met +.*Tango/m);
  const text = readFileSync(summary, 'utf8');
  assert.match(text, /^what other steps wrote\n/);
  assert.match(text, /images/);
  assert.match(text, /^\|.*\|.*\|/m);
  for (const limit of ['relative>=0.9', 'p50<=10s', 'size<=1MB']) assert.ok(text.includes(limit), `${limit} is not in\n${text}`);
});

test('1: a budget is broken', { skip }, async () => {
  const { code, stdout } = await gate({ budgets: ['size<=1KiB', 'p50<=10s'] });
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^gate images: fail$/m);
  assert.match(stdout, /^size<=1KiB +broken/m);
  assert.match(stdout, /^p50<=10s +met/m);
});

test('1: a floor is broken, whatever else is undecided', { skip }, async () => {
  const { code, stdout } = await gate({ floors: ['top1>=0.999', 'relative>=0.9999'] });
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^top1>=0\.999 +broken/m);
});

test('3: too few examples to tell, and it says how many more', { skip }, async () => {
  const { code, stdout } = await gate({ floors: ['relative>=0.9999'] });
  assert.equal(code, 3, stdout);
  assert.match(stdout, /^gate images: inconclusive$/m);
  assert.match(stdout, /needs about \d+ more/);
});

test('2: a policy that is missing, broken or asks for what there is not', { skip }, async () => {
  const cases = [
    [await service.pare(['gate', '--policy', path.join(folder, 'none.json')]), /none\.json/],
    [await gate('{"name": '), /pare\.json/],
    [await gate({ budget: [] }), /budget.*budgets/s],
    [await gate({ floors: ['top2>=0.9'] }), /did you mean "top1"/],
    [await gate({ floors: [], budgets: [] }), /nothing to check/],
    [await gate({ model: 'none.onnx' }), /none\.onnx/],
    [await gate({ recipes: ['int8:sttic'] }), /did you mean "int8:static"/],
    [await gate({ name: '../x' }), /letters, digits/],
    [await service.pare(['gate', '--polcy', 'x']), /did you mean --policy/],
  ];
  for (const [{ code, stderr }, expected] of cases) {
    assert.match(stderr, expected);
    assert.equal(code, 2, stderr);
  }
});

test('4: no service, so no verdict', { skip }, async () => {
  const file = path.join(folder, 'pare.json');
  writeFileSync(file, JSON.stringify(policy));
  const { code, stderr } = await runPare(['gate', '--policy', file, '--server', 'http://127.0.0.1:9']);
  assert.equal(code, 4, stderr);
  assert.match(stderr, /cannot reach http:\/\/127\.0\.0\.1:9/);
});

// The cost that is the same at every run: by a hardware counter where there is one, by callgrind where it is asked for.
test('instructions: not counted, then by callgrind, met and broken', { skip: skip || (hasValgrind ? false : 'valgrind is not installed') }, async () => {
  const count = (budget, change = {}) => gate({ name: 'instructions', recipes: ['fp32'], recipe: 'fp32', floors: [], budgets: [budget], ...change });
  const without = await count('instructions<=36M');
  if (without.code === 3) assert.match(without.stdout, /were not counted.*callgrind/);
  else assert.equal(without.code, 0, without.stdout + without.stderr);
  const { code, stdout, stderr } = await count('instructions<=36M', { instructions: 'callgrind' });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stderr, /callgrind.*takes minutes.*AVX-512/);
  assert.match(stdout, without.code === 3 ? /^instructions<=36M +met +instructions [\d.]+ M meets .*by callgrind/m : /^instructions<=36M +met/m);
  const broken = await count('instructions<=1M', { instructions: 'callgrind' });
  assert.equal(broken.code, 1, broken.stdout);
  assert.match(broken.stdout, /^instructions<=1M +broken/m);
  const wrong = await count('instructions<=1M', { instructions: 'perf' });
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /only "callgrind"/);
});

test('the history of a gate keeps every verdict, newest first', { skip }, async () => {
  const { body } = await service.get('/v1/gates/images');
  assert.deepEqual(body.runs.map((r) => r.verdict), ['inconclusive', 'fail', 'fail', 'pass']);
  const { code, stdout } = await gate({}, ['--output', 'json']);
  assert.equal(code, 0);
  const run = JSON.parse(stdout);
  assert.equal(run.exit_code, 0);
  assert.equal((await service.get('/v1/gates/images')).body.runs[0].run, run.run);
  assert.ok((await service.get('/v1/gates')).body.items.some((g) => g.name === 'images'));
});

test('no_slower_than: 0 for the model itself, 1 for a slower level, and a second run asks nothing new', { skip }, async () => {
  const same = { name: 'keeps-up', recipe: 'fp32', floors: [], budgets: [], no_slower_than: { model: resnet, margin: 0.5 } };
  const summary = path.join(folder, 'keeps-up.md');
  const first = await gate(same, ['--summary', summary]);
  assert.equal(first.code, 0, first.stdout + first.stderr);
  assert.match(first.stdout, /^slowdown<=50% +met +takes \d\.\d+ times as long as \S+ .* replicates\): (same|faster)/m);
  assert.match(readFileSync(summary, 'utf8'), /\| `slowdown<=50%` \| met \|/);
  assert.match(first.stderr, /^comparison cmp_/m);
  const second = await gate(same);
  assert.equal(second.code, 0, second.stdout);
  assert.doesNotMatch(second.stderr, /^comparison/m, 'what was decided is not measured again');
  const slower = await gate({ ...same, recipes: ['fp32', 'int8:dynamic'], recipe: 'int8:dynamic', no_slower_than: { model: resnet } });
  assert.equal(slower.code, 1, slower.stdout + slower.stderr);
  assert.match(slower.stdout, /^slowdown<=2% +broken +takes .*: slower/m);
});

test('no_slower_than: 3 when time is up, 2 for a margin that makes no sense', { skip }, async () => {
  const policyOf = (no_slower_than) => ({ name: 'keeps-up', recipe: 'fp32', floors: [], budgets: [], no_slower_than });
  const late = await gate(policyOf({ model: resnet, margin: 0.001, time_limit_s: 1 }));
  assert.equal(late.code, 3, late.stdout + late.stderr);
  assert.match(late.stdout, /^slowdown<=0\.1% +undecided/m);
  const odd = await gate(policyOf({ model: resnet, margin: 7 }));
  assert.equal(odd.code, 2, odd.stdout + odd.stderr);
  assert.match(odd.stderr, /margin/);
});
