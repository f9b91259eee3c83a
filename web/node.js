// One node: its charts, what was decided about it and why, whom it calls, and what a person can do with it.
import {html, Panel, Shape, NodeLink, nodeHref, useState, useEffect, useMemo, useReading} from './markup.js';
import {store, pollSoon, watchOne} from './live.js';
import {get, post, put, del, node as nodePath} from './api.js';
import {Act, ActAfterAsking} from './dialog.js';
import {Chart} from './charts.js';
import {RANGES} from './series.js';
import {IncidentTable} from './incidents.js';
import {BlockedList} from './blocked.js';
import {FaultRows} from './faults.js';
import {METRIC_ORDER, METRICS, measure, metricLabel, duration, moment, clock, count, REMEDIES, list} from './words.js';
import {thresholdsOf} from './policy.js';

const seconds = at => Date.parse(at) / 1000;
const MOST_MARKS = 60;

// What is drawn into a node's charts.
function marksOf(id, incidents) {
  const spans = store.allFaults.filter(f => f.node === id && f.injected_at).slice(0, MOST_MARKS)
    .map(f => ({from: seconds(f.injected_at), to: f.ended_at ? seconds(f.ended_at) : null, text: f.kind})).sort((a, b) => a.from - b.from);
  const lines = [];
  for (const i of incidents.filter(i => i.node === id).slice(0, MOST_MARKS)) {
    if (i.opened_at) lines.push({at: seconds(i.opened_at), tone: 'healing', text: 'detect'});
    if (i.acted_at) lines.push({at: seconds(i.acted_at), tone: 'ink', text: 'act'});
    if (i.closed_at) lines.push({at: seconds(i.closed_at), tone: i.state === 'escalated' ? 'ill' : i.verdict === 'effective' ? 'healthy' : 'quiet',
      text: i.state === 'escalated' ? 'left to people' : i.verdict === 'effective' ? 'effective' : 'over'});
  }
  lines.sort((a, b) => a.at - b.at);
  return {spans, lines, sign: spans.map(s => s.from + '-' + s.to).join() + lines.map(l => l.at).join()};
}

function metricsOf(node, incident) {
  const has = Object.keys(node.samples ?? {});
  const known = METRIC_ORDER.filter(m => has.includes(m)), more = has.filter(m => !(m in METRICS)).sort();
  const first = (incident?.evidence ?? []).map(e => e.metric).filter(m => has.includes(m));
  const fault = store.faults.find(f => f.node === node.node && f.metric && has.includes(f.metric));
  return [...new Set(['cpu_utilization', 'request_latency'].filter(m => has.includes(m)).concat(fault ? [fault.metric] : [], first, known, more))];
}

/* --- three charts, for the front page and for one incident ---------------------------------------------- */

const MINUTE = {s: 60};

export function FocusCharts({id, around}) {
  const node = store.nodes.get(id), incident = around ?? store.incidents.find(i => i.node === id);
  // The time of an incident stays as it was when it is over.
  const view = useMemo(() => around?.closed_at ? {s: null, from: seconds(around.began_at ?? around.opened_at) - 20, to: seconds(around.closed_at) + 15} : MINUTE, [around?.closed_at]);
  useCloseWatch(id);
  if (!node) return null;
  const metrics = metricsOf(node, incident).slice(0, around ? 4 : 3), marks = marksOf(id, store.incidents.concat(around ? [around] : []));
  return html`<${Panel} title=${html`<${Shape} health=${node.health} /> ${id}, ${view.to ? 'around this incident' : 'last minute'}`}
      id="focus-title" aside=${html`<a href=${nodeHref(id)} aria-label=${'More about ' + id}>More</a>`}>
    <${Key} marks=${marks} />
    ${metrics.map((metric, i) => html`<${Chart} key=${metric} id=${id} metric=${metric} view=${view} marks=${marks}
        thresholds=${thresholdsOf(metric)} group=${'focus ' + id} labelled=${i === 0} last=${i === metrics.length - 1} height=${i === metrics.length - 1 ? 112 : 92} />`)}</${Panel}>`;
}

function Key({marks}) {
  if (!marks.spans.length && !marks.lines.length) return null;
  return html`<p class="key quiet small-text"><span><i class="key-fault"></i>fault on</span><span><i
      class="key-line healing"></i>detected</span><span><i class="key-line act"></i>acted</span><span><i
      class="key-line healthy"></i>verified</span></p>`;
}

