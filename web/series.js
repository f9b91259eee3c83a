// The values of one metric of one node over a stretch of time: read from the control plane, and continued by the live samples.
import {useState, useEffect, useRef} from './markup.js';
import {store} from './live.js';
import {get, node as nodePath, clockAhead} from './api.js';

export const RANGES = [
  {word: '1 min', title: 'Last minute', s: 60}, {word: '5 min', title: 'Last 5 minutes', s: 300}, {word: '1 h', title: 'Last hour', s: 3600},
  {word: '6 h', title: 'Last 6 hours', s: 21600}, {word: '1 day', title: 'Last day', s: 86400}, {word: 'All', title: 'All that is stored', s: null},
];
const POINTS = 300, RAW_UP_TO = 300, LONGEST = 3600;

// What the page knows of the server's time: it stands still while nothing is heard.
export const heardUntil = () => (store.lastHeard + clockAhead) / 1000;

function stepFor(span_s) {
  return span_s <= RAW_UP_TO ? null : Math.max(1, Math.ceil(span_s / POINTS));
}
const stepText = s => s % 3600 === 0 ? s / 3600 + 'h' : s + 's';
const instant = s => new Date(s * 1000).toISOString();

async function read(id, metric, from, to, step) {
  const query = new URLSearchParams({metric, from: instant(from), to: instant(to)});
  if (step) query.set('step', stepText(step));
  return (await get(nodePath(id) + '/metrics?' + query)).points.map(point => {
    const at = Date.parse(point[0]) / 1000;
    return point.length > 2 ? [at, point[1], point[2], point[3]] : [at, point[1], point[1], point[1]];
  });
}

// All there is: first roughly, then as finely as its length allows.
async function readAll(id, metric, to) {
  let points = await read(id, metric, 0, to, 3600);
  if (points.length && to - points[0][0] < 400 * 3600) {
    const from = points[0][0], step = stepFor(to - from) ?? 1;
    points = await read(id, metric, from, to, Math.max(step, Math.ceil((to - from) / LONGEST)));
  }
  return points;
}

// Where nothing was heard for long, the line has a hole.
function columns(points, step) {
  let usual = step;
  if (!usual) {
    const gaps = [];
    for (let i = 1; i < points.length; i++) gaps.push(points[i][0] - points[i - 1][0]);
    usual = gaps.sort((a, b) => a - b)[gaps.length >> 1] || 1;
  }
  const data = [[], [], [], []];
  points.forEach((point, i) => {
    if (i && point[0] - points[i - 1][0] > Math.max(3.5 * usual, 2)) {
      data[0].push((point[0] + points[i - 1][0]) / 2);
      for (const c of [1, 2, 3]) data[c].push(null);
    }
    point.forEach((value, c) => data[c].push(value));
  });
  return data;
}

export function useSeries(id, metric, view) {
  const held = useRef(null), [, redraw] = useState(0);
  const key = [id, metric, view.s, view.from, view.to].join('|');
  if (held.current?.key !== key) held.current = {key, points: [], data: [[], [], [], []], version: 0, loaded: false, problem: null, step: null};
  const series = held.current;

  useEffect(() => {
    let gone = false;
    const load = async () => {
      const to = view.to ?? heardUntil(), from = view.from ?? (view.s ? to - view.s : null);
      const step = from == null ? null : stepFor(to - from);
      try {
        const points = from == null ? await readAll(id, metric, to) : await read(id, metric, from - (step ?? 2), to + 1, step);
        if (gone) return;
        // Samples that came while the answer was under way stay.
        const last = points.at(-1)?.[0] ?? 0;
        series.points = points.concat(step || view.to ? [] : series.points.filter(p => p[0] > last + 0.05));
        Object.assign(series, {step, loaded: true, problem: null});
      } catch (error) { if (gone) return; series.problem = error.message; series.loaded = true; }
      series.data = columns(series.points, series.step);
      series.version++;
      redraw(n => n + 1);
    };
    load();
    let soon = null;
    series.catchUp = () => { soon ??= setTimeout(() => { soon = null; if (!document.hidden) load(); }, 2500); };
    const every = view.to ? 0 : view.s && view.s <= 3600 ? 20000 : 60000;
    const timer = every && setInterval(() => { if (store.phase === 'live' && !document.hidden) load(); }, every);
    return () => { gone = true; series.catchUp = null; clearTimeout(soon); clearInterval(timer); };
  }, [key, store.streaming]);

  if (!view.to && view.s && view.s <= 3600) follow(series, id, metric, view.s);
  return series;
}

function follow(series, id, metric, span) {
  const node = store.nodes.get(id), value = node?.samples?.[metric];
  const at = node ? node.heardAt / 1000 : 0, last = series.points.at(-1)?.[0] ?? 0;
  if (!series.loaded || value == null || node.last_report_age_s == null || at < last + 0.05 || node.health === 'silent') return;
  // More than one report since: the others are asked for.
  if (series.sequence != null && node.sequence > series.sequence + 1 && !series.step) series.catchUp?.();
  series.sequence = node.sequence;
  series.points.push([at, value, value, value]);
  const oldest = at - span - 30;
  while (series.points.length && series.points[0][0] < oldest) series.points.shift();
  series.data = columns(series.points, series.step && Math.max(series.step, 3));
  series.version++;
}
