// One list of configurations out of an answer, each with what became of it.
import type { Answer, Configuration } from './api';

export type Role = 'choice' | 'baseline' | 'frontier' | 'qualifies' | 'undecided' | 'rejected';
export interface Row { role: Role; c: Configuration }

export const keyOf = (c: Configuration): string => c.id ?? c.variant;

export function rowsOf(answer: Answer): Row[] {
  const rows = new Map<string, Row>();
  const add = (role: Role, list: (Configuration | null)[]) => {
    for (const c of list) if (c && !rows.has(keyOf(c))) rows.set(keyOf(c), { role, c });
  };
  add('choice', [answer.choice]);
  add('baseline', [answer.baseline]);
  add('frontier', answer.frontier);
  add('qualifies', answer.runners_up);
  add('undecided', answer.undecided);
  add('rejected', answer.rejected.items);
  // The frontier's entries and the baseline carry no reason: take it from where the same configuration is listed again.
  for (const c of [...answer.runners_up, ...answer.undecided, ...answer.rejected.items]) {
    const row = rows.get(keyOf(c));
    if (row && !row.c.reason && c.reason) row.c = { ...row.c, reason: c.reason };
    if (row && row.role === 'frontier' && answer.rejected.items.includes(c)) row.role = 'rejected';
  }
  return [...rows.values()];
}
