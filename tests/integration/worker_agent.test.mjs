// The real `pare agent` against a scripted service: what it does when blobs are damaged, leases lost, workers crash, the service
// is away. The workers of most tests are shell scripts, so that they can misbehave on request.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const BIN = process.env.PARE_BIN ?? resolve('build/bin');
const MODEL = resolve('examples/fashion-mnist/fmnist-resnet.onnx');
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

function folderOf(t) {
  const folder = mkdtempSync(join(tmpdir(), 'pare-agent-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// A service that hands out `jobs` one after another, and remembers everything. Answers can be replaced by path.
class FakeService {
  constructor({ jobs = [], blobs = [], answers = {}, lease_s = 1 } = {}) {
    Object.assign(this, { jobs, answers, lease_s, seen: [], waiting: [], idle: [] });
    this.blobs = new Map(blobs.map((data) => [sha256(data), data]));
    this.server = createServer((request, response) => this.take(request, response));
  }

  static async start(t, options) {
    const service = new FakeService(options);
    await new Promise((done) => service.server.listen(options?.port ?? 0, '127.0.0.1', done));
    service.url = `http://127.0.0.1:${service.server.address().port}`;
    t.after(() => service.stop());
    return service;
  }

  stop() {
    for (const { response } of this.idle) response.destroy();
    this.server.closeAllConnections();
    this.server.close();
  }

  async take(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    const json = request.headers['content-type'] === 'application/json' && body.length ? JSON.parse(body) : undefined;
    const entry = { method: request.method, path: request.url, json, body, headers: request.headers };
    this.seen.push(entry);
    const send = (status, value) => {
      response.writeHead(status, value === undefined ? {} : { 'content-type': 'application/json' });
      response.end(value === undefined ? undefined : Buffer.isBuffer(value) ? value : JSON.stringify(value));
    };
    const own = Object.entries(this.answers).find(([path]) => request.url.endsWith(path));
    const answer = own?.[1](entry, this);
    if (answer) send(...answer);
    else this.answer(entry, send, response);
    for (const waiter of [...this.waiting]) waiter();
  }

  answer({ method, path }, send, response) {
    const hash = /^\/v1\/blobs\/(\w+)$/.exec(path)?.[1];
    if (hash && method === 'PUT') { this.blobs.set(hash, this.seen.at(-1).body); return send(201, {}); }
    if (hash) return this.blobs.has(hash) ? send(200, method === 'HEAD' ? undefined : this.blobs.get(hash)) : send(404, { detail: 'no such blob', code: 'not_found' });
    if (path === '/v1/agents/register') return send(201, { target_id: 'tgt_1', machine_type_id: 'mt_1', lease_s: this.lease_s });
    if (path === '/v1/agents/claim') {
      const job = this.jobs.shift();
      if (job) return send(200, { job });
      return this.idle.push({ response }); // a long poll that never ends
    }
    if (path.endsWith('/heartbeat')) return send(200, { cancel: false });
    return send(200, {});
  }

  // The first request, seen or to come, whose path ends so.
  until(path, count = 1) {
    return new Promise((done) => {
      const look = () => {
        const found = this.seen.filter((entry) => entry.path.endsWith(path));
        if (found.length >= count) {
          this.waiting = this.waiting.filter((waiter) => waiter !== look);
          done(found[count - 1]);
        }
      };
      this.waiting.push(look);
      look();
    });
  }

  count(path) {
    return this.seen.filter((entry) => entry.path.endsWith(path)).length;
  }
}

const PROBE = `case "$1" in --probe) echo '{"type": "result", "result": {"pmu": {"available": false, "reason": "a script"}, "runtimes": {}, "sandbox": {}}, "files": []}'; exit 0;;
--calibrate) echo '{"type": "error", "error": {"code": "unsupported", "text": "a script"}}'; exit 1;; esac\n`;

function startAgent(t, service, { worker, env = {}, args = [], url, folder = folderOf(t) } = {}) {
  let program = join(BIN, 'pare-worker');
  if (worker) {
    program = join(folder, 'worker.sh');
    writeFileSync(program, `#!/bin/sh\n${PROBE}${worker}`, { mode: 0o755 });
  }
  const cache = join(folder, 'cache');
  const child = spawn(join(BIN, 'pare'), ['agent', '--server', url ?? service.url, '--cache', cache, '--name', 'tester', ...args],
    { env: { ...process.env, PARE_WORKER: program, ...env } });
  const agent = { child, folder, cache, err: '' };
  child.stderr.on('data', (data) => { agent.err += data; });
  agent.ended = new Promise((done) => child.on('close', (code, signal) => done({ code, signal })));
  t.after(() => child.kill('SIGKILL'));
  return agent;
}

const job = (spec, id = 'job_a1') => ({ id, token: 7, kind: 'inspect', study_id: 'std_1', spec: { kind: 'inspect', ...spec } });
const OK = `echo '{"type": "result", "result": {"fine": 1}, "files": []}'\n`;

test('registers with a fingerprint, a price and its token', async (t) => {
  const service = await FakeService.start(t);
  startAgent(t, service, { args: ['--price-per-hour', '0.25'], env: { PARE_TOKEN: 'tok_secret' } });
  const { json, headers } = await service.until('/register');
  assert.equal(json.name, 'tester');
  assert.equal(json.price_per_hour, 0.25);
  assert.equal(headers.authorization, 'Bearer tok_secret');
  const { cpu, memory_bytes, arch, pmu, runtimes, sandbox } = json.fingerprint;
  assert.ok(cpu.cores >= 1 && cpu.threads >= cpu.cores && cpu.model && Array.isArray(cpu.isa));
  assert.ok(memory_bytes > 2 ** 28 && arch);
  assert.equal(typeof pmu.available, 'boolean');
  assert.match(runtimes.onnxruntime, /^1\./);
  assert.equal(sandbox.seccomp, true);
  assert.equal((await service.until('/claim')).json.target_id, 'tgt_1');
});

test('the roofline is measured before registering, and kept for the next start', async (t) => {
  const service = await FakeService.start(t);
  const first = startAgent(t, service);
  const { roofline } = (await service.until('/register')).json.fingerprint;
  const rate = (dtype) => roofline.gemm.find((g) => g.dtype === dtype && g.threads === 1);
  assert.ok(rate('fp32').gop_per_s > 0 && rate('int8').gop_per_s > 0);
  for (const g of roofline.gemm) assert.ok(g.gop_per_s > 0 || g.reason, `${g.dtype}: a figure or a reason`);
  for (const c of roofline.copy) assert.ok(c.gb_per_s > 0 && c.array_bytes >= 2 ** 20);
  assert.ok(roofline.operator_us > 0);
  assert.equal(roofline.provenance, 'measured');
  first.child.kill('SIGTERM');
  await first.ended;
  startAgent(t, service, { folder: first.folder });
  const again = (await service.until('/register', 2)).json.fingerprint;
  assert.deepEqual(again.roofline, roofline);
});

test('an agent whose machine cannot be measured registers without a roofline', async (t) => {
  const service = await FakeService.start(t);
  startAgent(t, service, { worker: OK });
  assert.equal((await service.until('/register')).json.fingerprint.roofline, null);
});

test('a job of the real worker: blobs fetched once, artifact uploaded before the result', async (t) => {
  const model = readFileSync(MODEL);
  const spec = { kind: 'compress', recipe: 'fp32', limits: { threads: 1 },
    model: { family: 'onnx', main: 'm.onnx', files: [{ path: 'm.onnx', sha256: sha256(model), bytes: model.length }] } };
  const service = await FakeService.start(t, { jobs: [job(spec), job(spec, 'job_a2')], blobs: [model] });
  const agent = startAgent(t, service);
  const { json } = await service.until('/job_a1/result');
  assert.equal(json.token, 7);
  assert.deepEqual(json.files, [{ path: 'model.onnx', sha256: sha256(model), bytes: model.length }]);
  await service.until('/claim', 3); // the second job is cleaned up too
  assert.equal(service.count('/job_a2/result'), 1);
  const blob = `/v1/blobs/${sha256(model)}`;
  assert.equal(service.seen.filter((e) => e.method === 'GET' && e.path === blob).length, 1);
  assert.ok(service.count('/job_a1/heartbeat') >= 1);
  const paths = service.seen.map((e) => `${e.method} ${e.path}`);
  assert.ok(paths.indexOf(`HEAD ${blob}`) < paths.indexOf('POST /v1/agents/jobs/job_a1/result'));
  assert.deepEqual(readdirSync(join(agent.cache, 'jobs')), [], 'job folders are removed');
});

test('files that the worker made are uploaded', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  startAgent(t, service, { worker: `printf hello > out.bin; echo '{"type": "result", "result": {}, "files": [{"path": "out.bin"}]}'\n` });
  const { json } = await service.until('/result');
  assert.deepEqual(json.files, [{ path: 'out.bin', sha256: sha256('hello'), bytes: 5 }]);
  assert.equal(service.blobs.get(sha256('hello')).toString(), 'hello');
});

test('a damaged blob is a failure, not a crash, and is not kept', async (t) => {
  const hash = sha256('good');
  const spec = { model: { files: [{ path: 'm', sha256: hash, bytes: 4 }] } };
  const service = await FakeService.start(t, { jobs: [job(spec)], answers: { [hash]: () => [200, Buffer.from('evil')] } });
  const agent = startAgent(t, service, { worker: OK });
  const { json } = await service.until('/failure');
  assert.equal(json.error.code, 'input');
  assert.match(json.error.text, /damaged/);
  assert.equal(json.crashed, false);
  assert.deepEqual(readdirSync(join(agent.cache, 'blobs')), []);
});

test('a worker that crashes is reported with its log', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  startAgent(t, service, { worker: 'echo "about to fall" >&2; kill -SEGV $$\n' });
  const { json } = await service.until('/failure');
  assert.equal(json.crashed, true);
  assert.equal(json.error.code, 'crashed');
  assert.match(json.error.text, /SIGSEGV/);
  assert.match(json.log, /about to fall/);
});

test("the worker's own error keeps its code", async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  startAgent(t, service, { worker: `echo '{"type": "error", "error": {"code": "unsupported", "text": "no such thing"}}'; exit 1\n` });
  const { json } = await service.until('/failure');
  assert.deepEqual(json.error, { code: 'unsupported', text: 'no such thing' });
  assert.equal(json.crashed, false);
});

