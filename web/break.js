// "Break something": choose a fault, say where, how much and how long, and break it.
import {html, useState} from './markup.js';
import {store, refreshFaults, refreshPast} from './live.js';
import {post} from './api.js';
import {Act, Dialog} from './dialog.js';
import {metricLabel, duration, exact, sentence, SHAPES, COMES_AND_GOES, list, REMEDIES} from './words.js';

const GROUPS = [
  ['The service', ['cpu_spike', 'service_crash', 'service_hang', 'memory_leak', 'crash_loop', 'bad_config', 'overload', 'retry_storm']],
  ['Its surroundings', ['noisy_neighbour', 'storage_latency', 'io_error', 'disk_full', 'network_delay', 'network_loss', 'network_bandwidth', 'network_cut']],
  ['What deceives', ['node_partition', 'zone_outage', 'sensor_fault', 'clock_skew', 'control_plane_stall', 'dependency_sick', 'flapping']],
];
const LEASES = [10, 30, 60, 120, 300, 900, 3600], STALLS = [2, 8, 30], MANY = 150;

function catalogue() {
  const kinds = [...store.kinds, ...store.composed.map(c => ({...c, composed: true}))], named = new Set(GROUPS.flatMap(g => g[1]));
  const groups = GROUPS.map(([title, names]) => [title, names.map(n => kinds.find(k => k.kind === n)).filter(Boolean)]);
  const others = kinds.filter(k => !named.has(k.kind));
  return others.length ? [...groups, ['Others', others]] : groups;
}

const placeOf = node => node.synthetic ? 'synthetic' : node.program ? 'program' : 'service';
const base = kind => kind?.composed ? store.kinds.find(k => k.kind === kind.of) : kind;
const isPlane = kind => kind?.places?.length === 1 && kind.places[0] === 'plane';
function fits(kind, node) {
  const places = base(kind)?.places;
  return !node || !places || isPlane(kind) || places.includes(placeOf(node));
}

function firstTarget(asked) {
  if (asked && store.nodes.has(asked)) return asked;
  const busy = new Set(store.faults.map(f => f.node)), free = n => n && n.health === 'healthy' && !busy.has(n.node);
  if (free(store.nodes.get('web-1'))) return 'web-1';
  for (const node of store.nodes.values()) if (free(node)) return node.node;
  return store.nodes.has('web-1') ? 'web-1' : store.nodes.keys().next().value ?? '';
}

// The unit that people think in, and how many of the API's units it has.
function unitOf(kind) {
  switch (kind?.unit) {
  case 'ratio': return {word: '%', of: 0.01};
  case 'seconds': return kind.most <= 60 ? {word: 'ms', of: 0.001} : {word: 's', of: 1};
  case 'bytes': return {word: 'bytes/s', of: 1};
  case 'count': return {word: 'times', of: 1};
  default: return {word: kind?.unit ?? '', of: 1};
  }
}
const shown = (kind, value) => exact(kind.unit === 'count' ? 'times' : kind.unit, value) + (kind.unit === 'bytes' ? '/s' : '');
const neat = value => +value.toPrecision(4);

