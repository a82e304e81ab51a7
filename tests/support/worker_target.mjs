// worker_target.mjs -- a target whose agent is the test itself: it claims jobs from a real service, runs the real pare-worker and
// delivers its results. So a test says how long a measurement may take and what machine it pretends to be.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { binaries, temporaryFolder } from './service.mjs';

const worker = path.join(binaries, 'pare-worker');
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** What `pare-worker FLAG` tells: --probe, --calibrate. */
export function askWorker(flag) {
  const { stdout, stderr } = spawnSync(worker, [flag], { encoding: 'utf8' });
  const answer = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
  if (answer.type !== 'result') throw new Error(`pare-worker ${flag}: ${stdout} ${stderr}`);
  return answer.result;
}

export class WorkerTarget {
  /** `change(spec)` may alter a job before it runs, such as the time that a profile takes. */
  constructor(service, { fingerprint, name = 'worker-target', change = () => {} }) {
    Object.assign(this, { service, fingerprint, name, change, folder: temporaryFolder('target'), failures: [] });
    mkdirSync(path.join(this.folder, 'blobs'));
  }

  async register() {
    const { status, body } = await this.service.post('/v1/agents/register', { name: this.name, fingerprint: this.fingerprint });
    if (status !== 200) throw new Error(JSON.stringify(body));
    this.target = body.target_id;
    this.machineType = body.machine_type_id;
  }

  async #blob(hash) {
    const local = path.join(this.folder, 'blobs', hash);
    if (!existsSync(local)) {
      const answer = await fetch(`${this.service.url}/v1/blobs/${hash}`);
      writeFileSync(local, Buffer.from(await answer.arrayBuffer()));
    }
    return local;
  }

  async #fetchFiles(value) {
    if (!value || typeof value !== 'object') return;
    if (value.sha256 && value.path) value.local = await this.#blob(value.sha256);
    for (const child of Object.values(value)) await this.#fetchFiles(child);
  }

  #runWorker(spec, folder) {
    return new Promise((resolve, reject) => {
      const child = spawn(worker, [], { cwd: folder });
      let out = '', err = '';
      child.stdout.setEncoding('utf8').on('data', (text) => (out += text));
      child.stderr.setEncoding('utf8').on('data', (text) => (err += text));
      child.on('error', reject);
      child.stdin.on('error', () => {});
      child.stdin.end(JSON.stringify(spec));
      child.on('close', () => resolve(JSON.parse(out.trim().split('\n').at(-1) || `{"error": {"code": "crashed", "text": ${JSON.stringify(err)}}}`)));
    });
  }

  async #deliver(job, answer, folder) {
    const where = `/v1/agents/jobs/${job.id}`;
    if (answer.type !== 'result') {
      this.failures.push(`${job.kind} ${job.id}: ${answer.error?.text}`);
      return this.service.post(`${where}/failure`, { token: job.token, error: answer.error, crashed: false, log: '' });
    }
    const files = [];
    for (const { path: name } of answer.files) {
      const data = readFileSync(path.join(folder, name));
      files.push({ path: name, sha256: sha256(data), bytes: data.length });
      await fetch(`${this.service.url}/v1/blobs/${sha256(data)}`, { method: 'PUT', body: data });
    }
    const { status, body } = await this.service.post(`${where}/result`, { token: job.token, result: answer.result, files });
    if (status !== 200) throw new Error(`the service refuses a result: ${JSON.stringify(body)}`);
  }

  /** Runs jobs until the study has ended; gives it. */
  async work(study) {
    for (;;) {
      const { body: state } = await this.service.get(`/v1/studies/${study}`);
      if (!['queued', 'running'].includes(state.state)) return state;
      const { status, body } = await this.service.post('/v1/agents/claim', { target_id: this.target, wait_s: 1 });
      if (status === 204) { await sleep(20); continue; }
      const folder = mkdtempSync(path.join(this.folder, 'job-'));
      await this.#fetchFiles(body.job.spec);
      this.change(body.job.spec);
      const beat = setInterval(() => this.service.post(`/v1/agents/jobs/${body.job.id}/heartbeat`, { token: body.job.token, fraction: 0, text: '' }), 2000);
      try {
        await this.#deliver(body.job, await this.#runWorker(body.job.spec, folder), folder);
      } finally {
        clearInterval(beat);
      }
      rmSync(folder, { recursive: true });
    }
  }

  /** Uploads a file; gives {path, sha256}. */
  async upload(file) {
    const data = readFileSync(file), hash = sha256(data);
    await fetch(`${this.service.url}/v1/blobs/${hash}`, { method: 'PUT', body: data });
    return { path: path.basename(file), sha256: hash };
  }
}