test('output that is not the protocol, and names of files outside, are internal errors', async (t) => {
  const lying = (path) => `echo '{"type": "result", "result": {}, "files": [{"path": "${path}"}]}'\n`;
  for (const worker of ['echo nonsense\n', lying('../../x'), lying('/etc/passwd'), lying('.hidden'), lying('missing'), `ln -s /etc/passwd link\n${lying('link')}`]) {
    const service = await FakeService.start(t, { jobs: [job({})] });
    startAgent(t, service, { worker });
    const { json } = await service.until('/failure');
    assert.equal(json.error.code, 'internal', `${worker}: ${json.error.text}`);
    assert.equal(service.seen.filter((e) => e.method === 'PUT').length, 0);
  }
});

test('a cancelled job ends its worker', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})], answers: { '/heartbeat': () => [200, { cancel: true }] } });
  startAgent(t, service, { worker: 'exec sleep 1000\n' });
  const { json } = await service.until('/failure');
  assert.equal(json.error.code, 'cancelled');
  assert.equal(json.crashed, false);
  await service.until('/claim', 2);
});

test('a lost lease ends the worker, and nothing is reported', async (t) => {
  const lost = () => [409, { code: 'conflict', detail: 'the lease is lost' }];
  const service = await FakeService.start(t, { jobs: [job({})], answers: { '/heartbeat': lost } });
  startAgent(t, service, { worker: 'exec sleep 1000\n' });
  await service.until('/claim', 2);
  assert.equal(service.count('/failure') + service.count('/result'), 0);
});

