// Talks to the control plane. Every failure is an ApiError whose message is what the API said, as text.

let token = null;
try { token = sessionStorage.getItem('homeostat-token'); } catch { /* storage may be switched off; then the token lives as long as the page */ }

export class ApiError extends Error {
  constructor(message, status, problem) {
    super(message);
    this.status = status;       // 0: no answer at all
    this.problem = problem;
  }
}

export function useToken(text) {
  token = text || null;
  try {
    if (token) sessionStorage.setItem('homeostat-token', token);
    else sessionStorage.removeItem('homeostat-token');
  } catch { /* as above */ }
}

export function headers(more) {
  return token ? {Authorization: 'Bearer ' + token, ...more} : {...more};
}

async function problemOf(response) {
  let problem = null;
  try { problem = await response.json(); } catch { /* not JSON: the status must do */ }
  let text = problem?.detail || problem?.title || 'the control plane answered ' + response.status;
  if (problem?.errors?.length)
    text += ': ' + problem.errors.slice(0, 5).map(e => `line ${e.line}: ${e.text}`).join('; ');
  const later = response.headers.get('Retry-After');
  if (response.status === 429 && later && !text.includes('again in')) text += ` (try again in ${later} s)`;
  return new ApiError(text, response.status, problem);
}

// How far the server's clock is ahead of ours, in ms. Its Date has whole seconds only, so less is not believed.
export let clockAhead = 0;
function hearClock(response) {
  const theirs = Date.parse(response.headers.get('Date') ?? '');
  if (!isNaN(theirs)) clockAhead = Math.abs(theirs + 500 - Date.now()) > 1500 ? theirs + 500 - Date.now() : 0;
}
export const serverNow = () => Date.now() + clockAhead;

export async function call(method, path, body, {timeout_ms = 10000, accept = []} = {}) {
  let response;
  const init = {method, headers: headers(), signal: AbortSignal.timeout(timeout_ms), cache: 'no-store'};
  if (body !== undefined) {
    init.headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(body);
  }
  try {
    response = await fetch(path, init);
    hearClock(response);
    if (!response.ok && !accept.includes(response.status)) throw await problemOf(response);
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(error.name === 'TimeoutError' ? 'the control plane did not answer in time' : 'the control plane cannot be reached', 0);
  }
}
export const get = (path, options) => call('GET', path, undefined, options);
export const post = (path, body) => call('POST', path, body);
export const del = path => call('DELETE', path);
export const put = (path, body) => call('PUT', path, body);

export const node = id => '/v1/nodes/' + encodeURIComponent(id);
export const incident = id => '/v1/incidents/' + encodeURIComponent(id);
export const fault = id => '/v1/faults/' + encodeURIComponent(id);

// Reads the event stream for ever; `hear` gets {id, event, data}. Ends by throwing, when the stream does.
export async function readEvents(after, hear, alive, signal) {
  const response = await fetch('/v1/events', {
    headers: headers({Accept: 'text/event-stream', ...(after ? {'Last-Event-ID': after} : {})}), signal, cache: 'no-store',
  });
  if (!response.ok) throw await problemOf(response);
  alive();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) throw new ApiError('the event stream ended', 0);
    alive();
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    if (rest.length > 1 << 20) throw new ApiError('the event stream makes no sense', 0);
    for (const block of blocks) {
      const event = {id: null, event: 'message', data: ''};
      for (const line of block.split('\n')) {
        const colon = line.indexOf(':');
        if (colon < 1) continue;
        const name = line.slice(0, colon), text = line.slice(colon + 1).replace(/^ /, '');
        if (name === 'data') event.data += text;
        else if (name === 'id' || name === 'event') event[name] = text;
      }
      if (event.data) hear(event);
    }
  }
}
