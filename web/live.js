// The one store of the page. An event stream and a few polls fill it; the page is drawn from it at most once a frame.
import {options} from './markup.js';
import {get, readEvents, serverNow, ApiError} from './api.js';

export const SMALL_FLEET = 40;     // up to so many nodes are cards with sparklines; more are tiles
const HISTORY = 60, LOG = 100, TOUCHED = 500, FRAMES = 1200;

export const store = {
  phase: 'opening',                // opening, live, stale
  staleSince: null, problem: null, needsToken: false, streaming: false,
  lastHeard: 0, lastEventAt: 0,
  nodes: new Map(), fleetVersion: 0, sampleVersion: 0,
  health: null, policy: null,
  incidents: [], incidentsKnown: false, blocked: [], faults: [], allFaults: [], kinds: [], composed: [],
  scenarios: null,                 // null: this server has none
  touched: new Map(),              // incident id -> rises with each event about it
  log: [], spoken: '', changes: 0,
};

/* --- drawing ------------------------------------------------------------------------------------------- */

const frames = [];                 // how long the last frames' work took, in ms, for tests and the curious
window.homeostat = {frames, store};
let draw = null, dirty = false, asked = false, waiting = [], rested = 0;
const turns = new Map();           // work that can wait for a frame that draws nothing else, by whom it is for
const ROOM_MS = 3;

function frame() {
  const began = performance.now();
  asked = false;
  const drawing = dirty && draw && began >= rested;
  if (drawing) {
    dirty = false;
    draw();
    // In a storm of events most of the time stays free for who presses a button.
    const ended = performance.now();
    rested = ended + Math.min(500, 4 * (ended - began));
  } else if (dirty) {
    setTimeout(ask, Math.max(1, rested - began));
  }
  const calls = waiting;
  waiting = [];
  for (const call of calls) call();
  if (turns.size && !drawing && performance.now() - began < ROOM_MS) {
    const [whose, call] = turns.entries().next().value;
    turns.delete(whose);
    call();
  }
  if (turns.size) ask();
  // The charts draw in a microtask of their own: counted, too.
  queueMicrotask(() => {
    if (frames.length >= FRAMES) frames.splice(0, FRAMES / 2);
    frames.push(performance.now() - began);
  });
}
function ask() {
  if (!asked) { asked = true; requestAnimationFrame(frame); }
}
// One at a time, each in a frame of its own; what was asked before for the same one is forgotten.
export function inTurn(whose, call) { turns.set(whose, call); ask(); }
export function notInTurn(whose) { turns.delete(whose); }
// What the browser calls within a frame, such as an observer of sizes, belongs to that frame's work.
export function within(call) {
  const began = performance.now();
  call();
  if (frames.length) frames[frames.length - 1] += performance.now() - began;
}
export function touch() {
  if (dirty) return;
  dirty = true;
  const rest = rested - performance.now();
  if (rest > 0) setTimeout(ask, rest); else ask();
}
export function startDrawing(how) {
  draw = how;
  options.debounceRendering = call => { waiting.push(call); ask(); };
  touch();
}

/* --- what is told -------------------------------------------------------------------------------------- */

// Runs at most once per `gap_ms`, never twice at once, and once more if it was asked for meanwhile.
function refresher(run, gap_ms) {
  let timer = null, busy = false, again = false, last = 0;
  const go = async () => {
    timer = null;
    busy = true;
    last = Date.now();
    try { await run(); touch(); } catch (error) { failed(error); }
    busy = false;
    if (again) { again = false; trigger(); }
  };
  function trigger() {
    if (busy) again = true;
    else if (!timer) timer = setTimeout(go, Math.max(40, last + gap_ms - Date.now()));
  }
  return trigger;
}

function failed(error) {
  if (error instanceof ApiError && error.status === 401 && !store.needsToken) { store.needsToken = true; touch(); }
  if (error instanceof ApiError && error.status !== 0 && error.status !== 401) { store.problem = error.message; touch(); }
  if (!(error instanceof ApiError)) throw error;
}

