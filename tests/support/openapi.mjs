// openapi.mjs -- checks real answers against advisor/http/openapi.json.
import { readFileSync } from 'node:fs';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

export const document = JSON.parse(readFileSync(new URL('../../advisor/http/openapi.json', import.meta.url), 'utf8'));
const ajv = new Ajv2020({ strict: false, allErrors: true, formats: { binary: true } });
addFormats(ajv);
ajv.addSchema({ $id: 'pare:', ...document });
const compiled = new Map();

function resolve(object) {
  return object?.$ref ? object.$ref.slice(2).split('/').reduce((o, key) => o[key.replace(/~1/g, '/').replace(/~0/g, '~')], document) : object;
}

function pointer(parts) {
  return 'pare:#/' + parts.map((part) => encodeURIComponent(part.replace(/~/g, '~0').replace(/\//g, '~1'))).join('/');
}

/** The path of the document that a real path belongs to. */
export function documentPath(path) {
  const found = Object.keys(document.paths).filter((known) => {
    const pattern = known.replace(/[.]/g, '\\.').replace(/\{[^}]+\}/g, '[^/]+');
    return new RegExp(`^${pattern}$`).test(path);
  });
  return found.sort((a, b) => a.split('{').length - b.split('{').length)[0];
}

/** Throws unless the document allows this status, content type and body for the request. */
export function check(method, path, answer) {
  const template = documentPath(new URL(path, 'http://x').pathname);
  const operation = document.paths[template]?.[method.toLowerCase()];
  const where = `${method} ${path}`;
  if (!operation) throw new Error(`${where} is not in the document`);
  const declared = operation.responses[answer.status];
  if (!declared) throw new Error(`${where}: status ${answer.status} is not in the document: ${answer.text?.slice(0, 300)}`);
  const content = resolve(declared).content;
  if (!content) return;
  const type = Object.keys(content).find((known) => answer.type.split(';')[0] === known);
  if (!type) throw new Error(`${where}: ${answer.status} came as "${answer.type}", not as ${Object.keys(content)}`);
  if (!/json/.test(type)) return;
  const base = declared.$ref ? declared.$ref.slice(2).split('/') : ['paths', template, method.toLowerCase(), 'responses', String(answer.status)];
  const key = pointer([...base, 'content', type, 'schema']);
  if (!compiled.has(key)) compiled.set(key, ajv.compile({ $ref: key }));
  const validate = compiled.get(key);
  if (!validate(answer.body)) {
    throw new Error(`${where} (${answer.status}) is not as the document says:\n${ajv.errorsText(validate.errors, { separator: '\n' })}\n${JSON.stringify(answer.body).slice(0, 2000)}`);
  }
}

/** One request: {status, headers, type, text, body}; an object is sent as JSON, anything else as it is. */
export async function request(url, method = 'GET', body = undefined, headers = {}) {
  const isJson = body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array);
  const answer = await fetch(url, {
    method,
    headers: { ...(isJson ? { 'content-type': 'application/json' } : {}), ...headers },
    body: isJson ? JSON.stringify(body) : body,
  });
  const text = await answer.text();
  const type = answer.headers.get('content-type') ?? '';
  return { status: answer.status, headers: answer.headers, type, text, body: /json/.test(type) && text ? JSON.parse(text) : text };
}