test('a result is repeated while the service is busy, and dropped when it is stale', async (t) => {
  let times = 0;
  const answers = { '/job_a1/result': () => (++times < 3 ? [503, { code: 'busy', detail: 'later' }] : [200, {}]),
    '/job_a2/result': () => [409, { code: 'conflict', detail: 'stale' }] };
  const service = await FakeService.start(t, { jobs: [job({}), job({}, 'job_a2')], answers });
  startAgent(t, service, { worker: OK });
  await service.until('/claim', 3);
  assert.equal(service.count('/job_a1/result'), 3);
  assert.equal(service.count('/job_a2/result'), 1);
  assert.equal(service.count('/failure'), 0);
});

test('a result that the service refuses becomes a failure, so that the work is not done for ever', async (t) => {
  const refused = [[413, { code: 'too_large', detail: 'the body is larger than the limit' }], [500, { code: 'internal', detail: 'a bug' }]];
  const answers = { '/result': () => refused.shift() };
  const service = await FakeService.start(t, { jobs: [job({}), job({}, 'job_a2')], answers });
  startAgent(t, service, { worker: OK });
  const first = await service.until('/job_a1/failure');
  assert.equal(first.json.error.code, 'internal');
  assert.match(first.json.error.text, /did not take the result: the body is larger/);
  const second = await service.until('/job_a2/failure');
  assert.equal(second.json.error.code, 'io', 'the trouble of the service leaves further attempts');
});

