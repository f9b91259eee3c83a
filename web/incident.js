// One incident: what can be said about it by a person, its four steps, every line of its timeline, and its exports.
import {html, Panel, NodeLink, Shape, nodeHref} from './markup.js';
import {store, refreshIncidents} from './live.js';
import {post, incident as incidentPath} from './api.js';
import {Act} from './dialog.js';
import {approve, decline} from './control.js';
import {FourSteps, useIncident} from './steps.js';
import {postmortem, download} from './postmortem.js';
import {clock, moment, duration, toneOf, STATES, VERDICTS, REMEDIES, metricLabel, measure} from './words.js';
import {conditionText} from './steps.js';
import {FocusCharts} from './node.js';

export function IncidentView({id}) {
  const {detail: incident, problem} = useIncident(id);
  if (!/^\d{1,16}$/.test(id)) return html`<h1>No such incident</h1><p>An incident is called by its number. <a
      href="#/incidents">All incidents</a></p>`;
  if (!incident) return html`<h1>Incident ${id}</h1><p class=${problem ? 'wrong' : 'quiet'}
      role=${problem ? 'alert' : undefined}>${problem ?? 'One moment…'}</p><p><a href="#/incidents">All incidents</a></p>`;
  const tone = toneOf(incident);
  return html`<p class="crumbs"><a href="#/incidents">Incidents</a></p>
    <div class="title-row"><h1>Incident ${incident.id}: ${incident.finding} on <a href=${nodeHref(incident.node)}>${incident.node}</a></h1>
      <p class="row"><${Words} incident=${incident} />
        <button onClick=${() => download('incident.json', 'application/json', JSON.stringify(incident, null, 2) + '\n')}>Export as JSON</button>
        <button onClick=${() => download('post-mortem.md', 'text/markdown', postmortem(incident))}>Export post-mortem</button></p></div>
    ${problem && html`<p class="wrong" role="alert">${problem}</p>`}
    <p class="lead"><${Shape} health=${tone} /> <strong
        class=${'ink-' + tone}>${incident.state}</strong>${STATES[incident.state] !== incident.state ? ' (' + STATES[incident.state] + ')' : ''}, ${incident.severity}${incident.verdict && incident.verdict !== 'none' ? ', ' + VERDICTS[incident.verdict] : ''}${incident.acknowledged ? ', acknowledged by a person' : ''}.
      ${incident.detected_after_s != null && ` Detected after ${duration(incident.detected_after_s)}`}${incident.fixed_after_s != null ? `, fixed after ${duration(incident.fixed_after_s)}` : ''}${incident.proved_after_s != null ? `, proved after ${duration(incident.proved_after_s)}` : ''}${incident.detected_after_s != null ? '.' : ''}</p>
    <div class="columns">
      <div class="main-column">
        <${Panel} title="What happened, in four steps" id="steps-title"><${FourSteps} incident=${incident} full /></${Panel}>
        <${Panel} title="Figures" id="figures-title"><${Figures} incident=${incident} /></${Panel}>
      </div>
      <div class="side-column">
        <${Panel} title="Every line of it" id="lines-title"><ol class="lines">${(incident.timeline ?? []).map(line => html`<li><span
            class="fixed quiet">${clock(line.at, true)}</span> <span class="step-word">${line.step}</span> <span>${line.text}</span>
            </li>`)}</ol></${Panel}>
        <details class="panel"><summary>For experts</summary><dl class="facts">
          <dt>plan</dt><dd>number ${incident.plan}</dd><dt>attempts</dt><dd>${incident.attempts}</dd><dt>came back</dt>
              <dd>${incident.reopened} times</dd>
          <dt>began</dt><dd>${moment(incident.began_at)}</dd><dt>closed</dt>
              <dd>${incident.closed_at ? moment(incident.closed_at) : 'not yet'}</dd>
          ${incident.commands?.map(c => html`<dt>command</dt><dd class="code">${c.id}</dd>`)}</dl></details>
      </div>
    </div>
    ${store.nodes.has(incident.node) && html`<${FocusCharts} id=${incident.node} around=${incident} />`}`;
}

function Words({incident}) {
  const {approvable, state} = incident, waits = approvable && state === 'planned', again = approvable && state === 'escalated';
  return html`
    ${waits && html`<${Act} class="main" run=${() => approve(incident)} said=${`Approved: ${approvable} on ${incident.node}.`}
        title=${REMEDIES[approvable]}>Approve ${approvable}</${Act}>
      <${Act} run=${() => decline(incident)} said=${`Declined: ${approvable} on ${incident.node}.`}>Decline</${Act}>`}
    ${again && html`<${Act} class="main" run=${() => approve(incident)} said=${`${approvable} is tried once more.`}
        title=${REMEDIES[approvable]}>Try ${approvable} once more</${Act}>`}
    ${state !== 'resolved' && !incident.acknowledged && html`<${Act}
        run=${async () => { await post(incidentPath(incident.id) + '/acknowledge'); refreshIncidents(); }} said="Acknowledged: others can see that a person knows." title="Let others see that a person knows about it">Acknowledge</${Act}>`}`;
}

function Figures({incident}) {
  const rows = incident.evidence ?? [];
  if (!rows.length) return html`<p
      class="quiet">This finding rests on no figure: ${incident.timeline?.[0]?.text ?? 'it is about silence'}.</p>`;
  return html`<div class="scroll" tabindex="0" role="region"
      aria-label="Figures before and after"><table><thead><tr><th scope="col">metric</th><th scope="col">ill when</th><th scope="col"
      class="num">found</th><th scope="col" class="num">after</th></tr></thead>
    <tbody>${rows.map(e => html`<tr><th scope="row">${metricLabel(e.metric)}</th><td>${conditionText(e)}</td><td
        class="num fixed">${measure(e.metric, e.before)}</td><td class="num fixed">${measure(e.metric, e.after)}</td>
        </tr>`)}</tbody></table></div>`;
}
