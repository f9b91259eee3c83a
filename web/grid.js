// A large fleet: a tile for each node, grouped by role and zone; those that are not well come first, with their figures.
import {html, memo, Panel, Shape, nodeHref, shapeOf, useState, useEffect} from './markup.js';
import {store} from './live.js';
import {HEALTHS, measure, count, duration} from './words.js';

const BADNESS = {ill: 0, silent: 1, healing: 2, unknown: 3, gone: 4, healthy: 5};
const MOST_CARDS = 24, TILES_A_FRAME = 100;
const collator = new Intl.Collator('en', {numeric: true});

// The names do not change: they are sorted once for each set of nodes.
let sorted = {size: -1, names: []};
function namesInOrder() {
  if (sorted.size !== store.nodes.size || sorted.names.some(name => !store.nodes.has(name)))
    sorted = {size: store.nodes.size, names: [...store.nodes.keys()].sort(collator.compare)};
  return sorted.names;
}

function groupsOf(wanted, state) {
  const groups = new Map(), text = wanted.trim().toLowerCase();
  for (const name of namesInOrder()) {
    const node = store.nodes.get(name);
    if (state && node.health !== state) continue;
    if (text && !name.toLowerCase().includes(text) && !('role:' + node.role).includes(text) && !('zone:' + node.zone).includes(text)) continue;
    const key = (node.role || 'no role') + (node.zone ? ', zone ' + node.zone : '');
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(node);
  }
  return groups;
}

export const FleetGrid = memo(() => {
  const [wanted, setWanted] = useState(''), [state, setState] = useState(''), [limit, setLimit] = useState(TILES_A_FRAME);
  const groups = groupsOf(wanted, state);
  let shown = 0;
  for (const group of groups.values()) shown += group.length;
  // The first tiles come a few hundred a frame, so that none of the frames is long.
  useEffect(() => { if (limit < shown) setLimit(limit + TILES_A_FRAME); }, [limit, shown]);
  let room = limit;
  return html`<${Panel} title="Fleet, by role" id="fleet-title" class="wide-head" aside=${html`<div class="filters" role="search"
      aria-label="Find nodes">
      <label>Find<input type="search" placeholder="name, role:web, zone:a" value=${wanted}
          onInput=${e => setWanted(e.target.value)} /></label>
      <label>Health<select value=${state} onChange=${e => setState(e.target.value)}><option
          value="">any</option>${HEALTHS.map(word => html`<option>${word}</option>`)}</select></label></div>`}>
    <${NotWell} groups=${groups} />
    <p class="quiet small-text legend"><span><${Shape} health="healthy" /> healthy</span>
        <span><${Shape} health="healing" /> healing</span><span><${Shape} health="ill" /> ill</span>
        <span><${Shape} health="silent" /> silent or unknown</span>
      ${(wanted || state) && html`<span role="status">${count(shown, 'node')} of ${store.nodes.size.toLocaleString('en')}</span>`}</p>
    ${shown === 0 && html`<p>No node is called or looks like that. <button class="small"
        onClick=${() => { setWanted(''); setState(''); }}>Show all</button></p>`}
    ${[...groups].map(([name, nodes]) => {
      const some = room >= nodes.length ? nodes : nodes.slice(0, room);
      room -= some.length;
      return html`<${Group} key=${name}
          name=${name} nodes=${some} size=${nodes.length} sign=${some.map(n => n.node + ' ' + n.health).join()} />`;
    })}</${Panel}>`;
}, ({version, samples}) => [version, samples]);

function NotWell({groups}) {
  const bad = [];
  for (const nodes of groups.values()) for (const node of nodes) if (node.health !== 'healthy') bad.push(node);
  if (!bad.length) return html`<p class="all-well"><${Shape} health="healthy" /> Nothing is wrong. Break something and watch.</p>`;
  bad.sort((a, b) => BADNESS[a.health] - BADNESS[b.health] || collator.compare(a.node, b.node));
  return html`<h3>Not well: ${bad.length.toLocaleString('en')}</h3>
    <ul class="not-well">${bad.slice(0, MOST_CARDS).map(node => html`<li key=${node.node}><a class="mini ${node.health}"
        href=${nodeHref(node.node)}>
      <span class="card-head"><${Shape} health=${node.health} /><strong class="name">${node.node}</strong><span
          class="word ink-${node.health}">${node.health}</span></span>
      <span class="figures">${node.health === 'silent' ? html`<span>last heard ${duration(Math.round(node.last_report_age_s ?? 0))} ago</span>`
        : html`<span><b>${measure('cpu_utilization', node.samples?.cpu_utilization)}</b> cpu</span>
            <span><b>${measure('request_latency', node.samples?.request_latency)}</b> p99</span>
            <span><b>${measure('error_ratio', node.samples?.error_ratio)}</b> errors</span>`}</span></a></li>`)}</ul>
    ${bad.length > MOST_CARDS && html`<p
        class="quiet">and ${(bad.length - MOST_CARDS).toLocaleString('en')} more, among the tiles below; choose a health above to see only those.</p>`}`;
}

// One stop for the Tab key in each group; the arrow keys go on from there.
function walk(event) {
  const step = {ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity}[event.key];
  if (!step || !event.target.classList.contains('tile')) return;
  const tiles = [...event.currentTarget.querySelectorAll('.tile')], next = Math.min(tiles.length - 1, Math.max(0, tiles.indexOf(event.target) + step));
  event.preventDefault();
  event.target.tabIndex = -1;
  tiles[next].tabIndex = 0;
  tiles[next].focus();
}

const Group = memo(({name, nodes, size}) => {
  const bad = nodes.filter(n => n.health !== 'healthy').length;
  return html`<section class="group" aria-label=${name}><h3>${name} <span
      class="quiet">${size.toLocaleString('en')}${bad ? ', ' + bad + ' not well' : ''}</span></h3>
    <div class="tiles" role="group" aria-label=${name + ': nodes; the arrow keys go from one to the next'} onKeyDown=${walk}>
      ${nodes.map((node, i) => html`<${Tile} key=${node.node}
          name=${node.node} health=${node.health} first=${i === 0} />`)}</div></section>`;
}, ({name, sign, size}) => [name, sign, size]);

const Tile = memo(({name, health, first}) => html`<a class="tile ${shapeOf(health)}" href=${nodeHref(name)} tabindex=${first ? 0 : -1}
    title=${name + ': ' + health} aria-label=${name + ', ' + health}></a>`,
  ({name, health}) => [name, health]);