test('a transfer is tried again while the service has trouble', async (t) => {
  const hash = sha256('model'), made = sha256('hello');
  const trouble = { [hash]: 2, [made]: 2 };
  const once_more = (name) => () => (trouble[name]-- > 0 ? [503, { code: 'busy', detail: 'later' }] : null);
  const spec = { model: { files: [{ path: 'm', sha256: hash, bytes: 5 }] } };
  const service = await FakeService.start(t, { jobs: [job(spec)], blobs: [Buffer.from('model')], answers: { [hash]: once_more(hash), [made]: once_more(made) } });
  startAgent(t, service, { worker: `printf hello > out.bin; echo '{"type": "result", "result": {}, "files": [{"path": "out.bin"}]}'\n` });
  await service.until('/job_a1/result');
  assert.equal(service.blobs.get(made).toString(), 'hello');
  assert.equal(service.count('/failure'), 0);
});

test('a worker gets progress through to the heartbeat', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  startAgent(t, service, { worker: `echo '{"type": "progress", "fraction": 0.5, "text": "half"}'; exec sleep 1000\n` });
  for (let n = 1; ; n++) {
    const { json } = await service.until('/heartbeat', n);
    if (json.text === 'half' && json.fraction === 0.5) break;
    assert.ok(n < 20, 'the progress never came');
  }
});

test('a service that comes later is found', async (t) => {
  const first = await FakeService.start(t);
  const port = first.server.address().port;
  first.stop();
  const agent = startAgent(t, null, { worker: OK, url: `http://127.0.0.1:${port}` });
  await new Promise((done) => {
    const look = () => (/registration_failed/.test(agent.err) ? done() : agent.child.stderr.once('data', look));
    look();
  });
  const service = await FakeService.start(t, { port, jobs: [job({})] });
  await service.until('/result');
});

test('a service that forgot the target gets it again', async (t) => {
  let asked = 0;
  const answers = { '/claim': () => (++asked === 1 ? [404, { code: 'not_found', detail: 'no such target' }] : null) };
  const service = await FakeService.start(t, { jobs: [job({})], answers });
  startAgent(t, service, { worker: OK });
  await service.until('/result');
  assert.equal(service.count('/register'), 2);
});