export const refreshIncidents = refresher(async () => {
  store.incidents = (await get('/v1/incidents?limit=100')).incidents;
  store.incidentsKnown = true;
}, 500);
export const refreshBlocked = refresher(async () => { store.blocked = (await get('/v1/blocked?limit=100')).blocked; }, 700);
export const refreshFaults = refresher(async () => {
  const answer = await get('/v1/faults?active=true');
  Object.assign(store, {faults: answer.faults, kinds: answer.kinds, composed: answer.composed});
}, 400);
// Those of before as well, for the charts and the list of what was broken.
export const refreshPast = refresher(async () => { store.allFaults = (await get('/v1/faults')).faults; }, 2000);
export const refreshPolicy = refresher(async () => { store.policy = await get('/v1/policy?effective=true'); }, 1000);
export const refreshScenarios = refresher(async () => {
  try { store.scenarios = await get('/v1/scenarios'); } catch (error) {
    if (error.status !== 404 && error.status !== 405) throw error;
    store.scenarios = null;
  }
}, 900);

function takeNodes(nodes) {
  const next = new Map(), keep = nodes.length <= 2 * SMALL_FLEET, now = serverNow();
  let changed = nodes.length !== store.nodes.size;
  for (const node of nodes) {
    const old = store.nodes.get(node.node);
    node.heardAt = now - (node.last_report_age_s ?? 0) * 1000;
    node.history = old?.history ?? [];
    const fresh = !old || old.sequence !== node.sequence || old.boot !== node.boot;
    if (fresh && node.last_report_age_s != null) store.lastEventAt = Math.max(store.lastEventAt, Date.now() - node.last_report_age_s * 1000);
    if (keep && fresh) {
      node.history.push(node.samples?.cpu_utilization ?? null);
      if (node.history.length > HISTORY) node.history.shift();
    }
    if (!old || old.health !== node.health || old.incident !== node.incident || old.role !== node.role || old.zone !== node.zone ||
        old.maintained_until !== node.maintained_until || old.calls.join() !== node.calls.join()) changed = true;
    next.set(node.node, node);
  }
  store.nodes = next;
  store.sampleVersion++;
  if (changed) store.fleetVersion++;
}

// The sparklines begin with what the control plane has in memory.
async function recall() {
  const names = store.nodes.size <= SMALL_FLEET ? [...store.nodes.keys()] : [];
  const one = async () => {
    for (let name = names.shift(); name != null; name = names.shift()) {
      try {
        const {points} = await get('/v1/nodes/' + encodeURIComponent(name) + '/metrics?metric=cpu_utilization');
        const node = store.nodes.get(name);
        if (!node) continue;
        const mine = node.history.length;
        node.history.unshift(...points.slice(0, Math.max(0, points.length - mine)).map(p => p[1]).slice(mine - HISTORY));
        store.nodes.set(name, {...node});
        touch();
      } catch { /* then the line begins now */ }
    }
  };
  await Promise.all([one(), one(), one()]);
}

// News of one node alone.
export function watchOne(node) {
  const old = store.nodes.get(node.node);
  if (!old || old.sequence === node.sequence) return;
  node.heardAt = serverNow() - (node.last_report_age_s ?? 0) * 1000;
  node.history = old.history;
  store.nodes.set(node.node, node);
  if (old.health !== node.health) store.fleetVersion++;
  store.lastHeard = Date.now();
  store.lastEventAt = Math.max(store.lastEventAt, Date.now() - (node.last_report_age_s ?? 0) * 1000);
  touch();
}

const WORTH_SAYING = new Set(['incident', 'notice', 'control']);
let announcedAt = 0, unsaid = 0;
function announce(event) {
  if (!WORTH_SAYING.has(event.kind)) return;
  if (Date.now() - announcedAt < 1500) { unsaid++; return; }
  announcedAt = Date.now();
  store.spoken = [event.node, event.text].filter(Boolean).join(': ') + (unsaid ? ` (and ${unsaid} more changes)` : '');
  unsaid = 0;
}