// In a large fleet the nodes are asked for seldom; the one that is looked at is asked for each second.
function useCloseWatch(id) {
  const large = store.nodes.size > 200;
  useEffect(() => {
    if (!large) return undefined;
    const timer = setInterval(async () => {
      if (store.phase !== 'live' || document.hidden) return;
      try { watchOne(await get(nodePath(id))); } catch { /* the poll of all will tell */ }
    }, 1000);
    return () => clearInterval(timer);
  }, [id, large]);
}

/* --- the page of a node --------------------------------------------------------------------------------- */

export function NodeView({id, onBreak}) {
  const node = store.nodes.get(id);
  const [range, setRange] = useState(0), [zoom, setZoom] = useState(null), [incidents, setIncidents] = useState([]);
  useCloseWatch(id);
  useReading(async counts => {
    if (!node) return;
    try {
      const found = await get('/v1/incidents?limit=100&node=' + encodeURIComponent(id));
      if (counts()) setIncidents(found.incidents);
    } catch { if (counts()) setIncidents(store.incidents.filter(i => i.node === id)); }
  }, [id, !!node, store.incidents], 1000);
  const view = useMemo(() => zoom ? {s: null, ...zoom} : {s: RANGES[range].s}, [range, zoom]);
  if (store.phase === 'opening') return html`<h1>${id}</h1><p class="quiet">One moment…</p>`;
  if (!node) return html`<h1>No node is called that</h1><p>“${id}” is not in the fleet, or has left it. <a
      href="#/">Back to the fleet</a></p>`;
  const metrics = metricsOf(node, incidents[0]), marks = marksOf(id, incidents), main = metrics.slice(0, 5), rest = metrics.slice(5);
  const onZoom = (from, to) => setZoom(from == null ? null : {from, to});
  const chart = all => (metric, i) => html`<${Chart} key=${metric} id=${id} metric=${metric} view=${view} marks=${marks}
      thresholds=${thresholdsOf(metric)} onZoom=${onZoom} group=${'node ' + id}
    labelled=${i === 0} last=${i === all.length - 1} height=${i === all.length - 1 ? 116 : 96} />`;
  const callers = [...store.nodes.values()].filter(n => n.calls.includes(id)).map(n => n.node);
  const blocked = store.blocked.filter(b => b.node === id);
  return html`<p class="crumbs"><a href="#/">Fleet</a></p>
    <div class="title-row"><h1><${Shape} health=${node.health} /> ${id} <span class=${'word ink-' + node.health}>${node.health}</span></h1>
      <p class="row"><${Maintenance} node=${node} /><button class="main" onClick=${() => onBreak(id)}>Break ${id}</button></p></div>
    <p class="lead quiet">${[node.role && 'role ' + node.role, node.zone && 'zone ' + node.zone, node.synthetic ? 'simulated' : node.program ? 'runs a program of its own' : null, node.last_report_age_s != null && `last report ${node.last_report_age_s < 10 ? node.last_report_age_s.toFixed(1) + '\u00a0s' : duration(node.last_report_age_s)} ago`].filter(Boolean).join(' · ')}
      ${node.maintained_until && html` · <strong>in maintenance until ${moment(node.maintained_until)}</strong>`}</p>
    <div class="columns">
      <div class="main-column">
        <${Panel} title=${zoom ? `From ${clock(zoom.from * 1000)} to ${clock(zoom.to * 1000)}` : RANGES[range].title} id="charts-title"
            aside=${html`<${Ranges} range=${range} zoomed=${!!zoom} pick=${i => { setZoom(null); setRange(i); }}
            reset=${() => setZoom(null)} />`}>
          <${Key} marks=${marks} />
          ${metrics.length ? main.map(chart(main)) : html`<p>This node has reported no figures yet.</p>`}
          <p class="quiet small-text">Drag over a chart to zoom in; double-click to see all again.</p>
          ${rest.length > 0 && html`<${More}
              title=${`${count(rest.length, 'more metric')}: ${list(rest.map(metricLabel))}`}>${() => rest.map(chart(rest))}</${More}>`}
          <${More} title="The newest figures as a table">${() => html`<table><thead><tr><th scope="col">metric</th><th scope="col"
              class="num">now</th><th scope="col">what it is</th></tr></thead><tbody>
            ${metrics.map(m => html`<tr><th scope="row">${metricLabel(m)}</th><td class="num fixed">${measure(m, node.samples[m])}</td><td
                class="quiet">${METRICS[m]?.help ?? ''}</td></tr>`)}</tbody></table>`}</${More}></${Panel}>
        <${Panel} title="Its incidents" id="node-incidents" aside=${html`<a
            href=${'#/incidents?node=' + encodeURIComponent(id)}>All of them</a>`}><${IncidentTable} incidents=${incidents.slice(0, 8)}
            empty="Nothing has happened to this node yet." /></${Panel}>
      </div>
      <aside class="side-column" aria-label=${'About ' + id}>
        <${Standing} node=${node} />
        <${FaultRows} title="Faults on it" faults=${store.faults.filter(f => f.node === id)} empty="None. Break it and watch." />
        <${Panel} title="Who calls whom"
            id="calls-title"><p>${callers.length ? html`Called by ${links(callers)}.` : 'Called by users.'}</p>
            <p>${node.calls.length ? html`Calls ${links(node.calls)}.` : 'Calls nobody.'}</p></${Panel}>
        <${Panel} title="Not done here, and why"
            id="blocked-title">${blocked.length ? html`<${BlockedList} rows=${blocked.slice(0, 8)} />` : html`<p
            class="quiet">Nothing was held back on this node.</p>`}</${Panel}>
        <details class="panel"><summary>For experts</summary><dl class="facts"><dt>boot</dt><dd class="code">${node.boot ?? '–'}</dd>
            <dt>report</dt><dd>number ${node.sequence ?? '–'}</dd><dt>address</dt><dd class="code">${node.address || '–'}</dd>
          <dt>process</dt><dd>${node.pid ?? '–'}</dd><dt>its clock is off by</dt>
              <dd>${node.clock_off_s == null ? 'not told' : duration(node.clock_off_s)}</dd></dl></details>
      </aside></div>`;
}

