// Writes a picture of the dashboard of a running service, for the README.
// Usage: node scripts/screenshot.mjs URL[#/STUDY] FILE.png [light|dark] [WIDTHxHEIGHT]      (needs the packages of tests/ and Debian's chromium)
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [url, file, scheme = 'light', size = '1280x900'] = process.argv.slice(2);
if (!url || !file) {
  console.error('usage: node scripts/screenshot.mjs URL FILE.png [light|dark] [WIDTHxHEIGHT]');
  process.exit(2);
}
const { chromium } = createRequire(new URL('../tests/package.json', import.meta.url))('playwright-core');
const [width, height] = size.split('x').map(Number);
const profile = mkdtempSync(path.join(tmpdir(), 'pare-screenshot-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium', headless: true, viewport: { width, height }, colorScheme: scheme,
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  page.on('console', (m) => m.type() === 'error' && console.error(m.text()));
  await page.goto(url);
  await page.locator('.summary').waitFor();
  await page.locator('.chart svg').waitFor();
  await page.screenshot({ path: file });
} finally {
  await browser.close();
  rmSync(profile, { recursive: true, force: true });
}
