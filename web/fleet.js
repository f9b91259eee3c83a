// A small fleet: cards in columns by depth in the graph of calls, with an arrow for each call.
import {html, memo, Panel, Shape, nodeHref, useEffect, useLayoutEffect, useRef, useState} from './markup.js';
import {store, within} from './live.js';
import {measure, duration, count} from './words.js';

// How deep a node lies: users call the first column, that one calls the second. Circles end where they began.
function depths(nodes) {
  const depth = new Map(), called = new Set();
  for (const node of nodes.values()) for (const other of node.calls) called.add(other);
  const visit = (id, level, path) => {
    if (!nodes.has(id) || path.has(id) || level > nodes.size || (depth.get(id) ?? -1) >= level) return;
    depth.set(id, level);
    path.add(id);
    for (const other of nodes.get(id).calls) visit(other, level + 1, path);
    path.delete(id);
  };
  for (const id of nodes.keys()) if (!called.has(id)) visit(id, 0, new Set());
  for (const id of nodes.keys()) if (!depth.has(id)) visit(id, 0, new Set());
  return depth;
}

export function columnsOf(nodes) {
  const columns = [], depth = depths(nodes);
  for (const [id, level] of depth) (columns[level] ??= []).push(nodes.get(id));
  const byName = (a, b) => (a.role || '').localeCompare(b.role || '') || (a.zone || '').localeCompare(b.zone || '') || a.node.localeCompare(b.node, 'en', {numeric: true});
  return columns.filter(Boolean).map(column => column.sort(byName));
}

let cached = {version: -1, columns: []};
function columnsNow() {
  if (cached.version !== store.fleetVersion) cached = {version: store.fleetVersion, columns: columnsOf(store.nodes)};
  return cached.columns.map(column => column.map(node => store.nodes.get(node.node) ?? node));
}

// With many below each other the fleet takes the whole width.
export const isTall = () => columnsNow().some(column => column.length > 5);

const CARDS_A_FRAME = 6;

export function FleetCards() {
  const box = useRef(null), columns = columnsNow(), [limit, setLimit] = useState(CARDS_A_FRAME);
  useEffect(() => { if (limit < store.nodes.size) setLimit(limit + CARDS_A_FRAME); }, [limit, store.nodes.size]);
  let room = limit;
  const zones = new Set([...store.nodes.values()].map(n => n.zone).filter(Boolean));
  return html`<${Panel} title="Fleet, by who calls whom" id="fleet-title" aside=${html`<span
      class="quiet small-text">${zones.size ? count(zones.size, 'zone') : ''}</span>`}>
    <div class="fleet ${isTall() ? 'tight' : ''}" ref=${box}>
      <${Arrows} box=${box} version=${store.fleetVersion} />
      ${columns.map((column, i) => html`<ul class="fleet-column" aria-label=${columnName(column, i)}>
        ${column.filter(() => room-- > 0).map(node => html`<li key=${node.node}><${Card} node=${node} zoned=${zones.size > 0} fault=${faultOn(node.node)} /></li>`)}</ul>`)}
    </div></${Panel}>`;
}

const columnName = (column, i) => (i === 0 ? 'Called by users: ' : 'Called by those before: ') + [...new Set(column.map(n => n.role || 'no role'))].join(', ');
const faultOn = id => store.faults.find(f => f.node === id && (f.state === 'active' || f.state === 'asked'))?.kind ?? null;

