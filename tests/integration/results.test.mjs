// A short study through the HTTP interface alone: every answer that holds figures is as advisor/http/openapi.json says.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { check, request } from '../support/openapi.mjs';
import { fashionImages, hasFashion, languageModel, resnet } from '../support/samples.mjs';
import { runPare, Service } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";

describe('a study over HTTP', { skip }, () => {
  let service, model, dataset, study;

  async function ask(method, path, body, headers) {
    const answer = await request(service.url + path, method, body, headers);
    check(method, path, answer);
    return answer;
  }

  async function upload(data) {
    const sha256 = createHash('sha256').update(data).digest('hex');
    await ask('PUT', `/v1/blobs/${sha256}`, data);
    return sha256;
  }

  function idx(dimensions, bytes) {
    const head = Buffer.alloc(4 + 4 * dimensions.length);
    head.writeUInt32BE(0x0800 + dimensions.length, 0);
    dimensions.forEach((d, i) => head.writeUInt32BE(d, 4 + 4 * i));
    return Buffer.concat([head, bytes]);
  }

  /** Reads the event stream of the study to its end: [{id, event, data}]. */
  async function events(headers = {}) {
    const { text } = await ask('GET', `/v1/studies/${study}/events`, undefined, headers);
    return text.split('\n\n').filter((block) => /^id: /m.test(block)).map((block) => ({
      id: Number(/^id: (\d+)$/m.exec(block)[1]),
      event: /^event: (\w+)$/m.exec(block)[1],
      data: JSON.parse(/^data: (.*)$/m.exec(block)[1]),
    }));
  }

  before(async () => {
    service = await Service.start();
    const sha256 = await upload(readFileSync(resnet));
    const answer = await ask('POST', '/v1/models', { name: 'resnet', files: [{ path: 'model.onnx', sha256 }] });
    assert.equal(answer.status, 201);
    model = answer.body;
    const { images, labels } = fashionImages('t10k', 0, 300);
    const set = await ask('POST', '/v1/datasets', {
      name: 'images', format: 'idx', input: 'image',
      files: [{ path: 'images', role: 'images', sha256: await upload(idx([300, 28, 28], images)) },
        { path: 'labels', role: 'labels', sha256: await upload(idx([300], labels)) }],
      preprocess: { image: { scale: 1 / 255, mean: [0.286], std: [0.353], layout: 'nchw' } },
    });
    assert.equal(set.status, 201, set.text);
    dataset = set.body;
    const body = { model: model.id, dataset: dataset.id, recipes: ['int8:static'], floors: ['relative>=0.9'], budgets: ['p50<=1s'], evaluate: 'all', price_per_hour: 0.1 };
    const headers = { 'idempotency-key': 'the study' };
    const started = await ask('POST', '/v1/studies', body, headers);
    assert.equal(started.status, 201, started.text);
    const again = await ask('POST', '/v1/studies', body, headers);
    assert.equal(again.headers.get('idempotent-replayed'), 'true');
    assert.equal(again.body.id, started.body.id);
    assert.equal((await ask('POST', '/v1/studies', { ...body, floors: [] }, headers)).status, 409);
    study = started.body.id;
  });
  after(async () => service?.stop());

  test('its events come as they happen and end with its end', { timeout: 120_000 }, async () => {
    const all = await events();
    assert.equal(all[0].data.state, 'queued');
    assert.equal(all.at(-1).data.state, 'done', JSON.stringify(all.at(-1)));
    assert.ok(all.some((e) => e.event === 'step' && e.data.kind === 'compress' && e.data.state === 'done'));
    assert.deepEqual(all.map((e) => e.id), [...all.map((e) => e.id)].sort((a, b) => a - b));
    const rest = await events({ 'last-event-id': String(all[3].id) });
    assert.ok(rest.every((e) => e.id > all[3].id));
    assert.deepEqual(rest.at(-1), all.at(-1));
  });

  test('everything it recorded is as the document says', async () => {
    const { body } = await ask('GET', `/v1/studies/${study}`);
    assert.equal(body.progress.fraction, 1);
    assert.equal(body.variants.length, 2);
    for (const variant of body.variants) {
      await ask('GET', `/v1/variants/${variant.id}`);
      assert.equal((await ask('GET', `/v1/evaluations/${variant.evaluation}`)).body.provenance, 'measured');
      assert.ok(variant.profiles.length > 0);
      for (const id of variant.profiles) {
        assert.ok((await ask('GET', `/v1/profiles/${id}`)).body.scenarios.offline.throughput_per_s > 0);
      }
    }
    const small = body.variants.find((v) => v.recipe.startsWith('int8:static'));
    const artifact = await fetch(`${service.url}/v1/variants/${small.id}/artifact`);
    assert.equal(artifact.headers.get('content-disposition'), 'attachment; filename="model.onnx"');
    assert.equal((await artifact.arrayBuffer()).byteLength, small.bytes);
    for (const path of ['/v1/models', `/v1/models/${model.id}`, '/v1/datasets', `/v1/datasets/${dataset.id}`, '/v1/studies', '/v1/targets', '/v1/machine-types']) {
      await ask('GET', path);
    }
  });

  test('answers, comparisons and gates are as the document says', async () => {
    const { recommendation } = (await ask('GET', `/v1/studies/${study}`)).body;
    const stored = await ask('GET', `/v1/recommendations/${recommendation}`);
    assert.equal(stored.text, (await ask('GET', `/v1/recommendations/${recommendation}`)).text);
    assert.equal(stored.body.status, 'ok', stored.body.summary);
    const other = await ask('POST', '/v1/recommendations', { model: model.id, dataset: dataset.id, floors: ['relative>=0.9'], budgets: ['p50<=0.001ms'] });
    assert.equal(other.body.status, 'none', other.body.summary);
    const known = [stored.body.choice, stored.body.baseline, ...stored.body.runners_up, ...stored.body.rejected.items].filter((c) => c?.id);
    const configurations = [...new Set(known.map((c) => c.id))].slice(0, 2);
    assert.equal(configurations.length, 2);
    assert.equal((await ask('POST', '/v1/compare', { configurations })).body.items.length, 2);
    const gate = await ask('POST', '/v1/gates/latency/runs', { model: model.id, budgets: ['p50<=1s'], floors: ['relative>=0.9'] });
    assert.equal(gate.body.verdict, 'pass', gate.text);
    assert.equal((await ask('GET', '/v1/gates')).body.items[0].name, 'latency');
    await ask('GET', '/v1/gates/latency');
  });

  test('a question in plain words is answered with what was understood', async () => {
    const { body } = await ask('POST', '/v1/ask', { question: 'Cheapest for resnet that keeps 90 % of the accuracy, with the median under 2 seconds? Why not fp32?' });
    assert.deepEqual(body.understood, { model: 'resnet', study, floors: ['relative>=0.9'], budgets: ['p50<=2s'] });
    assert.ok(body.text.startsWith(body.recommendation.summary), body.text);
    const other = body.recommendation.choice.recipe === 'fp32' ? '' : 'fp32: ';
    assert.ok(body.text.includes(other), body.text);
    assert.match((await ask('POST', '/v1/ask', { question: 'p99 below 5' })).body.detail, /give it a unit/);
    assert.match((await ask('POST', '/v1/ask', { question: 'the cheapest', model: 'nobody' })).body.detail, /no study of "nobody"/);
    const run = await runPare(['ask', 'what is the cheapest?', '--server', service.url]);
    assert.equal(run.code, 0, run.stderr);
    assert.match(run.stdout, /Understood: resnet, floors relative>=0.9, budgets p50<=1s/);
  });

  test('what a study uses cannot be deleted; lists are paged', async () => {
    assert.equal((await ask('DELETE', `/v1/models/${model.id}`)).status, 409);
    assert.equal((await ask('DELETE', `/v1/datasets/${dataset.id}`)).status, 409);
    const sha256 = await upload(readFileSync(languageModel));
    const second = await ask('POST', '/v1/models', { name: 'language', files: [{ path: 'm.gguf', sha256 }] });
    assert.equal(second.body.family, 'gguf');
    const first = await ask('GET', '/v1/models?limit=1');
    assert.deepEqual(first.body.items.map((m) => m.id), [second.body.id]); // newest first
    const next = await ask('GET', `/v1/models?limit=1&cursor=${first.body.next}`);
    assert.deepEqual(next.body.items.map((m) => m.id), [model.id]);
    assert.equal(next.body.next, null);
    assert.equal((await ask('DELETE', `/v1/models/${second.body.id}`)).status, 204);
    assert.equal((await ask('GET', `/v1/models/${second.body.id}`)).status, 404);
  });

  test('a study can be cancelled', async () => {
    const started = await ask('POST', '/v1/studies', { model: model.id, dataset: dataset.id, recipes: ['int8:dynamic'], floors: ['relative>=0.9'] });
    const cancelled = await ask('DELETE', `/v1/studies/${started.body.id}`);
    assert.equal(cancelled.body.state, 'cancelled');
    assert.equal((await ask('DELETE', `/v1/studies/${started.body.id}`)).body.state, 'cancelled');
  });

  test('the local agent is started again when it dies', { timeout: 60_000 }, async () => {
    const children = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
      try {
        const [, state, parent] = /\) (\S) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        return Number(parent) === service.child.pid && state !== 'Z';
      } catch {
        return false; // it has just ended
      }
    });
    const [agent] = children();
    process.kill(Number(agent), 'SIGKILL');
    while (children().every((pid) => pid === agent)) await new Promise((done) => setImmediate(done));
    while (!/event=agent_ended .*signal=9/.test(service.log)) await new Promise((done) => setImmediate(done)); // it is read as it comes
  });
});
