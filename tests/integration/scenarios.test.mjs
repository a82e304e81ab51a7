// A study judged by the rate that a machine sustains under random arrivals, from the command line to the stored answer.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { check, request } from '../support/openapi.mjs';
import { hasFashion, resnet, writeFashion } from '../support/samples.mjs';
import { Service, temporaryFolder } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";
const folder = temporaryFolder('scenarios');
let service;
let answer;

before(async () => {
  if (skip) return;
  service = await Service.start({ folder });
  writeFashion(folder, 'some-images', 't10k', 0, 300);
  writeFashion(folder, 'other-images', 'train', 0, 200);
});
after(() => service?.stop());

const ask = async (method, where, body) => {
  const got = await request(service.url + where, method, body);
  check(method, where, got);
  return got.body;
};

test('cost is that of the highest rate within the budget', { skip, timeout: 300_000 }, async () => {
  const { code, stdout, stderr } = await service.pare(['submit', resnet, '--data', path.join(folder, 'some-images.json'), '--calibration',
    path.join(folder, 'other-images.json'), '--preset', 'quick', '--recipe', 'int8:static', '--threads', '1', '--floor', 'relative>=0.9', '--budget', 'p90<=500ms',
    '--scenario', 'server', '--scenario', 'multi-stream', '--output', 'json']);
  assert.ok([0, 3].includes(code), stderr);
  answer = JSON.parse(stdout);
  assert.equal(answer.judged_in, 'server');
  const c = answer.choice ?? answer.undecided[0];
  assert.deepEqual(Object.keys(c.scenarios).sort(), ['multi-stream', 'offline', 'server', 'single-stream']);
  assert.equal(c.throughput_per_s, c.scenarios.server.throughput_per_s);
  assert.ok(c.throughput_per_s <= c.scenarios.offline.throughput_per_s * 1.0001);
  assert.ok(Math.abs(c.machine_hours_per_million.value / (1e6 / 3600 / c.throughput_per_s) - 1) < 1e-6);
});

test('what was measured is as the document says', { skip }, async () => {
  const c = answer.choice ?? answer.undecided[0];
  const profile = await ask('GET', `/v1/profiles/${c.evidence.find((id) => id.startsWith('prof_'))}`);
  assert.deepEqual(profile.scenarios.server.limits, [{ quantile: 0.9, limit_us: 500000 }]);
  assert.deepEqual(profile.skipped, []);
  assert.equal((await ask('GET', `/v1/recommendations/${answer.id}`)).judged_in, 'server');
  const study = await ask('GET', `/v1/studies/${answer.study}`);
  assert.ok(Array.isArray(study.skipped_settings));
  assert.deepEqual(study.scenarios, ['single-stream', 'multi-stream', 'server', 'offline']);
});

test('the same figures are judged offline when asked, and under another budget with a note', { skip }, async () => {
  const offline = await ask('POST', '/v1/recommendations', { study: answer.study, scenario: 'offline' });
  assert.equal(offline.judged_in, 'offline');
  const c = offline.choice ?? offline.undecided[0];
  assert.equal(c.throughput_per_s, c.scenarios.offline.throughput_per_s);
  const other = await ask('POST', '/v1/recommendations', { study: answer.study, budgets: ['p90<=400ms'] });
  assert.equal(other.judged_in, 'offline');
  assert.match(other.note, /server p90<=400ms/);
  const { stdout } = await service.pare(['recommend', answer.study, '--budget', 'p90<=400ms']);
  assert.match(stdout, /^Note: judged in the scenario offline: nothing was measured as "server p90<=400ms"\.$/m);
  const table = await service.pare(['recommend', answer.study]);
  assert.match(table.stdout, /latency at the rate shown, the highest of random arrivals/);
});

test('a gate is judged in the scenario of its policy', { skip, timeout: 300_000 }, async () => {
  const { writeFileSync } = await import('node:fs');
  const file = path.join(folder, 'pare.json');
  writeFileSync(file, JSON.stringify({ name: 'rate', model: resnet, data: 'some-images.json', calibration: 'other-images.json', threads: 1, preset: 'quick',
    recipes: ['int8:static'], floors: ['relative>=0.9'], budgets: ['p90<=500ms', 'throughput>=1/s'], scenarios: ['multi-stream', 'server'] }));
  const { code, stdout, stderr } = await service.pare(['gate', '--policy', file]);
  assert.ok([0, 3].includes(code), stdout + stderr);
  assert.match(stdout, /^throughput>=1\/s +met/m);
});

test('an unknown scenario is a usage error of the service, with the nearest name', { skip }, async () => {
  const { code, stderr } = await service.pare(['submit', resnet, '--data', path.join(folder, 'some-images.json'), '--scenario', 'servr']);
  assert.equal(code, 2, stderr);
  assert.match(stderr, /did you mean "server"/);
});
