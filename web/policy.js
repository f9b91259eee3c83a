// The policy in force: what counts as trouble, what is tried against it, and the text itself.
import {html, Panel} from './markup.js';
import {store, pollSoon} from './live.js';
import {post} from './api.js';
import {Act} from './dialog.js';
import {MODES, exact, metricLabel, metricUnit} from './words.js';

const UNITS = {'%': 0.01, us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600, B: 1, KiB: 1024, MiB: 1048576, GiB: 1073741824, '/s': 1, '': 1};
const TERM = /^([a-z_]+) (>=?|<=?) (-?[\d.]+(?:e[+-]?\d+)?)(%|us|ms|s|m|h|B|KiB|MiB|GiB|\/s|)$/;
const TIME = /^([\d.]+)(us|ms|s|m|h)$/;

// Reads just as much of the effective text, whose layout is the program's own, as the page shows. What it does not
// understand it leaves out; the whole text stands below.
export function readPolicy(text) {
  const detectors = [], playbooks = new Map();
  let section = '', detector = null, playbook = null;
  for (const line of String(text ?? '').split('\n')) {
    if (/^\w/.test(line)) { section = line.split(':')[0]; continue; }
    const match = /^\s+(- )?\{?(name|when|absent|for|severity|confirm|on|do): ?([^,}]*(?:, .*)?)/.exec(line);
    if (section === 'detectors' && match) {
      if (match[1] && match[2] === 'name') detectors.push(detector = {name: match[3].trim(), terms: []});
      else if (detector && match[2] === 'when') { detector.when = match[3].trim(); detector.terms = detector.when.split(' and ').map(readTerm).filter(Boolean); }
      else if (detector) detector[match[2]] = match[3].trim();
    } else if (section === 'playbooks') {
      const on = /^\s+- on: (\S+)/.exec(line), step = /^\s+- (?:\{do: )?([a-z_]+)/.exec(line);
      if (on) playbooks.set(on[1], playbook = []);
      else if (step && playbook) playbook.push(step[1]);
    }
  }
  for (const d of detectors) d.ladder = playbooks.get(d.name) ?? [];
  return detectors;
}
function readTerm(text) {
  const match = TERM.exec(text.trim());
  return match && {metric: match[1], sign: match[2], value: +match[3] * UNITS[match[4]]};
}
function timeOf(text) {
  const match = TIME.exec(text ?? '');
  return match ? match[1] + '\u00a0' + (match[2] === 'm' ? 'min' : match[2] === 'us' ? 'µs' : match[2]) : null;
}

let read = {text: null, detectors: [], lines: new Map()};
function policyNow() {
  const text = store.policy?.text ?? null;
  if (read.text !== text) read = {text, detectors: readPolicy(text), lines: new Map()};
  return read;
}

// Lines for a metric's chart: of the detectors that begin with it; else the lowest that is asked of it beside another.
export function thresholdsOf(metric) {
  const {detectors, lines} = policyNow();
  if (!lines.has(metric)) {
    const of = first => metricUnit(metric) === 'flag' ? [] : detectors.flatMap(d => d.terms.filter((t, i) => t.metric === metric && t.sign[0] === '>' && (i === 0) === first)
      .map(t => ({value: t.value, text: exact(metricUnit(metric), t.value) + (first && parseFloat(timeOf(d.for)) > 0 ? ' for ' + timeOf(d.for) : '')})));
    const found = of(true).length ? of(true) : of(false).sort((a, b) => a.value - b.value).slice(0, 1);
    lines.set(metric, [...new Map(found.map(t => [t.value, t])).values()].slice(0, 2));
  }
  return lines.get(metric);
}

const termText = t => `${metricLabel(t.metric)} ${t.sign} ${exact(metricUnit(t.metric), t.value)}`;

export function PolicyView() {
  const {policy, health} = store, {detectors} = policyNow();
  if (!policy) return html`<h1>Policy</h1><p class="quiet">One moment…</p>`;
  return html`<h1>Policy</h1>
    <p class="lead">The policy says what counts as trouble, what is tried against it, and what stops an action. This one <strong>${MODES[policy.mode] ?? policy.mode}</strong>${health?.paused ? ', but automation is paused' : ''}.</p>
    ${detectors.length > 0 && html`<${Panel} title="What counts as trouble, and what is tried" id="detectors-title"><div class="scroll"
        tabindex="0" role="region" aria-label="Table of findings"><table>
      <thead><tr><th scope="col">finding</th><th scope="col">when</th><th scope="col">for</th><th scope="col">severity</th>
          <th scope="col">tried, in this order</th></tr></thead>
      <tbody>${detectors.map(d => html`<tr key=${d.name}><th scope="row" class="nowrap">${d.name}</th>
          <td>${d.when ? (d.terms.length === d.when.split(' and ').length ? d.terms.map(termText).join(' and ') : d.when) : d.absent ? 'silent for ' + (timeOf(d.absent) ?? d.absent) : ''}</td>
        <td class="nowrap">${d.when ? timeOf(d.for) ?? d.for : ''}</td><td>${d.severity}</td><td>${d.ladder.length ? html`<span
            class="code">${d.ladder.join(', ')}</span>` : html`<span class="quiet">nothing: people are told</span>`}</td>
            </tr>`)}</tbody></table></div></${Panel}>`}
    <${Panel} title="Who is in charge"
        id="charge-title"><p>Mode: <strong>${policy.mode}</strong> (${MODES[policy.mode] ?? policy.mode}). Breaker: <strong>${health?.breaker_open ? 'open' : 'closed'}</strong>. Nodes in work: <strong>${health?.disrupted} of ${health?.budget}</strong>.</p>
      <p class="quiet">The breaker opens when so much of the fleet is ill or silent that the cause is probably not on the nodes. A person closes it again.</p>
      ${health?.breaker_open && html`<p><${Act} run=${async () => { await post('/v1/reset'); pollSoon(); }} said="The breaker is reset.">Reset the breaker</${Act}></p>`}
          </${Panel}>
    <${Panel} title="The whole policy, every default written out" id="text-title"><pre class="policy" tabindex="0"
        aria-label="Text of the policy">${policy.text}</pre>
      <details><summary>For experts</summary><dl class="facts"><dt>version</dt><dd>${policy.version}</dd><dt>digest</dt><dd
          class="code">${policy.digest}</dd><dt>control plane</dt><dd>${health?.version}, epoch ${health?.epoch}</dd></dl></details>
      <p class="quiet small-text">To change it: edit a file such as <code>policies/first.yaml</code> and say <code>./run policy apply FILE</code>. It takes effect at once.</p></${Panel}>`;
}
