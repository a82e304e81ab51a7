// Figures as people read them; units always shown.
import type { Configuration, Cost } from './api';

export const bytes = (n: number | undefined): string => {
  if (n === undefined) return '–';
  const units = ['B', 'kB', 'MB', 'GB'];
  let unit = 0;
  for (; n >= 1000 && unit < 3; n /= 1000) unit++;
  return `${n.toFixed(unit === 0 || n >= 100 ? 0 : 1)} ${units[unit]}`;
};
export const us = (n: number | undefined): string =>
  n === undefined ? '–' : n < 100 ? `${n.toFixed(0)} µs` : n < 10000 ? `${(n / 1000).toFixed(2)} ms` : `${(n / 1000).toFixed(0)} ms`;
export const runtime = (c: Configuration): string =>
  c.runtime ? `${c.runtime.instances} × ${c.runtime.threads}${c.runtime.batch > 1 ? `, batch ${c.runtime.batch}` : ''}` : '–';
export const accuracy = (c: Configuration): string =>
  c.accuracy?.value === undefined ? '–' : c.accuracy.value.toFixed(Math.abs(c.accuracy.value) < 2 ? 4 : 3);
export const cost = (c: Configuration): Cost | null => c.usd_per_million ?? c.machine_hours_per_million ?? null;
export const costUnit = (c: Configuration | null): string => (c?.usd_per_million ? 'USD per million' : 'machine-hours per million');
// Three significant digits, never in exponent form.
export const significant = (n: number | null | undefined): string =>
  (n === null || n === undefined ? '–' : n === 0 ? '0' : n >= 100 ? n.toFixed(0) : n.toFixed(Math.max(0, 2 - Math.floor(Math.log10(n)))));
