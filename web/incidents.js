// The list of incidents with its filters.
import {html, Panel, NodeLink, incidentHref, Shape, useState, useReading} from './markup.js';
import {store, SMALL_FLEET} from './live.js';
import {get} from './api.js';
import {moment, duration, toneOf, STATES, count} from './words.js';

const PAGE = 50;

const verdictWord = i => i.state === 'resolved' ? (i.verdict === 'effective' ? 'effective' : i.verdict && i.verdict !== 'none' ? i.verdict + ', then well' : 'went away') : i.state === 'escalated' ? 'left to people' : i.block && i.block !== 'none' ? 'held: ' + i.block : i.state;

export function IncidentTable({incidents, empty}) {
  if (!incidents.length) return html`<p class="quiet">${empty}</p>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table of incidents"><table class="incidents"><thead><tr>
      <th scope="col" class="num">id</th><th scope="col">opened</th><th scope="col">node</th><th scope="col">finding</th>
          <th scope="col">remedy</th><th scope="col">state</th><th scope="col" class="num">detected</th><th scope="col"
          class="num">proved</th></tr></thead>
    <tbody>${incidents.map(i => html`<tr key=${i.id}>
      <td class="num"><a href=${incidentHref(i.id)} aria-label=${'Incident ' + i.id}>${i.id}</a></td>
      <td class="fixed nowrap">${moment(i.opened_at)}</td><td><${NodeLink} node=${i.node} /></td><td>${i.finding}</td>
      <td>${i.remedy ? html`<span class="code">${i.remedy}</span>` : html`<span class="quiet">none</span>`}</td>
      <td class="nowrap"><${Shape} health=${toneOf(i)} /> <span class=${'ink-' + toneOf(i)}>${verdictWord(i)}</span></td>
      <td class="num fixed">${duration(i.detected_after_s)}</td><td class="num fixed">${duration(i.proved_after_s)}</td>
          </tr>`)}</tbody></table></div>`;
}

export function Incidents({query}) {
  const [node, setNode] = useState(query.get('node') ?? ''), [state, setState] = useState(query.get('state') ?? ''), [finding, setFinding] = useState(query.get('finding') ?? '');
  const [answer, setAnswer] = useState({incidents: null, problem: null}), [pages, setPages] = useState(1);
  const exact = store.nodes.has(node) ? node : '';
  useReading(async counts => {
    const wanted = new URLSearchParams({limit: '300'});
    if (exact) wanted.set('node', exact);
    if (state) wanted.set('state', state);
    try {
      const found = await get('/v1/incidents?' + wanted);
      if (counts()) setAnswer({incidents: found.incidents, problem: null});
    } catch (error) { if (counts()) setAnswer(old => ({...old, problem: error.message})); }
  }, [exact, state, store.incidents], 1000);
  const part = (text, wanted) => String(text ?? '').toLowerCase().includes(wanted.trim().toLowerCase());
  const matching = (answer.incidents ?? []).filter(i => (exact ? i.node === exact : part(i.node, node)) && (part(i.finding, finding) || part(i.remedy, finding)));
  const filtered = node || state || finding;
  return html`<h1>Incidents</h1>
    <${Panel} title="Find" id="find-title" class="slim"><div class="filters" role="search" aria-label="Filter incidents">
      <label>Node<input type="search" list="node-names" value=${node} onInput=${e => setNode(e.target.value)} placeholder="any" /></label>
      <label>State<select value=${state} onChange=${e => setState(e.target.value)}><option
          value="">any</option>${Object.entries(STATES).map(([word, text]) => html`<option
          value=${word}>${word === text ? word : word + ' (' + text + ')'}</option>`)}</select></label>
      <label>Finding<input type="search" value=${finding} onInput=${e => setFinding(e.target.value)}
          placeholder="any, such as cpu" /></label>
      ${filtered && html`<button onClick=${() => { setNode(''); setState(''); setFinding(''); }}>Show all</button>`}
      <datalist id="node-names">${[...store.nodes.keys()].slice(0, 5 * SMALL_FLEET).map(name => html`<option
          value=${name} />`)}</datalist></div></${Panel}>
    ${answer.problem && html`<p class="wrong" role="alert">${answer.problem}</p>`}
    <${Panel}
        title=${answer.incidents ? count(matching.length, 'incident') + (filtered ? ' like that' : '') + ', newest first' : 'One moment…'} id="list-title">
      ${answer.incidents && html`<${IncidentTable} incidents=${matching.slice(0, pages * PAGE)}
          empty=${filtered ? 'No incident is like that.' : 'No incident yet. Break something and watch.'} />`}
      ${matching.length > pages * PAGE && html`<p><button
          onClick=${() => setPages(pages + 1)}>Show ${Math.min(PAGE, matching.length - pages * PAGE)} more</button></p>`}</${Panel}>`;
}
