// A small language model (GGUF): levels, perplexity against the original, floors on it.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { languageModel, languageText, writeText } from '../support/samples.mjs';
import { Service, temporaryFolder } from '../support/service.mjs';

let service, study, answer, skip = false;

before(async () => {
  const folder = temporaryFolder('llm');
  service = await Service.start({ folder });
  const text = writeText(folder, 'some.txt', 96 * 1024);
  const run = await service.pare(['submit', languageModel, '--data', text, '--calibration', languageText, '--floor', 'ppl_ratio<=1.5', '--threads', '1',
    '--recipe', 'original', '--recipe', 'Q8_0', '--recipe', 'Q4_K_M', '--recipe', 'IQ2_XS:output=Q8_0,embed=Q8_0', '--evaluate', 'all', '--output', 'json']);
  if (/has no libllama/.test(run.stderr)) {
    skip = 'this build has no libllama';
    return;
  }
  assert.equal(run.code, 0, run.stderr);
  answer = JSON.parse(run.stdout);
  study = answer.study;
});
after(() => service?.stop());

const byRecipe = (recipe) => [answer.choice, answer.baseline, ...answer.runners_up, ...answer.undecided, ...answer.rejected.items].find((c) => c?.recipe === recipe);

test('every level has its perplexity, and less precise weights do not have a lower one', (t) => {
  if (skip) return t.skip(skip);
  const [original, q8, q4] = ['original', 'Q8_0', 'Q4_K_M'].map(byRecipe);
  for (const c of [original, q8, q4]) {
    assert.equal(c.accuracy.metric, 'ppl');
    assert.ok(c.accuracy.value > 5 && c.accuracy.value < 40, `${c.recipe}: ${c.accuracy.value}`);
    assert.ok(c.throughput_per_s > 0 && c.memory_mib > 0);
  }
  assert.ok(Math.abs(q8.accuracy.value / original.accuracy.value - 1) < 0.01, 'Q8_0 is nearly the original');
  assert.ok(q4.accuracy.value > q8.accuracy.value * 1.01, 'Q4_K_M without an importance matrix loses more');
  assert.ok(q4.size_bytes < q8.size_bytes && q8.size_bytes < original.size_bytes);
});

test('a level that needs an importance matrix takes it from the calibration text, and keeps the types asked for', (t) => {
  if (skip) return t.skip(skip);
  const [iq2, q4] = ['IQ2_XS:embed=Q8_0,output=Q8_0', 'Q4_K_M'].map(byRecipe);
  assert.ok(iq2.size_bytes < q4.size_bytes && iq2.accuracy.value > q4.accuracy.value, JSON.stringify(iq2));
});

test('a wide floor is met by a paired bootstrap, a narrow one leaves Q4_K_M out', async (t) => {
  if (skip) return t.skip(skip);
  assert.equal(answer.status, 'ok');
  if (answer.choice.recipe !== 'original') assert.match(answer.choice.accuracy.test, /bootstrap/);
  const { stdout } = await service.pare(['recommend', study, '--floor', 'ppl_ratio<=1.001', '--output', 'json']);
  const narrow = JSON.parse(stdout);
  assert.notEqual(narrow.choice?.recipe, 'Q4_K_M');
  const q4 = narrow.rejected.items.find((c) => c.recipe === 'Q4_K_M') ?? narrow.undecided.find((c) => c.recipe === 'Q4_K_M');
  assert.match(q4.reason, /ppl_ratio/);
});

test('KL divergence from the original is measured beside it', async (t) => {
  if (skip) return t.skip(skip);
  const q4 = byRecipe('Q4_K_M');
  const { body } = await service.get(`/v1/evaluations/${q4.evidence[0]}`);
  assert.ok(body.metrics.kld > 0 && body.metrics.kld < 1, JSON.stringify(body.metrics));
});

test('the chosen level is exported as a GGUF file', async (t) => {
  if (skip) return t.skip(skip);
  const file = path.join(service.folder, 'smaller.gguf');
  const { code, stderr } = await service.pare(['export', byRecipe('Q4_K_M').variant, '--file', file]);
  assert.equal(code, 0, stderr);
  assert.equal(statSync(file).size, byRecipe('Q4_K_M').size_bytes);
  const size = await service.pare(['size', file]);
  assert.equal(size.code, 0, size.stderr);
  assert.match(size.stderr, /GGUF version 3, llama/);
});

test('the table shows the metric and its floor', async (t) => {
  if (skip) return t.skip(skip);
  const { stdout } = await service.pare(['recommend', answer.id]);
  assert.match(stdout, / ppl /);
  assert.match(stdout, /Floor ppl_ratio<=1\.5: met/);
});