export function BreakDialog({node, close}) {
  const [kindName, setKindName] = useState('cpu_spike'), [target, setTarget] = useState(() => firstTarget(node)), [howMany, setHowMany] = useState('all');
  const [intensity, setIntensity] = useState(null), [lease, setLease] = useState(60), [shape, setShape] = useState('step'), [period, setPeriod] = useState(20);
  const [alongside, setAlongside] = useState(false), [of, setOf] = useState(null), [wrong, setWrong] = useState(null);
  const groups = catalogue(), kind = groups.flatMap(g => g[1]).find(k => k.kind === kindName) ?? groups[0]?.[1][0];
  if (!kind) return html`<${Dialog} title="Break something" close=${close}><p>The list of faults has not arrived yet.</p></${Dialog}>`;
  const real = kind.composed ? store.kinds.find(k => k.kind === (of ?? kind.of)) : kind, unit = unitOf(real), plane = isPlane(kind);
  const sized = real && real.unit && real.least !== real.most, amount = intensity ?? real?.intensity, leases = plane ? STALLS : LEASES;
  const one = store.nodes.get(target), group = target.startsWith('role:') || target.startsWith('zone:');
  const pick = name => {
    const next = groups.flatMap(g => g[1]).find(k => k.kind === name);
    setKindName(name); setIntensity(null); setShape('step'); setOf(null); setWrong(null); setLease(isPlane(next) ? 8 : 60);
  };
  const run = async () => {
    const body = {kind: kind.kind, lease_s: lease};
    if (!plane) body[one ? 'node' : 'on'] = group && howMany !== 'all' ? `${howMany} of ${target}` : target;
    if (sized) body.intensity = amount;
    if (kind.composed) body.of = real.kind;
    if (shape !== 'step') { body.shape = shape; if (COMES_AND_GOES.has(shape)) body.period_s = period; }
    if (alongside) body.alongside = true;
    const answer = await post('/v1/faults', body);
    refreshFaults(); refreshPast();
    close();
    return answer;
  };
  const shapes = kind.composed ? [] : kind.shapes ?? [];
  return html`<${Dialog} title="Break something" close=${close} class="break">
    <div class="break-columns">
      <div class="catalogue" role="radiogroup"
          aria-label="Fault">${groups.map(([title, kinds]) => html`<fieldset><legend>${title}</legend>${kinds.map(k => html`<label
          class="choice ${k.kind === kind.kind ? 'chosen' : ''}">
        <input type="radio" name="kind" value=${k.kind} checked=${k.kind === kind.kind} disabled=${!fits(k, one)}
            onChange=${() => pick(k.kind)} aria-label=${k.kind} aria-describedby=${'about-' + k.kind} />
        <span><strong>${k.kind}</strong><span class="quiet small-text"
            id=${'about-' + k.kind}>${k.text}${fits(k, one) ? '' : ' (not on this node)'}</span></span></label>`)}</fieldset>`)}</div>
      <form class="break-form" onSubmit=${e => e.preventDefault()}>
        <section class="about" aria-live="polite"><h3>${kind.kind}</h3><p>${sentence(kind.text)}</p>
            <${About} kind=${kind} real=${real} /></section>
        ${plane ? html`<p>Target: the control plane itself.</p>` : html`<${Target} target=${target}
            pick=${t => { setTarget(t); setWrong(null); }} howMany=${howMany} setHowMany=${setHowMany} />`}
        ${kind.composed && html`<label>Made of<select value=${real?.kind}
            onChange=${e => { setOf(e.target.value); setIntensity(null); }}>${store.kinds.filter(k => !isPlane(k)).map(k => html`<option>${k.kind}</option>`)}</select></label>`}
        ${sized && html`<${Intensity} kind=${real} unit=${unit} amount=${amount} set=${setIntensity} />`}
        <label>How long<select value=${lease} onChange=${e => setLease(+e.target.value)}>${leases.map(s => html`<option
            value=${s}>${duration(s)}, then it ends by itself</option>`)}</select></label>
        <details><summary>More choices</summary>
          ${shapes.length > 1 && html`<label>Shape<select value=${shape}
              onChange=${e => setShape(e.target.value)}>${shapes.map(s => html`<option
              value=${s}>${s}${SHAPES[s] ? ': ' + SHAPES[s] : ''}</option>`)}</select></label>`}
          ${COMES_AND_GOES.has(shape) && html`<label>Period, in seconds<input type="number" min="1" max="3600" value=${period}
              onInput=${e => setPeriod(+e.target.value)} /></label>`}
          <label class="check"><input type="checkbox" checked=${alongside}
              onChange=${e => setAlongside(e.target.checked)} /> although another fault is on there</label></details>
        ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
        <p class="row end sticky"><button type="button" onClick=${close}>Leave it</button>
          <${Act} type="submit" class="main danger" run=${run} failed=${setWrong}
              said=${() => `${kind.kind} is on its way to ${plane ? 'the control plane' : group && howMany !== 'all' ? howMany + ' of ' + target : target}. Watch.`}>Break it</${Act}></p>
      </form></div></${Dialog}>`;
}