const Card = memo(({node, zoned, fault}) => {
  const s = node.samples ?? {}, age = node.last_report_age_s, quietFor = node.health === 'silent' && age != null ? ' ' + duration(Math.round(age)) : '';
  const known = node.health !== 'silent' && node.health !== 'gone';
  return html`<a class="card ${node.health}" href=${nodeHref(node.node)} data-node=${node.node}>
    <span class="card-head"><${Shape} health=${node.health} /><strong class="name">${node.node}</strong><span
        class="word ink-${node.health}">${node.health}${quietFor}</span></span>
    <span class="body"><${Sparkline} values=${node.history} last=${node.sequence} />
    <span class="figures">
      <span><b>${known ? measure('cpu_utilization', s.cpu_utilization) : '–'}</b> cpu</span>${' '}
      <span><b>${known ? measure('request_latency', s.request_latency) : '–'}</b> p99</span>${' '}
      <span><b>${known ? measure('error_ratio', s.error_ratio) : '–'}</b> errors</span></span></span>
    ${(zoned || fault || node.maintained_until || node.standing?.length > 0) && html`<span class="tags">
      ${zoned && node.zone && html`<span class="tag">zone ${node.zone}</span>`}
      ${fault && html`<span class="tag fault">fault: ${fault}</span>`}
      ${node.maintained_until && html`<span class="tag">in maintenance</span>`}
      ${node.standing?.map(r => html`<span class="tag">${r}</span>`)}</span>`}
    <span class="calls">${node.calls.length ? 'calls ' + (node.calls.length > 4 ? count(node.calls.length, 'node') : node.calls.join(', ')) : 'calls nobody'}</span></a>`;
}, ({node, zoned, fault}) => [node, zoned, fault]);

const WIDE = 160, HIGH = 26;
const Sparkline = memo(({values}) => {
  let path = '', open = false;
  const step = WIDE / 59, first = 60 - values.length;
  values.forEach((value, i) => {
    if (value == null) { open = false; return; }
    path += (open ? 'L' : 'M') + ((first + i) * step).toFixed(1) + ' ' + (HIGH - 1 - Math.min(1, Math.max(0, value)) * (HIGH - 3)).toFixed(1);
    open = true;
  });
  return html`<svg class="spark" viewBox="0 0 ${WIDE} ${HIGH}" preserveAspectRatio="none" aria-hidden="true"><path d=${path} /></svg>`;
}, ({values, last}) => [values, values.length, last]);

// The arrows lie under the cards. They are laid out anew when the cards have moved.
const Arrows = memo(({box, version}) => {
  const [drawn, setDrawn] = useState({width: 0, height: 0, lines: []});
  useLayoutEffect(() => {
    // It is called once at the beginning, when the cards lie where they will lie.
    const watcher = new ResizeObserver(() => within(() => { if (box.current) setDrawn(linesIn(box.current)); }));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, [version]);
  return html`<svg class="arrows ${drawn.lines.length > 30 ? 'many' : ''}" width=${drawn.width} height=${drawn.height} aria-hidden="true">
    <defs><marker id="tip" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="6" markerHeight="6" orient="auto"><path
        d="M0 .5 5.5 3 0 5.5z" /></marker></defs>
    ${drawn.lines.map(line => html`<path key=${line.key} class=${line.ill ? 'ill' : ''} d=${line.path} marker-end="url(#tip)" />`)}</svg>`;
}, ({version}) => [version]);

function linesIn(box) {
  const at = box.getBoundingClientRect(), places = new Map(), lines = [];
  for (const card of box.querySelectorAll('.card')) places.set(card.dataset.node, card.getBoundingClientRect());
  for (const [id, from] of places) {
    for (const other of store.nodes.get(id)?.calls ?? []) {
      const to = places.get(other);
      if (!to || to.left < from.right) continue;       // below each other on a narrow page: the card says it in words
      const x1 = from.right - at.left, y1 = from.top - at.top + Math.min(from.height / 2, 40), x2 = to.left - at.left - 2, y2 = to.top - at.top + Math.min(to.height / 2, 40);
      const bend = Math.min(40, (x2 - x1) / 2);
      lines.push({key: id + ' ' + other, ill: !['healthy', 'unknown'].includes(store.nodes.get(other)?.health),
        path: `M${x1.toFixed(1)} ${y1.toFixed(1)}C${(x1 + bend).toFixed(1)} ${y1.toFixed(1)} ${(x2 - bend).toFixed(1)} ${y2.toFixed(1)} ${x2.toFixed(1)} ${y2.toFixed(1)}`});
    }
  }
  return {width: at.width, height: at.height, lines};
}
