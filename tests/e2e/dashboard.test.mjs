// The dashboard of a real service with a real study, in a real browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasChromium, openBrowser } from '../support/browser.mjs';
import { hasFashion, resnet, writeFashion } from '../support/samples.mjs';
import { Service, temporaryFolder } from '../support/service.mjs';

const skip = !hasChromium ? 'there is no /usr/bin/chromium' : !hasFashion ? "Debian's package dataset-fashion-mnist is not installed" : false;
let service, browser, page, answer, data;

before(async () => {
  if (skip) return;
  const folder = temporaryFolder('dashboard');
  service = await Service.start({ folder });
  data = writeFashion(folder, 'some-images', 't10k', 0, 500);
  const run = await service.pare(['submit', resnet, '--data', data, '--threads', '1', '--recipe', 'fp32', '--recipe', 'fp16', '--recipe', 'int8:static',
    '--evaluate', 'all', '--floor', 'relative>=0.95', '--output', 'json']);
  assert.equal(run.code, 0, run.stderr);
  answer = JSON.parse(run.stdout);
  browser = await openBrowser();
  page = await browser.context.newPage();
  await page.goto(service.url);
});
after(async () => {
  await browser?.close();
  await service?.stop();
});

const cells = (key) => page.locator(`tbody td.${key}`).allInnerTexts();

test('the page shows the answer: its sentence, its figures, who made it', { skip }, async () => {
  await page.locator('.summary').waitFor();
  assert.equal(await page.locator('.summary').innerText(), answer.summary);
  assert.equal(await page.locator('.summary').getAttribute('data-status'), 'ok');
  assert.equal(await page.locator('nav a[aria-current=page]').count(), 1);
  assert.match(await page.locator('.targets').innerText(), /online/);
  const figures = await page.locator('.figures').innerText();
  assert.ok(figures.includes(answer.choice.accuracy.value.toFixed(4)), figures);
  assert.match(figures, /× less than fp32/);
  assert.ok((await page.locator('main').innerText()).includes(answer.id));
});

test('the table has one row a configuration, the choice first, each with its reason', { skip }, async () => {
  const ids = new Set([answer.baseline, answer.choice, ...answer.runners_up, ...answer.undecided, ...answer.rejected.items].map((c) => c.id ?? c.variant));
  assert.equal(await page.locator('tbody tr').count(), ids.size);
  const first = page.locator('tbody tr').first();
  assert.equal(await first.getAttribute('class'), 'choice');
  assert.equal(await first.locator('td.recipe').innerText(), answer.choice.recipe);
  const why = (await first.locator('td.why').innerText()).split(/\s*speed: /);
  assert.deepEqual(why, [answer.choice.reason, answer.choice.explanation].filter((text) => text), 'the reason, then what its speed comes from');
  for (const reason of await cells('why')) assert.ok(reason.length > 10, 'every row says why');
});

test('the chart has a point for every evaluated configuration, and the floor', { skip }, async () => {
  const evaluated = new Set([answer.baseline, answer.choice, ...answer.runners_up, ...answer.undecided, ...answer.rejected.items]
    .filter((c) => c.accuracy).map((c) => c.id));
  await page.locator('.chart svg').waitFor();
  const floor = 0.95 * answer.baseline.accuracy.value;
  assert.match(await page.locator('.chart svg').innerHTML(), new RegExp(`floor ${floor.toFixed(4)}`));
  const points = page.locator('.chart svg path[transform^=matrix]'); // ECharts draws each point as a unit shape under a matrix
  assert.equal(await points.count(), evaluated.size);
  const plot = await page.locator('.chart').boundingBox();
  for (const point of await points.all()) {
    const at = await point.boundingBox();
    assert.ok(at.x >= plot.x && at.x + at.width <= plot.x + plot.width && at.y >= plot.y && at.y + at.height <= plot.y + plot.height, 'a point lies outside');
  }
  const box = await page.locator('.chart svg').boundingBox();
  assert.ok(box.width > 600 && box.height > 200, JSON.stringify(box));
});

