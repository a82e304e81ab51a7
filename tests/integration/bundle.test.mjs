// A bundle for a machine that cannot reach the service: packed, run from the archive alone, taken back; and what a liar may try.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { check, request } from '../support/openapi.mjs';
import { putTogether, takeApart } from '../support/results_file.mjs';
import { fashionImages, hasFashion, resnet } from '../support/samples.mjs';
import { Service, temporaryFolder } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";

describe('bundle and import', { skip }, () => {
  const folder = temporaryFolder('bundle');
  const unpacked = join(folder, 'pare-bundle');
  let service, study, bundle, honest;

  async function ask(method, path, body) {
    const answer = await request(service.url + path, method, body);
    check(method, path, answer);
    return answer;
  }

  async function upload(data) {
    const sha256 = createHash('sha256').update(data).digest('hex');
    await ask('PUT', `/v1/blobs/${sha256}`, data);
    return sha256;
  }

  const idx = (dimensions, bytes) => {
    const head = Buffer.alloc(4 + 4 * dimensions.length);
    head.writeUInt32BE(0x0800 + dimensions.length, 0);
    dimensions.forEach((d, i) => head.writeUInt32BE(d, 4 + 4 * i));
    return Buffer.concat([head, bytes]);
  };

  const importBytes = async (bytes) => ask('POST', '/v1/imports', { sha256: await upload(bytes) });

  /** The honest results with a changed head, signed with the bundle's own key: what its holder could send. */
  function forged(change) {
    const { head, contents } = takeApart(honest);
    change(head);
    return putTogether(head, contents, bundle.secret_key);
  }

  async function refused(bytes, status, pattern) {
    const answer = await importBytes(bytes);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.body.detail, pattern);
  }

  before(async () => {
    service = await Service.start();
    const model = (await ask('POST', '/v1/models', { name: 'resnet', files: [{ path: 'model.onnx', sha256: await upload(readFileSync(resnet)) }] })).body;
    const { images, labels } = fashionImages('t10k', 0, 200);
    const dataset = (await ask('POST', '/v1/datasets', {
      name: 'images', format: 'idx', input: 'image',
      files: [{ path: 'images', role: 'images', sha256: await upload(idx([200, 28, 28], images)) },
        { path: 'labels', role: 'labels', sha256: await upload(idx([200], labels)) }],
      preprocess: { image: { scale: 1 / 255, mean: [0.286], std: [0.353], layout: 'nchw' } },
    })).body;
    const started = await ask('POST', '/v1/studies', { model: model.id, dataset: dataset.id, recipes: ['fp16'], floors: ['relative>=0.9'] });
    study = started.body.id;
    for (;;) {
      const { body } = await ask('GET', `/v1/studies/${study}`);
      assert.notEqual(body.state, 'failed', JSON.stringify(body.error));
      if (body.state === 'done') break;
      await new Promise((resolve) => { setTimeout(resolve, 200); });
    }
    const made = await service.pare(['bundle', study, '--file', join(folder, 'b.tar'), '--min-samples', '30', '--time-limit', '1', '--batch', '1', '--no-roofline']);
    assert.equal(made.code, 0, made.stderr);
  });
  after(async () => service?.stop());

  test('the archive is its owner\'s alone, and runs where there is nothing else', () => {
    assert.equal(statSync(join(folder, 'b.tar')).mode & 0o077, 0, 'it holds a key');
    execFileSync('tar', ['-xf', 'b.tar'], { cwd: folder });
    bundle = JSON.parse(readFileSync(join(unpacked, 'bundle.json')));
    assert.equal(bundle.jobs.length, 4);
    const said = execFileSync(join(unpacked, 'run.sh'), ['--name', 'faraway'], { cwd: '/', env: { PATH: '/usr/bin:/bin' }, encoding: 'utf8' });
    assert.match(said, /fp32, all cores: measured/);
    honest = readFileSync(join(unpacked, 'results.pare'));
    assert.equal(existsSync(join(unpacked, 'work')), false, 'it cleans up');
  });

  test('a blob that was changed on the way is not run', () => {
    const victim = join(unpacked, 'blobs', bundle.jobs[0].spec.model.files[0].sha256);
    const kept = readFileSync(victim);
    writeFileSync(victim, Buffer.concat([kept.subarray(0, -1), Buffer.from([kept.at(-1) ^ 1])]));
    assert.throws(() => execFileSync(join(unpacked, 'run.sh'), ['--results', join(folder, 'never')], { stdio: 'pipe' }), /is not what the bundle packed/);
    writeFileSync(victim, kept);
    assert.equal(existsSync(join(folder, 'never')), false);
  });

  test('results that were changed, cut or signed by another are refused', async () => {
    for (const at of [0, 9, 40, Math.floor(honest.length / 2), honest.length - 65, honest.length - 1]) {
      const changed = Buffer.from(honest);
      changed[at] ^= 1;
      assert.ok([400, 404].includes((await importBytes(changed)).status), `byte ${at}`); // 404: it names another bundle now
    }
    for (const size of [0, 11, 75, 76, 500, honest.length - 1]) assert.equal((await importBytes(honest.subarray(0, size))).status, 400, `${size} bytes`);
    assert.equal((await importBytes(Buffer.concat([honest, Buffer.alloc(1)]))).status, 400);
    const { head, contents } = takeApart(honest);
    await refused(putTogether(head, contents, '11'.repeat(64)), 400, /changed after it was signed, or belongs to another bundle/);
    await refused(putTogether({ ...head, bundle: 'bun_aaaaaaaaaaaaaaaaaaaaaaaaaa' }, contents, bundle.secret_key), 404, /made no bundle/);
    await refused(putTogether({ ...head, bundle: '../../etc/passwd' }, contents, bundle.secret_key), 400, /names no bundle/);
  });

  test('whoever holds the key still cannot record what the bundle does not ask for', async () => {
    await refused(forged((h) => { h.jobs[0].token += 2; }), 409, /token/);
    await refused(forged((h) => { h.jobs[0].id = 'job_aaaaaaaaaaaaaaaaaaaaaaaaaa'; }), 409, /has no job/);
    await refused(forged((h) => { h.jobs = h.jobs.map((job) => ({ ...job, id: h.jobs[0].id, token: h.jobs[0].token, runtime: h.jobs[0].runtime })); }), 400, /twice/);
    await refused(forged((h) => { h.jobs[0].runtime.threads += 1; }), 400, /does not ask for/);
    await refused(forged((h) => { delete h.jobs[0].result; }), 400, /either/);
    await refused(forged((h) => { h.target.fingerprint = {}; }), 400, /cpu/);
    await refused(forged((h) => { h.target.name = '\u0007'; }), 400, /name/);
    await refused(forged((h) => { h.surprise = 1; }), 400, /surprise/);
    await refused(forged((h) => { h.jobs.find((job) => job.files.length).files[0].bytes -= 1; }), 400, /hash/);
    const { body } = await ask('GET', '/v1/targets');
    assert.ok(!body.items.some((target) => target.name === 'faraway'), 'nothing of a refused file is kept');
  });

  test('honest results are recorded as an agent\'s, once, and answers cover the machine', async () => {
    const first = await service.pare(['import', join(unpacked, 'results.pare'), '--output', 'json']);
    assert.equal(first.code, 0, first.stderr);
    const answer = JSON.parse(first.stdout);
    assert.equal(answer.recorded.length, takeApart(honest).head.jobs.length);
    assert.deepEqual(answer.failed, []);
    const again = await importBytes(honest);
    assert.equal(again.status, 200);
    assert.deepEqual(again.body, answer, 'the same file again is the same answer');
    await refused(forged((h) => { h.target.name = 'elsewhere'; }), 409, /imported already/);
    const profile = (await ask('GET', `/v1/profiles/${answer.recorded[0].profile}`)).body;
    assert.ok(profile.scenarios['single-stream'].n >= 30);
    assert.equal(typeof profile.counters.available, 'boolean');
    const target = (await ask('GET', '/v1/targets')).body.items.find((t) => t.name === 'faraway');
    assert.equal(target.state, 'offline', 'no new study waits for it');
    const asked = await ask('POST', '/v1/recommendations', { study, floors: [] });
    assert.ok(JSON.stringify(asked.body).includes(answer.machine_type_id));
  });

  test('a machine that cannot run the bundle is named', async () => {
    const made = await service.pare(['bundle', study, '--arch', 'riscv64', '--kit', join(folder, 'nothing'), '--file', join(folder, 'c.tar')]);
    assert.equal(made.code, 2);
    assert.match(made.stderr, /no pare-worker for riscv64/);
    assert.equal(existsSync(join(folder, 'c.tar')), false);
    assert.equal(existsSync(join(folder, 'c.tar.part')), false);
  });
});