const links = names => names.slice(0, 12).map((name, i) => html`${i ? ', ' : ''}<${NodeLink} node=${name} />`).concat(names.length > 12 ? [` and ${names.length - 12} more`] : []);

function More({title, children}) {
  const [open, setOpen] = useState(false);
  return html`<details class="more"
      onToggle=${e => setOpen(e.currentTarget.open)}><summary>${title}</summary>${open && children()}</details>`;
}

function Ranges({range, zoomed, pick, reset}) {
  return html`<div class="segments" role="group" aria-label="How far back">${RANGES.map((r, i) => html`<button class="small"
      aria-pressed=${i === range && !zoomed ? 'true' : 'false'} onClick=${() => pick(i)}>${r.word}</button>`)}
    ${zoomed && html`<button class="small" onClick=${reset}>Reset zoom</button>`}</div>`;
}

function Maintenance({node}) {
  const [minutes, setMinutes] = useState('30'), path = nodePath(node.node) + '/maintenance';
  if (node.maintained_until) return html`<${Act} run=${async () => { await del(path); pollSoon(); }}
      said=${`Maintenance of ${node.node} has ended.`}>End maintenance</${Act}>`;
  return html`<label class="inline"><span class="unseen">How long</span><select value=${minutes}
      onChange=${e => setMinutes(e.target.value)}><option value="10">10 min</option><option value="30">30 min</option><option
      value="60">1 h</option><option value="240">4 h</option></select></label>
    <${Act} run=${async () => { await put(path, {for_s: minutes * 60}); pollSoon(); }}
        said=${`${node.node} is left alone for ${minutes} min.`}
        title="Leave this node alone while people work on it">Start maintenance</${Act}>`;
}

function Standing({node}) {
  if (!node.standing?.length) return null;
  return html`<${Panel} title="Remedies in force" id="standing-title"><ul class="plain-list">${node.standing.map(r => html`<li><span
      class="code">${r}</span> <span class="quiet">${REMEDIES[r] ?? ''}</span></li>`)}</ul>
    <p><${ActAfterAsking} question=${`Take back what is in force on ${node.node}?`}
        consequence=${`${list(node.standing)} will be undone. If the trouble is still there, it may come back.`} yes="Take it back"
      run=${async () => { await post(nodePath(node.node) + '/undo'); pollSoon(); }} said=${`${node.node} takes it back with its next report.`}>Undo</${ActAfterAsking}></p></${Panel}>`;
}
