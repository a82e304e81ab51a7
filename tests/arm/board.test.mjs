// A study measured on this machine and on an emulated ARM64 board that cannot reach the service. The board's counters of
// instructions and cycles are real and its own clock is the count of instructions, so figures can be compared to the digit.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { request } from '../support/openapi.mjs';
import { takeApart } from '../support/results_file.mjs';
import { fashionImages, hasFashion, resnet } from '../support/samples.mjs';
import { root, Service, temporaryFolder } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";
const run = promisify(execFile);
const KIT = join(root, 'build/arm64/kit');
const COUNTED = 5;
const folder = temporaryFolder('board');

/** What a shell command prints on a freshly booted board that sees `folder` as /job. */
async function boot(folder, command) {
  const { stdout } = await run('bash', [join(root, 'scripts/arm-board.sh'), folder, command], { maxBuffer: 1 << 28 });
  return stdout.replace(/\r/g, '');
}

/** The results of the unpacked bundle, run on a freshly booted board. */
async function runBundle() {
  const said = await boot(join(folder, 'pare-bundle'), 'mv /job /tmp/b && /tmp/b/run.sh --name board && echo == && base64 /tmp/b/results.pare');
  assert.match(said, /fp32, all cores: measured/);
  return Buffer.from(said.slice(said.indexOf('==\n') + 3), 'base64');
}

const idx = (dimensions, bytes) => {
  const head = Buffer.alloc(4 + 4 * dimensions.length);
  head.writeUInt32BE(0x0800 + dimensions.length, 0);
  dimensions.forEach((d, i) => head.writeUInt32BE(d, 4 + 4 * i));
  return Buffer.concat([head, bytes]);
};
const sixDigits = (value) => Number(value).toPrecision(6);

describe('an emulated ARM64 board', { skip }, () => {
  const { images, labels } = fashionImages('t10k', 0, 300);
  let service, study, imported, fp32;

  async function ask(method, path, body) {
    const answer = await request(service.url + path, method, body);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.text}`);
    return answer.body;
  }

  async function upload(data) {
    const sha256 = createHash('sha256').update(data).digest('hex');
    await ask('PUT', `/v1/blobs/${sha256}`, data);
    return sha256;
  }

  before(async () => {
    assert.ok(existsSync(join(KIT, 'bin/pare-runner')), 'scripts/build-arm64.sh comes first');
    service = await Service.start();
    const model = await ask('POST', '/v1/models', { name: 'resnet', files: [{ path: 'model.onnx', sha256: await upload(readFileSync(resnet)) }] });
    const dataset = await ask('POST', '/v1/datasets', {
      name: 'images', format: 'idx', input: 'image',
      files: [{ path: 'images', role: 'images', sha256: await upload(idx([300, 28, 28], images)) },
        { path: 'labels', role: 'labels', sha256: await upload(idx([300], labels)) }],
      preprocess: { image: { scale: 1 / 255, mean: [0.286], std: [0.353], layout: 'nchw' } },
    });
    study = (await ask('POST', '/v1/studies', { model: model.id, dataset: dataset.id, recipes: ['int8:static'], floors: ['relative>=0.9'] })).id;
    for (;;) {
      const { state, error } = await ask('GET', `/v1/studies/${study}`);
      assert.notEqual(state, 'failed', JSON.stringify(error));
      if (state === 'done') break;
      await new Promise((resolve) => { setTimeout(resolve, 200); });
    }
  });
  after(async () => service?.stop());

  test('runs a bundle, and its results are taken back', async () => {
    const made = await service.pare(['bundle', study, '--arch', 'arm64', '--kit', KIT, '--file', join(folder, 'b.tar'), '--min-samples', '8',
      '--time-limit', '1', '--batch', '1', '--counted-runs', String(COUNTED), '--no-roofline']);
    assert.equal(made.code, 0, made.stderr);
    await run('tar', ['-xf', 'b.tar'], { cwd: folder });
    writeFileSync(join(folder, 'results.pare'), await runBundle());
    const took = await service.pare(['import', join(folder, 'results.pare'), '--output', 'json']);
    assert.equal(took.code, 0, took.stderr);
    imported = JSON.parse(took.stdout);
    assert.deepEqual(imported.failed, []);
    assert.equal(imported.recorded.length, 2, 'one core: a bundle has no second layout there');
  });

  test('counts what a known loop must take, and says which counters never count', async () => {
    const target = (await ask('GET', '/v1/targets')).items.find((t) => t.name === 'board');
    const { pmu, arch } = target.fingerprint;
    assert.equal(arch, 'aarch64');
    assert.ok(pmu.available);
    assert.deepEqual(pmu.events, ['instructions', 'cycles']);
    const excess = pmu.known_loop.instructions - 20_000_000;
    assert.ok(excess >= 0 && excess < 2000, `a loop of 20,000,000 instructions was counted as ${pmu.known_loop.instructions}`);
    const reason = /reads 0|has no such event/; // Debian 12's kernel accepts events that the board never counts, Debian 13's refuses them
    assert.match(pmu.unusable.branch_misses, reason);
    assert.match(pmu.unusable.l1d_misses, reason);
    for (const { profile } of imported.recorded) {
      const { counters } = await ask('GET', `/v1/profiles/${profile}`);
      assert.deepEqual(Object.keys(counters.per_inference).sort(), ['cycles', 'instructions']);
      assert.ok(!('branch_misses' in counters.per_inference), 'unusable, not zero');
      assert.match(counters.unusable.branch_misses, reason);
    }
    const label = imported.recorded.find((r) => r.label.startsWith('fp32')).profile;
    fp32 = (await ask('GET', `/v1/profiles/${label}`)).counters.per_inference.instructions;
    const int8 = (await ask('GET', `/v1/profiles/${imported.recorded.find((r) => r.label.startsWith('int8')).profile}`)).counters.per_inference.instructions;
    assert.ok(fp32 > 34e6 && fp32 < 36e6, `the ResNet took ${fp32} instructions`);
    assert.ok(int8 > 1e6 && int8 !== fp32);
    console.log(`# fp32: ${fp32} instructions a run; int8:static: ${int8}; loop: 20,000,000 + ${excess}`);
  });

  test('the answer covers this machine and the board', async () => {
    const asked = await service.pare(['recommend', study, '--output', 'json']);
    const answer = JSON.parse(asked.stdout);
    const all = [answer.choice, answer.baseline, ...answer.runners_up, ...answer.rejected.items].filter(Boolean);
    const machines = new Set(all.map((c) => c.machine_type));
    assert.ok(machines.has(imported.machine_type_id), 'the board');
    assert.ok(machines.size >= 2, 'and this machine');
  });

  test('a second boot counts the same instructions, to six digits', async () => {
    const bundle = JSON.parse(readFileSync(join(folder, 'pare-bundle/bundle.json')));
    bundle.jobs = bundle.jobs.filter((job) => job.label.startsWith('fp32'));
    writeFileSync(join(folder, 'pare-bundle/bundle.json'), JSON.stringify(bundle));
    const again = takeApart(await runBundle()).head.jobs[0].result.counters.per_inference.instructions;
    console.log(`# second boot: ${again} instructions a run`);
    assert.equal(sixDigits(again), sixDigits(fp32));
  });
});
