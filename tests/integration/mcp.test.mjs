// A chatbot's way in: the official TypeScript SDK's client over Streamable HTTP.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasFashion, resnet, writeFashion } from '../support/samples.mjs';
import { Service, temporaryFolder } from '../support/service.mjs';

const skip = hasFashion ? false : "Debian's package dataset-fashion-mnist is not installed";
let service, client, study, answer;

before(async () => {
  if (skip) return;
  const folder = temporaryFolder('mcp');
  service = await Service.start({ folder });
  client = new Client({ name: 'pare-test', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', service.url)));
});
after(async () => {
  await client?.close();
  await service?.stop();
});

const call = (name, args = {}) => client.callTool({ name, arguments: args });

test('initialize: the client and the service agree on a revision, and the service says how to use it', { skip }, () => {
  assert.equal(client.getServerVersion().name, 'pare');
  assert.ok(client.getServerCapabilities().tools);
  assert.match(client.getInstructions(), /list_studies/);
});

test('an empty service says what a person has to do', { skip }, async () => {
  const { content, isError } = await call('list_studies');
  assert.ok(!isError);
  assert.match(content[0].text, /No study yet.*pare submit/);
});

test('tools/list: four tools with schemas, none of which changes anything', { skip }, async () => {
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((t) => t.name).sort(), ['compare', 'explain', 'list_studies', 'recommend']);
  for (const tool of tools) {
    assert.equal(tool.inputSchema.type, 'object');
    assert.equal(tool.inputSchema.additionalProperties, false);
    assert.ok(tool.description.length > 40 && tool.title);
    assert.equal(tool.annotations.readOnlyHint, true);
  }
});

test('list_studies: a finished study with its recommendation', { skip }, async () => {
  const data = writeFashion(service.folder, 'some-images', 't10k', 0, 500);
  const done = await service.pare(['submit', resnet, '--data', data, '--recipe', 'fp32', '--recipe', 'fp16', '--recipe', 'int8:static',
    '--threads', '1', '--floor', 'relative>=0.9', '--evaluate', 'all', '--output', 'json']);
  assert.equal(done.code, 0, done.stderr);
  const { content, structuredContent } = await call('list_studies');
  [{ id: study }] = structuredContent.items;
  assert.equal(structuredContent.items[0].state, 'done');
  assert.ok(content[0].text.includes(study) && content[0].text.includes(structuredContent.items[0].recommendation));
});

test('recommend: the same answer as over REST, under floors of the question', { skip }, async () => {
  const { structuredContent, content } = await call('recommend', { study });
  answer = structuredContent;
  assert.equal(answer.status, 'ok');
  assert.ok(content[0].text.startsWith(answer.summary));
  assert.deepEqual((await service.get(`/v1/recommendations/${answer.id}`)).body, answer);
  const impossible = await call('recommend', { study, budgets: ['p50<=1us'] });
  assert.equal(impossible.structuredContent.status, 'none');
  assert.match(impossible.content[0].text, /No configuration meets every limit/);
  const priced = await call('recommend', { study, price_per_hour: 0.1 });
  assert.match(priced.content[0].text, /USD per million/);
});

test('compare: paired figures of two configurations', { skip }, async () => {
  // Which recipe wins is for the machine to say: the baseline against any other that was evaluated.
  const other = [answer.choice, ...answer.runners_up, ...answer.rejected.items].find((c) => c.accuracy && c.variant !== answer.baseline.variant);
  const { structuredContent, isError } = await call('compare', { configurations: [answer.baseline.id, other.id] });
  assert.ok(!isError);
  assert.equal(structuredContent.items.length, 2);
  assert.match(structuredContent.accuracy[0].test, /Tango/);
  assert.ok(structuredContent.cost[0].ratio > 0);
});

test('explain: what decided against each of the others', { skip }, async () => {
  const all = await call('explain', { recommendation: answer.id });
  assert.ok(all.content[0].text.includes(answer.summary));
  const [first, second] = ['fp32', 'fp16', 'int8:static,act=u8'].filter((recipe) => recipe !== answer.choice.recipe);
  assert.ok(all.content[0].text.includes(`\n- ${first}, 1 x 1 threads`), all.content[0].text);
  const one = await call('explain', { recommendation: answer.id, recipe: second });
  assert.ok(one.content[0].text.includes(`- ${second}, `), one.content[0].text);
  assert.ok(!one.content[0].text.includes(`- ${first}, `), one.content[0].text);
});

test('an unknown tool is an error of the protocol, with the nearest name', { skip }, async () => {
  await assert.rejects(call('recomend', { study }), (e) => e.code === -32602 && /did you mean recommend/.test(e.message));
});

test('a bad argument is an error that the model reads', { skip }, async () => {
  const cases = [
    ['recommend', { study, floors: ['top2>=0.9'] }, /did you mean "top1"/],
    ['recommend', { study, floor: ['top1>=0.9'] }, /floor/],
    ['recommend', {}, /study/],
    ['recommend', { study: 'std_nothing' }, /std_nothing/],
    ['list_studies', { limit: 3 }, /limit/],
    ['compare', { configurations: [answer.choice.id] }, /2/],
    ['compare', { configurations: 'all' }, /configurations/],
    ['explain', {}, /recommendation/],
    ['explain', { recommendation: 'rec_nothing' }, /rec_nothing/],
    ['explain', { recommendation: answer.id, recipe: 'int4' }, /int4/],
  ];
  for (const [tool, args, expected] of cases) {
    const { isError, content } = await call(tool, args);
    assert.equal(isError, true, `${tool} ${JSON.stringify(args)}: ${content[0].text}`);
    assert.match(content[0].text, expected);
  }
});

test('the transport: notifications get 202, GET 405, a strange page 403, a strange revision and bad JSON 400', { skip }, async () => {
  const send = (body, headers = {}, method = 'POST') =>
    fetch(`${service.url}/mcp`, { method, body, headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers } });
  const note = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' });
  const ping = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });
  assert.equal((await send(note)).status, 202);
  assert.equal((await fetch(`${service.url}/mcp`)).status, 405);
  assert.equal((await send(ping, { origin: 'http://elsewhere.example' })).status, 403);
  assert.equal((await send(ping, { origin: service.url })).status, 200);
  assert.equal((await send(ping, { 'mcp-protocol-version': '1999-01-01' })).status, 400);
  const broken = await send('{"jsonrpc": ');
  assert.equal(broken.status, 400);
  assert.equal((await broken.json()).error.code, -32700);
});