function About({kind, real}) {
  const cures = real?.cures ?? [], masks = real?.masks ?? [];
  return html`<dl class="facts"><dt>moves</dt><dd>${real?.metric ? metricLabel(real.metric) : 'no metric'}</dd>
    <dt>cured by</dt><dd>${cures.length ? html`<span class="code">${list(cures)}</span> <span
        class="quiet">${cures.length === 1 ? REMEDIES[cures[0]] ?? '' : ''}</span>` : 'nothing but its end'}</dd>
    ${masks.length > 0 && html`<dt>hidden by</dt><dd><span class="code">${list(masks)}</span> <span
        class="quiet">for a while, without curing it</span></dd>`}</dl>`;
}

function Target({target, pick, howMany, setHowMany}) {
  const nodes = [...store.nodes.values()].filter(n => n.health !== 'gone'), names = nodes.map(n => n.node);
  const roles = tallyOf(nodes, 'role'), zones = tallyOf(nodes, 'zone');
  const groups = [...roles.map(([r, n]) => ['role:' + r, n]), ...zones.map(([z, n]) => ['zone:' + z, n])], size = groups.find(g => g[0] === target)?.[1];
  return html`${names.length > MANY
    ? html`<label>Target<input list="targets" value=${target} onInput=${e => pick(e.target.value.trim())} /></label><datalist
        id="targets">${groups.map(([g]) => html`<option value=${g} />`)}${names.map(n => html`<option value=${n} />`)}</datalist>`
    : html`<label>Target<select value=${target} onChange=${e => pick(e.target.value)}><optgroup
        label="One node">${names.map(n => html`<option value=${n}>${n}</option>`)}</optgroup>
        <optgroup label="Several nodes">${groups.map(([g, n]) => html`<option value=${g}>${g} (${n})</option>`)}</optgroup>
        <optgroup label="What a node calls">${nodes.filter(n => n.calls.length).slice(0, 20).map(n => html`<option
            value=${'below ' + n.node}>below ${n.node}</option>`)}</optgroup></select></label>`}
    ${size > 1 && html`<label>How many of them<select value=${howMany} onChange=${e => setHowMany(e.target.value)}><option
        value="all">all ${size}</option>${[1, 2, 3, 5, 10, 50, 100].filter(n => n < size).map(n => html`<option
        value=${n}>${n}, drawn by lot</option>`)}</select></label>`}`;
}
function tallyOf(nodes, member) {
  const counts = new Map();
  for (const node of nodes) if (node[member]) counts.set(node[member], (counts.get(node[member]) ?? 0) + 1);
  return [...counts].sort();
}

// Wide ranges go by powers of ten, so that the small end can be met, too.
function Intensity({kind, unit, amount, set}) {
  const wide = kind.least > 0 && kind.most / kind.least > 100, low = wide ? Math.log(kind.least) : kind.least, high = wide ? Math.log(kind.most) : kind.most;
  const at = Math.min(high, Math.max(low, wide ? Math.log(Math.max(amount, kind.least)) : amount));
  const clamp = value => Math.min(kind.most, Math.max(kind.least, value));
  return html`<fieldset class="intensity"><legend>Intensity</legend>
    <label class="grow"><span class="unseen">Intensity, from ${shown(kind, kind.least)} to ${shown(kind, kind.most)}</span>
        <input type="range" min=${low} max=${high} step="any" value=${at} aria-valuetext=${shown(kind, amount)}
        onInput=${e => set(clamp(neat(wide ? Math.exp(+e.target.value) : +e.target.value)))} /></label>
    <label class="inline"><span class="unseen">Intensity in ${unit.word}</span>
        <input type="number" step="any" min=${neat(kind.least / unit.of)} max=${neat(kind.most / unit.of)} value=${neat(amount / unit.of)}
        onChange=${e => { if (e.target.value !== '') set(clamp(+e.target.value * unit.of)); }} /><span>${unit.word}</span></label>
    <p class="quiet small-text">${shown(kind, kind.least)} to ${shown(kind, kind.most)}; usually ${shown(kind, kind.intensity)}</p>
        </fieldset>`;
}