function hear(raw) {
  let event;
  try { event = JSON.parse(raw.data); } catch { return; }
  event.kind = raw.event;
  event.id = raw.id;
  store.lastEventAt = Date.now();
  store.changes++;
  store.log.push(event);
  if (store.log.length > LOG) store.log.splice(0, LOG / 2);
  if (event.incident != null) {
    store.touched.delete(event.incident);
    store.touched.set(event.incident, store.changes);
    if (store.touched.size > TOUCHED) store.touched.delete(store.touched.keys().next().value);
  }
  if (event.kind === 'node') {
    const node = store.nodes.get(event.node);
    if (node && node.health !== event.state) { store.nodes.set(event.node, {...node, health: event.state}); store.fleetVersion++; }
    if (!node) pollSoon();
  } else if (event.kind === 'fault') {
    refreshFaults();
    refreshPast();
  } else if (event.kind === 'control') {
    pollSoon();
    refreshPolicy();
  } else if (event.kind === 'notice') {
    refreshPolicy();                // a new one is told by a notice
  } else {
    refreshIncidents();
    refreshBlocked();
  }
  announce(event);
  touch();
}

/* --- keeping in touch ---------------------------------------------------------------------------------- */

const sleep = (ms, signal) => new Promise(done => {
  const timer = setTimeout(done, ms);
  signal?.addEventListener('abort', () => { clearTimeout(timer); done(); }, {once: true});
});
let wake = new AbortController(), patience = 0;   // a page that was hidden was not polled: that is no staleness
export function pollSoon() { wake.abort(); }

export const pollGap = () => store.nodes.size > 200 ? 3000 : 1000;

async function pollOnce() {
  const [nodes, health] = await Promise.all([get('/v1/nodes', {timeout_ms: 8000}), get('/healthz', {timeout_ms: 8000, accept: [503]})]);
  takeNodes(nodes.nodes);
  store.health = health;
  store.problem = null;
  store.lastHeard = Date.now();
  store.needsToken = false;
  if (store.phase !== 'live') {
    // After a silence everything may be different.
    if (store.phase === 'opening') recall();
    store.phase = 'live';
    store.staleSince = null;
    refreshIncidents(); refreshBlocked(); refreshFaults(); refreshPast(); refreshPolicy(); refreshScenarios();
  }
}

function noteStale() {
  if (store.phase === 'live' && Date.now() - store.lastHeard > pollGap() + 2500 && Date.now() > patience && !document.hidden) {
    store.phase = 'stale';
    store.staleSince = store.lastHeard;
    store.spoken = 'The page is stale: the control plane does not answer.';
    touch();
  }
}

async function poll() {
  for (let failures = 0;;) {
    const before = Date.now();
    try { await pollOnce(); failures = 0; } catch (error) {
      failures++;
      failed(error);
      if (store.phase === 'opening') store.staleSince ??= Date.now();
    }
    noteStale();
    touch();
    wake = new AbortController();
    const gap = failures ? Math.min(5000, 500 * failures) : pollGap();
    await sleep(Math.max(100, gap - (Date.now() - before)), wake.signal);
  }
}

async function stream() {
  let after = null, pause = 500;
  for (;;) {
    const stop = new AbortController();
    try {
      await readEvents(after, event => { after = event.id ?? after; hear(event); }, () => {
        pause = 500;
        if (!store.streaming) {
          store.streaming = true;
          // What happened while nobody listened and is not replayed: asked for.
          refreshIncidents(); refreshBlocked(); refreshFaults();
          touch();
        }
      }, stop.signal);
    } catch (error) {
      if (error.status === 401) store.needsToken = true;
    }
    stop.abort();
    store.streaming = false;
    touch();
    await sleep(pause);
    pause = Math.min(10000, pause * 2);
  }
}

export function startListening() {
  poll();
  stream();
  // Leases end, plans lapse and counts of what was held back rise without an event that this page is sure to hear.
  setInterval(() => { if (store.phase === 'live' && !document.hidden) { refreshFaults(); refreshBlocked(); } }, 5000);
  setInterval(() => { if (store.phase === 'live' && !document.hidden && store.scenarios?.running) refreshScenarios(); }, 1000);
  setInterval(() => { if (store.phase === 'live' && !document.hidden) { refreshScenarios(); refreshIncidents(); } }, 15000);
  setInterval(noteStale, 500);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) { patience = Date.now() + 3000; pollSoon(); }
  });
}
