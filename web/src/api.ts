// The service's JSON, as advisor/http/openapi.json describes it, and the few calls the page makes.

export interface Accuracy {
  metric: string; value: number; lower: number | null; upper: number | null; drop: number | null; drop_upper: number | null;
  n: number; test: string | null; floor: string | null;
}
// A variant that could not be made is listed among the rejected with its recipe and reason only.
export interface Configuration {
  id?: string; variant: string; recipe: string; reason?: string; explanation?: string | null; provenance?: string; machine_type?: string; machine?: string;
  runtime?: { instances: number; threads: number; batch: number };
  accuracy?: Accuracy | null;
  latency_us?: Record<string, number>;
  throughput_per_s?: number | null; memory_mib?: number | null; size_bytes?: number;
  usd_per_million?: Cost | null; machine_hours_per_million?: Cost | null;
}
export interface Cost { value: number; low: number; high: number }
export interface Answer {
  id: string; status: 'ok' | 'undecided' | 'none'; summary: string; confidence: number; floors: string[]; budgets: string[];
  baseline: Configuration | null; choice: Configuration | null;
  runners_up: Configuration[]; frontier: Configuration[]; undecided: Configuration[];
  rejected: { total: number; by_reason: Record<string, number>; items: Configuration[] };
  skipped?: { recipe: string; settings: 'all' | 'others'; reason: string }[];
  nearest_miss: Configuration | null; relaxations: { text: string }[];
}
export interface Step { job: string; kind: string; recipe: string; fraction: number; text: string }
export interface Study {
  id: string; state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'; created_at: string;
  model: { id: string; name: string; family: string }; dataset: { id: string; name: string };
  floors: string[]; budgets: string[]; recipes: string[]; notes: string[];
  progress: { done: number; total: number; fraction: number; current: Step[] };
  recommendation: string | null; error: { code: string; text: string } | null;
}
export interface Target { id: string; name: string; state: string; price_per_hour?: number | null }

const tokenKey = 'pare-token';
export const saveToken = (token: string) => sessionStorage.setItem(tokenKey, token);

export class ApiError extends Error {
  constructor(readonly status: number, message: string) { super(message); }
}

function headers(): Record<string, string> {
  const token = sessionStorage.getItem(tokenKey);
  return token ? { authorization: `Bearer ${token}` } : {};
}

async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(path, {
    method, signal,
    headers: { ...headers(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, problem.detail ?? problem.title ?? `the service answered ${answer.status}`);
  }
  return answer.json();
}

export const listStudies = () => call<{ items: Study[] }>('GET', '/v1/studies?limit=100').then((l) => l.items);
export const getStudy = (id: string) => call<Study>('GET', `/v1/studies/${id}`);
export const listTargets = () => call<{ items: Target[] }>('GET', '/v1/targets').then((l) => l.items);
export const getRecommendation = (id: string) => call<Answer>('GET', `/v1/recommendations/${id}`);
export interface Question { study: string; floors: string[]; budgets: string[]; price_per_hour?: number }
export const recommend = (question: Question, signal?: AbortSignal) => call<Answer>('POST', '/v1/recommendations', question, signal);

// Reads a study's Server-Sent Events with fetch, because EventSource cannot send a token. Ends with the stream or the signal.
export async function followEvents(id: string, onEvent: (event: string, data: any) => void, signal: AbortSignal): Promise<void> {
  const answer = await fetch(`/v1/studies/${id}/events`, { headers: headers(), signal });
  if (!answer.ok || !answer.body) throw new ApiError(answer.status, 'the progress of this study cannot be followed');
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll('\r', '');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const field = (name: string) => block.split('\n').filter((l) => l.startsWith(`${name}:`)).map((l) => l.slice(name.length + 1).trim()).join('\n');
      if (field('data')) onEvent(field('event') || 'message', JSON.parse(field('data')));
    }
  }
}
