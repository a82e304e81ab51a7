// browser.mjs -- Debian's Chromium with a profile of its own; every error of a page is kept.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { temporaryFolder } from './service.mjs';

const program = '/usr/bin/chromium';
export const hasChromium = existsSync(program);

/** {context, errors, close()}: open pages with context.newPage(). */
export async function openBrowser(colorScheme = 'light') {
  const context = await chromium.launchPersistentContext(temporaryFolder('chromium'), {
    executablePath: program, headless: true, viewport: { width: 1280, height: 900 }, colorScheme,
    args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const errors = [];
  context.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
  context.on('weberror', (e) => errors.push(String(e.error())));
  context.on('requestfailed', (r) => !/ERR_ABORTED/.test(r.failure()?.errorText ?? '') && errors.push(`${r.url()}: ${r.failure()?.errorText}`));
  return { context, errors, close: () => context.close() };
}