test('a second agent waits for the cache folder of the first, so that no job folder is removed under a worker', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  const first = startAgent(t, service, { worker: `echo here > mark; echo '{"type": "progress", "fraction": 0.1}'; exec sleep 1000\n` });
  for (let n = 1; (await service.until('/heartbeat', n)).json.fraction !== 0.1; n++);
  const second = startAgent(t, service, { worker: OK, args: ['--cache', first.cache] });
  const early = await Promise.race([second.ended, new Promise((done) => setTimeout(done, 500))]);
  assert.equal(early, undefined, second.err);
  const [folder] = readdirSync(join(first.cache, 'jobs'));
  assert.ok(existsSync(join(first.cache, 'jobs', folder, 'mark')));
  assert.equal(service.count('/register'), 1);
  first.child.kill('SIGTERM');
  await service.until('/register', 2);
});

test('a token that is refused later ends it with code 4: whoever keeps it running has another', async (t) => {
  const refused = [401, { code: 'unauthorized', detail: 'this token was revoked' }];
  let registered = 0;
  const answers = { '/register': () => (registered++ ? refused : null), '/claim': () => refused };
  const service = await FakeService.start(t, { answers });
  const agent = startAgent(t, service, { worker: OK });
  assert.equal((await agent.ended).code, 4);
  assert.match(agent.err, /this token was revoked/);
});

test('SIGTERM while it waits: it ends, with code 0', async (t) => {
  const service = await FakeService.start(t);
  const agent = startAgent(t, service, { worker: OK });
  await service.until('/claim');
  agent.child.kill('SIGTERM');
  assert.deepEqual(await agent.ended, { code: 0, signal: null });
});

test('SIGTERM in a job: the worker is killed, the job given back, the folder removed', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  const mark = join(folderOf(t), 'pid');
  const agent = startAgent(t, service, { worker: `echo $$ > ${mark}; echo '{"type": "progress", "fraction": 0.1}'; exec sleep 1000\n` });
  for (let n = 1; (await service.until('/heartbeat', n)).json.fraction !== 0.1; n++);
  agent.child.kill('SIGTERM');
  assert.deepEqual(await agent.ended, { code: 0, signal: null });
  const { json } = await service.until('/failure');
  assert.equal(json.crashed, false);
  assert.equal(json.error.code, 'cancelled');
  assert.ok(!existsSync(`/proc/${readFileSync(mark, 'utf8').trim()}`), 'the worker is gone');
  assert.deepEqual(readdirSync(join(agent.cache, 'jobs')), []);
});

test('a refused token and a missing worker end it with code 4 and a text', async (t) => {
  const service = await FakeService.start(t, { answers: { '/register': () => [401, { code: 'unauthorized', detail: 'a valid token is needed' }] } });
  const refused = startAgent(t, service, { worker: OK });
  assert.equal((await refused.ended).code, 4);
  assert.match(refused.err, /a valid token is needed/);
  const missing = startAgent(t, service, { env: { PARE_WORKER: '/nowhere/pare-worker' } });
  assert.equal((await missing.ended).code, 4);
  assert.match(missing.err, /\/nowhere\/pare-worker/);
});

test('the token of a file is used, and does not reach the worker', async (t) => {
  const service = await FakeService.start(t, { jobs: [job({})] });
  const file = join(folderOf(t), 'token');
  writeFileSync(file, 'tok_from_file\n', { mode: 0o600 });
  startAgent(t, service, { args: ['--token-file', file], env: { PARE_TOKEN: 'tok_env' }, worker: `env | grep -q tok_ && exit 9\n${OK}` });
  const { headers } = await service.until('/result');
  assert.equal(headers.authorization, 'Bearer tok_from_file');
  assert.equal(statSync(file).mode & 0o777, 0o600);
});