test('moving the floor asks again, and the answer changes', { skip }, async () => {
  const slider = page.locator('input[name=floor]');
  assert.equal(await slider.inputValue(), '95');
  await slider.focus();
  const [reply] = await Promise.all([page.waitForResponse((r) => r.url().endsWith('/v1/recommendations') && r.request().method() === 'POST'), slider.press('End')]);
  const strict = await reply.json();
  assert.deepEqual(strict.floors, ['relative>=1']);
  assert.notEqual(strict.summary, answer.summary, '500 examples cannot show that nothing at all is lost');
  await page.locator('.summary', { hasText: strict.summary }).waitFor();
  assert.match(await page.locator('.controls output').first().innerText(), /^100\.0 %$/);
  await Promise.all([page.waitForResponse((r) => r.url().endsWith('/v1/recommendations')), slider.press('Home')]);
  await page.locator('.summary[data-status=ok]').waitFor();
});

test('a budget and a price change the answer too', { skip }, async () => {
  const ask = (name, text) => Promise.all([page.waitForResponse((r) => r.url().endsWith('/v1/recommendations')), page.locator(`input[name=${name}]`).fill(text)]);
  await ask('price', '0.11');
  await page.locator('.summary', { hasText: 'USD per million' }).waitFor();
  await ask('price', '');
  await ask('p99', '0.000001');
  await page.locator('.summary[data-status=none], .summary[data-status=undecided]').waitFor();
  await ask('p99', '');
  await page.locator('.summary[data-status=ok]').waitFor();
});

test('a click on a heading sorts the table, another turns it round', { skip }, async () => {
  const heading = page.locator('th', { hasText: 'per s' });
  const figures = async () => (await cells('rate')).map(Number);
  await heading.locator('button').click();
  assert.equal(await heading.getAttribute('aria-sort'), 'ascending');
  const up = await figures();
  assert.deepEqual(up, [...up].sort((a, b) => a - b));
  await heading.locator('button').click();
  assert.equal(await heading.getAttribute('aria-sort'), 'descending');
  const down = await figures();
  assert.deepEqual(down, [...down].sort((a, b) => b - a));
});

test('a running study shows its progress, and its answer when it ends, without a reload', { skip }, async () => {
  const { stdout } = await service.pare(['submit', resnet, '--data', data, '--threads', '1', '--recipe', 'fp32', '--recipe', 'int4', '--floor', 'relative>=0.9', '--detach']);
  await page.goto(`${service.url}/#/${stdout.trim()}`);
  await page.locator('section[aria-label=Progress] progress').waitFor();
  assert.match(await page.locator('section[aria-label=Progress]').innerText(), /\d+ of \d+ steps/);
  await page.locator('.summary').waitFor({ timeout: 120_000 });
  assert.match(await page.locator('.summary').innerText(), /costs .* per million/);
  assert.ok((await cells('recipe')).includes('int4'));
});

test('dark and light: text stands out from what is behind it, and nothing is wider than the window', { skip }, async () => {
  for (const scheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: scheme });
    const [text, behind] = await page.evaluate(() => {
      const canvas = document.createElement('canvas').getContext('2d');
      const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((sum, v) => sum + v, 0) / 765;
      };
      const probe = document.createElement('div');
      probe.style.color = 'CanvasText';
      probe.style.backgroundColor = 'Canvas';
      document.body.append(probe);
      const style = getComputedStyle(probe), found = [light(getComputedStyle(document.querySelector('.summary')).color), light(style.backgroundColor)];
      probe.remove();
      return found;
    });
    assert.ok(Math.abs(text - behind) > 0.6, `${scheme}: ${text} on ${behind}`);
    assert.equal(behind < 0.5, scheme === 'dark');
  }
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');
});

test('no errors in the console, nothing loaded from elsewhere', { skip }, async () => {
  assert.deepEqual(browser.errors, []);
  const sources = await page.evaluate(() => performance.getEntriesByType('resource').map((e) => new URL(e.name).origin));
  assert.deepEqual([...new Set(sources)], [service.url]);
});
