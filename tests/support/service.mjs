// service.mjs -- starts the real `pare serve` on a free port with a data folder of its own, and runs the other verbs against it.
// PARE_BIN names the folder of the programs (default build/bin).
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const binaries = path.resolve(process.env.PARE_BIN ?? path.join(root, 'build/bin'));
export const pareProgram = path.join(binaries, 'pare');

/** A folder that is removed when the test process ends. */
export function temporaryFolder(name = 'test') {
  const folder = mkdtempSync(path.join(tmpdir(), `pare-${name}-`));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs `pare ARGS...`; settles with {code, signal, stdout, stderr} however it ends. */
export function runPare(args, { env = {}, cwd = root, onStderr } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(pareProgram, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '', stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => { stderr += text; onStderr?.(stderr, child); });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** One running service. Stop it with stop(); kill() ends it as a power cut would, and start() brings it back over the same data. */
export class Service {
  constructor({ folder = temporaryFolder('service'), args = [] } = {}) {
    this.folder = folder;
    this.args = args;
    this.log = '';
  }

  static async start(options) {
    const service = new Service(options);
    await service.start();
    return service;
  }

  start() {
    this.child = spawn(pareProgram, ['serve', '--data', path.join(this.folder, 'data'), '--listen', '127.0.0.1:0', ...this.args],
      { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = new Promise((resolve) => this.child.on('close', (code, signal) => resolve({ code, signal })));
    this.child.stderr.setEncoding('utf8').on('data', (text) => (this.log += text));
    return new Promise((resolve, reject) => {
      let said = '';
      this.child.on('error', reject);
      this.child.stdout.setEncoding('utf8').on('data', (text) => {
        said += text;
        this.url = /^Pare serves on (\S+)/m.exec(said)?.[1];
        if (this.url) resolve(this);
      });
      this.ended.then(({ code, signal }) => reject(new Error(`pare serve ended (${code ?? signal}) before it served:\n${this.log}`)));
    });
  }

  /** Asks it to stop and waits; gives {code, signal}. */
  stop() {
    if (this.child?.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    return this.ended;
  }

  kill() {
    this.child.kill('SIGKILL');
    return this.ended;
  }

  /** Waits until its own agent has measured the machine and registered it. */
  async agentRegistered() {
    while ((await this.get('/v1/targets')).body.items.length === 0) await new Promise((done) => setTimeout(done, 50));
  }

  /** A verb that talks to this service. */
  pare(args, options = {}) {
    return runPare(args, { ...options, env: { PARE_SERVER: this.url, ...options.env } });
  }

  /** {status, headers, body} of one request; a body that is JSON comes parsed. */
  async request(method, where, body) {
    const answer = await fetch(this.url + where, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    const isJson = /json/.test(answer.headers.get('content-type') ?? '');
    return { status: answer.status, headers: answer.headers, text, body: isJson && text ? JSON.parse(text) : text };
  }

  get(where) { return this.request('GET', where); }
  post(where, body) { return this.request('POST', where, body); }
}
