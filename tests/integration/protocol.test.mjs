// The service over real HTTP: what it answers is what advisor/http/openapi.json says, uploads are bounded, errors say what to do.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { lintFromString, createConfig } from '@redocly/openapi-core';
import { check, document, request } from '../support/openapi.mjs';
import { runPare, Service, temporaryFolder } from '../support/service.mjs';

const startService = ({ folder, args = [] } = {}) => Service.start({ folder, args: ['--no-agent', ...args] });
const serve = (data, listen = '127.0.0.1:0') => runPare(['serve', '--data', data, '--listen', listen, '--no-agent']);
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

describe('one service', () => {
  let service;
  before(async () => (service = await startService()));
  after(async () => service.stop());

  /** A request whose answer must be as the document says. */
  async function ask(method, path, body, headers) {
    const answer = await request(service.url + path, method, body, headers);
    check(method, path, answer);
    return answer;
  }

  test('the document is served as it is in the tree and lints clean', async () => {
    const answer = await ask('GET', '/openapi.json');
    assert.deepEqual(answer.body, document);
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({ source: answer.text, absoluteRef: 'openapi.json', config });
    assert.deepEqual(problems.map((p) => `${p.ruleId}: ${p.message}`), []);
    const again = await request(service.url + '/openapi.json', 'GET', undefined, { 'if-none-match': answer.headers.get('etag') });
    assert.equal(again.status, 304);
  });

  test('every path of the document is known, and unknown ones are not', async () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      const answer = await fetch(service.url + path.replace(/\{[^}]+\}/g, 'x'), { method: 'OPTIONS' });
      assert.equal(answer.status, 204, path);
      const allowed = answer.headers.get('allow').split(', ');
      for (const method of Object.keys(methods).filter((m) => m !== 'parameters')) {
        assert.ok(allowed.includes(method.toUpperCase()), `${method} ${path}`);
      }
    }
    assert.equal((await request(service.url + '/v1/unknown')).status, 404);
  });

  test('health and metrics', async () => {
    assert.equal((await ask('GET', '/v2/health/live')).body.live, true);
    assert.equal((await ask('GET', '/v2/health/ready')).body.ready, true);
    const metrics = await ask('GET', '/metrics');
    assert.match(metrics.text, /^pare_http_requests_total\{method="GET",route="\/v2\/health\/live",status="2xx"\} \d+$/m);
    assert.match(metrics.text, /^pare_http_request_duration_seconds_bucket\{.*le="\+Inf"\} \d+$/m);
    assert.match(metrics.text, /^pare_store_writes_waiting 0$/m);
    for (const line of metrics.text.split('\n')) {
      assert.match(line, /^(|# (HELP|TYPE) .*|[a-z_]+(\{[^}]*\})? -?[0-9.e+-]+)$/, line);
    }
  });

  test('empty lists are as the document says', async () => {
    for (const path of ['/v1/models', '/v1/datasets', '/v1/studies', '/v1/gates', '/v1/targets', '/v1/machine-types']) {
      assert.deepEqual((await ask('GET', path)).body, { items: [], next: null }, path);
    }
    assert.ok((await ask('GET', '/v1/prices')).body.items.length > 10);
    assert.ok((await ask('GET', '/v1/recipes')).body.items.some((item) => item.family === 'gguf'));
    assert.ok((await ask('GET', '/v1/recipes?family=onnx')).body.presets.quick.length > 0);
    assert.match((await ask('GET', '/v1/recipes?family=onx')).body.detail, /onnx/);
  });

  test('things that are not there are 404', async () => {
    for (const path of ['/v1/models/mdl_x', '/v1/datasets/dat_x', '/v1/studies/std_x', '/v1/studies/std_x/events', '/v1/variants/var_x',
      '/v1/variants/var_x/artifact', '/v1/profiles/prof_x', '/v1/evaluations/eval_x', '/v1/recommendations/rec_x', '/v1/gates/nothing',
      '/v1/machine-types/mt_x', `/v1/blobs/${'0'.repeat(64)}`]) {
      assert.equal((await ask('GET', path)).status, 404, path);
    }
    assert.equal((await ask('DELETE', '/v1/models/mdl_x')).status, 404);
    assert.equal((await ask('DELETE', '/v1/studies/std_x')).status, 404);
  });

  test('a file goes in and comes out the same', async () => {
    const data = randomBytes(3_000_017), hash = sha256(data);
    const first = await ask('PUT', `/v1/blobs/${hash}`, data);
    assert.equal(first.status, 201);
    assert.deepEqual(first.body, { sha256: hash, bytes: data.length });
    assert.equal((await ask('PUT', `/v1/blobs/${hash}`, data)).status, 200);
    assert.equal((await ask('POST', '/v1/blobs', data)).body.sha256, hash);
    const head = await fetch(`${service.url}/v1/blobs/${hash}`, { method: 'HEAD' });
    assert.equal(head.headers.get('content-length'), String(data.length));
    const back = Buffer.from(await (await fetch(`${service.url}/v1/blobs/${hash}`)).arrayBuffer());
    assert.ok(back.equals(data));
    const wrong = await ask('PUT', `/v1/blobs/${'1'.repeat(64)}`, data);
    assert.equal(wrong.status, 400);
    assert.equal((await request(`${service.url}/v1/blobs/${'1'.repeat(64)}`, 'HEAD')).status, 404);
  });

  test('an upload that was cut off goes on where it stopped', async () => {
    const data = randomBytes(2_000_003), hash = sha256(data), url = `${service.url}/v1/blobs/${hash}`;
    const cut = http.request(url, { method: 'PUT', headers: { 'content-length': data.length } });
    cut.on('error', () => {});
    await new Promise((sent) => cut.write(data.subarray(0, 1_500_000), sent));
    let offset = 0;
    const length = () => fetch(url, { method: 'HEAD' }).then((answer) => Number(answer.headers.get('upload-offset')));
    for (let i = 0; i < 200 && offset < 1_000_000; i++) offset = await length(); // it is being written
    cut.destroy();
    const rest = async () => request(url, 'PUT', data.subarray(offset = await length()),
      { 'content-range': `bytes ${offset}-${data.length - 1}/${data.length}` });
    let answer = await rest();
    for (let i = 0; i < 200 && answer.status === 409; i++) answer = await rest(); // until the service has seen the end
    assert.equal(answer.status, 201, answer.text);
    assert.ok(offset >= 1_000_000 && offset <= 1_500_000, String(offset));
    assert.ok(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(data));
  });

  test('a range that cannot be gone on from is refused with a reason', async () => {
    const data = Buffer.from('twelve bytes'), url = `${service.url}/v1/blobs/${sha256(data)}`;
    const put = (range, body, to = url, method = 'PUT') => request(to, method, body, { 'content-range': range });
    const ahead = await put('bytes 4-11/12', data.subarray(4));
    assert.equal(ahead.status, 409, ahead.text);
    assert.match(ahead.body.detail, /only 0 bytes of this file are here/);
    for (const range of ['bytes 4-9/12', 'bytes 4-11/*', 'bytes */12', 'bytes 11-4/12', 'items 0-11/12', 'bytes 0-18446744073709551616/1']) {
      assert.equal((await put(range, data.subarray(4))).status, 400, range);
    }
    const nameless = await put('bytes 4-11/12', data.subarray(4), `${service.url}/v1/blobs`, 'POST');
    assert.match(nameless.body.detail, /only an upload to the name of its content/);
    assert.equal((await put('bytes 0-11/12', data)).status, 201);
  });

  test('what is not a model is refused with a reason', async () => {
    const cases = { empty: Buffer.alloc(0), text: Buffer.from('just some words'), cut: Buffer.from('GGUF') };
    for (const [name, data] of Object.entries(cases)) {
      const { body } = await ask('POST', '/v1/blobs', data);
      const answer = await ask('POST', '/v1/models', { name, files: [{ path: 'model.onnx', sha256: body.sha256 }] });
      assert.equal(answer.status, 400, `${name}: ${answer.text}`);
      assert.ok(answer.body.detail.length > 20, answer.body.detail);
    }
    const missing = await ask('POST', '/v1/models', { name: 'm', files: [{ path: 'm.onnx', sha256: '2'.repeat(64) }] });
    assert.equal(missing.status, 400);
    const mistyped = await ask('POST', '/v1/models', { nam: 'm', files: [] });
    assert.match(mistyped.body.detail, /name/);
    for (const path of ['../../etc/passwd', '/etc/passwd', 'a/../../b', '']) {
      const { body } = await ask('POST', '/v1/blobs', cases.text);
      assert.equal((await ask('POST', '/v1/models', { name: 'm', files: [{ path, sha256: body.sha256 }] })).status, 400, path);
    }
  });

  test('questions about nothing are refused with a reason', async () => {
    assert.equal((await ask('POST', '/v1/studies', { model: 'mdl_x', dataset: 'dat_x' })).status, 404);
    assert.equal((await ask('POST', '/v1/recommendations', { model: 'mdl_x' })).status, 404);
    assert.ok([400, 404].includes((await ask('POST', '/v1/compare', { configurations: ['cfg_a', 'cfg_b'] })).status));
    assert.equal((await ask('POST', '/v1/compare', { configurations: [] })).status, 400);
    assert.ok([400, 404].includes((await ask('POST', '/v1/gates/g/runs', { model: 'none', budgets: ['p99<=5ms'] })).status));
    assert.equal((await ask('PUT', '/v1/machine-types/mt_x', { price_per_hour: 1 })).status, 404);
    assert.equal((await ask('GET', '/v1/models?limit=1000')).status, 400);
    assert.equal((await ask('GET', '/v1/models?cursor=nonsense')).status, 400);
  });

  test('an agent registers, waits for work, and is answered 204', async () => {
    const fingerprint = JSON.parse(await readFile(new URL('../data/http/fingerprint.json', import.meta.url)));
    const registered = await ask('POST', '/v1/agents/register', { name: 'tester', fingerprint, price_per_hour: 0.25 });
    assert.equal(registered.status, 200, registered.text);
    const target = registered.body.target_id;
    assert.equal((await ask('POST', '/v1/agents/claim', { target_id: target, wait_s: 1 })).status, 204);
    assert.equal((await ask('POST', '/v1/agents/jobs/job_x/heartbeat', { token: 1, fraction: 0, text: '' })).status, 404);
    const [item] = (await ask('GET', '/v1/targets')).body.items;
    assert.equal(item.id, target);
    assert.equal(item.state, 'online');
    const types = (await ask('GET', '/v1/machine-types')).body.items;
    assert.equal(types[0].id, registered.body.machine_type_id);
    const changed = await ask('PUT', `/v1/machine-types/${types[0].id}`, { price_per_hour: 0.5, name: 'the tester' });
    assert.equal(changed.body.price.usd_per_hour, 0.5);
    assert.equal((await ask('GET', `/v1/machine-types/${types[0].id}`)).body.name, 'the tester');
    assert.match((await ask('PUT', `/v1/machine-types/${types[0].id}`, { instance_type: 'c7i.larg' })).body.detail, /c7i\.large/);
  });

  test('the same key gives the same answer', async () => {
    const headers = { 'idempotency-key': 'once' };
    const first = await ask('POST', '/v1/models', { name: 'k', files: [] }, headers);
    assert.equal(first.status, 400); // failures are not remembered
    const again = await ask('POST', '/v1/models', { name: 'k', files: [] }, headers);
    assert.equal(again.headers.get('idempotent-replayed'), null);
    assert.equal((await request(`${service.url}/v1/models`, 'POST', { name: 'k', files: [] }, { 'idempotency-key': 'x'.repeat(200) })).status, 400);
  });

  test('pages carry headers that keep browsers safe', async () => {
    const answer = await request(`${service.url}/`, 'GET', undefined, { accept: 'text/html' });
    if (answer.status === 404) return; // built without the dashboard
    assert.match(answer.headers.get('content-security-policy'), /frame-ancestors 'none'/);
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
    assert.equal(answer.headers.get('access-control-allow-origin'), null);
    const deep = await request(`${service.url}/studies/std_abc`, 'GET', undefined, { accept: 'text/html' });
    assert.equal(deep.text, answer.text);
    assert.equal((await request(`${service.url}/v1/nothing`, 'GET', undefined, { accept: 'text/html' })).status, 404);
    assert.equal((await request(`${service.url}/assets/nothing.js`)).status, 404);
  });

  test('an upload of 1 GiB costs no memory', { timeout: 600_000 }, async () => {
    const resident = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${service.child.pid}/status`, 'utf8'))[1]) / 1024;
    const before = await resident();
    let most = before;
    const watch = setInterval(async () => (most = Math.max(most, await resident())), 50);
    const hash = await uploadZeros(service.url, 1 << 30);
    clearInterval(watch);
    assert.equal(hash, '49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14'); // of 1 GiB of zeros
    assert.ok(most - before < 32, `grew from ${before.toFixed(1)} to ${most.toFixed(1)} MiB`);
    let received = 0;
    for await (const chunk of (await fetch(`${service.url}/v1/blobs/${hash}`)).body) received += chunk.length;
    assert.equal(received, 1 << 30);
    assert.ok((await resident()) - before < 32);
  });
});

/** POSTs `size` zeros in chunks and gives the hash that the service answers. */
function uploadZeros(url, size) {
  const chunk = Buffer.alloc(1 << 20);
  return new Promise((done, fail) => {
    const req = http.request(`${url}/v1/blobs`, { method: 'POST', headers: { 'content-type': 'application/octet-stream' } }, (answer) => {
      let text = '';
      answer.on('data', (part) => (text += part));
      answer.on('end', () => done(JSON.parse(text).sha256));
    });
    req.on('error', fail);
    let left = size / chunk.length;
    const more = () => {
      while (left > 0) {
        left--;
        if (!req.write(chunk)) return req.once('drain', more);
      }
      req.end();
    };
    more();
  });
}

describe('tokens', () => {
  test('off loopback nothing starts without a token', async () => {
    const { code, stderr } = await serve(temporaryFolder(), '0.0.0.0:0');
    assert.equal(code, 4);
    assert.match(stderr, /--init-token-file/);
  });

  test('a first token that cannot be written locks nobody out: the next start makes another', async () => {
    const folder = temporaryFolder(), file = join(folder, 'first.token');
    const failed = await runPare(['serve', '--data', join(folder, 'data'), '--listen', '127.0.0.1:0', '--no-agent', '--init-token-file', join(folder, 'missing/first.token')]);
    assert.equal(failed.code, 4);
    assert.match(failed.stderr, /missing\/first\.token/);
    const service = await startService({ folder, args: ['--init-token-file', file] });
    try {
      const authorization = `Bearer ${(await readFile(file, 'utf8')).trim()}`;
      assert.equal((await request(service.url + '/v1/models', 'GET', undefined, { authorization })).status, 200);
    } finally {
      await service.stop();
    }
  });

  test('an error that quotes what is not UTF-8 has its document all the same', async () => {
    const service = await startService();
    try {
      const answer = await request(service.url + '/v1/models/%FF');
      assert.equal(answer.status, 404);
      assert.equal(answer.body.code, 'not_found');
    } finally {
      await service.stop();
    }
  });

  test('with tokens every request needs one, of the right role', async () => {
    const file = join(temporaryFolder(), 'first.token');
    const service = await startService({ args: ['--listen', '0.0.0.0:0', '--init-token-file', file] });
    try {
      const token = (await readFile(file, 'utf8')).trim();
      const ask = async (path, authorization, method = 'GET', body = undefined) => {
        const answer = await request(service.url + path, method, body, authorization ? { authorization } : {});
        check(method, path, answer);
        return answer;
      };
      assert.equal((await ask('/v2/health/live')).status, 200);
      assert.equal((await ask('/openapi.json')).status, 200);
      const refused = await ask('/v1/models');
      assert.equal(refused.status, 401);
      assert.match(refused.headers.get('www-authenticate'), /Bearer/);
      assert.equal((await ask('/v1/models', 'Bearer nonsense')).status, 401);
      assert.equal((await ask('/metrics')).status, 401);
      assert.equal((await ask('/v1/models', `Bearer ${token}`)).status, 200);
      assert.equal((await ask('/v1/blobs', undefined, 'POST', Buffer.alloc(1000))).status, 401);
      assert.equal((await ask('/v1/blobs', `Bearer ${token}`, 'POST', Buffer.alloc(1000))).status, 201);
    } finally {
      await service.stop();
    }
  });
});

describe('roles', () => {
  test('on loopback the first token closes the door; each role opens its own', { timeout: 60_000 }, async () => {
    const service = await Service.start();
    const ask = async (method, path, token, body) => {
      const answer = await request(service.url + path, method, body, token ? { authorization: `Bearer ${token}` } : {});
      check(method, path, answer);
      return answer;
    };
    try {
      assert.deepEqual((await ask('GET', '/v1/tokens')).body.items, []);
      assert.equal((await ask('POST', '/v1/tokens', undefined, { name: 'u', role: 'user' })).status, 400);
      const admin = (await ask('POST', '/v1/tokens', undefined, { name: 'me', role: 'admin' })).body.token;
      assert.equal((await ask('GET', '/v1/models')).status, 401);
      const user = (await ask('POST', '/v1/tokens', admin, { name: 'u', role: 'user' })).body.token;
      const made = await service.pare(['tokens', 'add', 'a', '--role', 'agent', '--token', admin]);
      assert.equal(made.code, 0, made.stderr);
      const agent = made.stdout.trim();
      assert.equal((await ask('GET', '/v1/models', user)).status, 200);
      assert.equal((await ask('GET', '/v1/models', agent)).status, 403);
      assert.equal((await ask('POST', '/v1/agents/claim', user, { target_id: 'tgt_x' })).status, 403);
      assert.equal((await ask('POST', '/v1/agents/claim', agent, { target_id: 'tgt_x' })).status, 404);
      assert.equal((await ask('GET', '/v1/tokens', user)).status, 403);
      const tokens = (await ask('GET', '/v1/tokens', admin)).body.items;
      const id = (name) => tokens.find((t) => t.name === name).id;
      assert.equal((await ask('DELETE', `/v1/tokens/${id('u')}`, admin)).status, 204);
      assert.equal((await ask('GET', '/v1/models', user)).status, 401);
      assert.equal((await ask('DELETE', `/v1/tokens/${id('me')}`, admin)).status, 409); // nobody could make tokens any more
      assert.match((await service.pare(['tokens', '--token', admin])).stdout, /me +admin/);
      // the local agent was started before there was a token: it is started again with one of its own
      const online = async () => (await ask('GET', '/v1/tokens', admin)).body.items.some((t) => t.name === 'local agent');
      while (!(await online())) await new Promise((done) => setImmediate(done));
    } finally {
      await service.stop();
    }
  });
});

describe('starting and stopping', () => {
  test('a port in use is said clearly', async () => {
    const other = net.createServer().listen(0, '127.0.0.1');
    await new Promise((done) => other.on('listening', done));
    const { port } = other.address();
    const { code, stderr } = await serve(temporaryFolder(), `127.0.0.1:${port}`);
    other.close();
    assert.equal(code, 4);
    assert.match(stderr, /in use.*--listen/);
  });

  test('a data folder in use is said clearly', async () => {
    const service = await startService();
    const { code, stderr } = await serve(join(service.folder, 'data'));
    await service.stop();
    assert.equal(code, 4);
    assert.match(stderr, /use/);
  });

  test('a newer database is refused', async () => {
    const service = await startService();
    await service.stop();
    const data = join(service.folder, 'data'), path = join(data, 'pare.db');
    const bytes = await readFile(path);
    bytes.writeUInt32BE(9999, 60); // PRAGMA user_version, SQLite file format 1.3
    await writeFile(path, bytes);
    const { code, stderr } = await serve(data);
    assert.equal(code, 4);
    assert.match(stderr, /newer/);
  });

  test('a folder that cannot be written is said clearly', async () => {
    if (process.getuid() === 0) {
      const { code, stderr } = await serve('/proc/pare');
      assert.equal(code, 4);
      assert.match(stderr, /--data/);
      return;
    }
    const data = temporaryFolder();
    await chmod(data, 0o500);
    const { code, stderr } = await serve(data);
    assert.equal(code, 4);
    assert.match(stderr, /--data/);
  });

  test('usage errors name what was meant', async () => {
    const option = await runPare(['serve', '--liste', '127.0.0.1:0']);
    assert.equal(option.code, 2);
    assert.match(option.stderr, /did you mean --listen/);
    const verb = await runPare(['serv']);
    assert.equal(verb.code, 2);
    assert.match(verb.stderr, /did you mean "serve"/);
    const address = await serve(temporaryFolder(), 'nonsense');
    assert.equal(address.code, 2);
    const help = await runPare(['serve', '--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, /Examples:\n  pare serve/);
    assert.match((await runPare(['--version'])).stdout, /^pare \d/);
  });

  test('SIGTERM finishes what runs and lets go of what waits', async () => {
    const service = await startService();
    const fingerprint = JSON.parse(await readFile(new URL('../data/http/fingerprint.json', import.meta.url)));
    const { body } = await request(`${service.url}/v1/agents/register`, 'POST', { name: 'waiter', fingerprint });
    const waiting = request(`${service.url}/v1/agents/claim`, 'POST', { target_id: body.target_id, wait_s: 60 });
    const upload = http.request(`${service.url}/v1/blobs`, { method: 'POST', headers: { 'content-length': 6 } });
    const answered = new Promise((done, fail) => upload.on('response', done).on('error', fail));
    upload.write('abc');
    await request(`${service.url}/v2/health/live`); // by now both are under way
    const ended = service.stop('SIGTERM');
    assert.equal((await waiting).status, 204);
    upload.end('def');
    const answer = await answered;
    assert.equal(answer.statusCode, 201);
    assert.equal(answer.headers.connection, 'close');
    answer.resume();
    assert.deepEqual(await ended, { code: 0, signal: null });
  });
});
