// The head of the page: how the fleet is, who is in charge, and what waits for a person.
import {html, useNow, useState, NodeLink, incidentHref, Shape} from './markup.js';
import {store, pollSoon, refreshIncidents, refreshBlocked} from './live.js';
import {get, post, incident as incidentPath, useToken} from './api.js';
import {Act, Dialog} from './dialog.js';
import {HEALTHS, clock, count, duration, REMEDIES} from './words.js';
import {useIncident} from './steps.js';

export function tally() {
  const counts = {};
  for (const node of store.nodes.values()) counts[node.health] = (counts[node.health] ?? 0) + 1;
  return counts;
}

function automation() {
  const {health, policy} = store;
  if (health.breaker_open) return 'The breaker has stopped automation';
  if (health.paused) return 'Automation is paused';
  if (policy?.mode === 'dry_run') return 'Automation only watches';
  if (policy?.mode === 'approve') return 'Automation asks you first';
  return 'Automation is on';
}

export function HealthLine() {
  const now = useNow(400), {health} = store;
  if (store.phase === 'opening') return html`<p
      class="health-line">${store.needsToken ? 'The control plane answers only who has a token.' : store.staleSince ? 'The control plane does not answer yet. Trying again…' : 'Asking the control plane…'}</p>`;
  const counts = tally(), ago = Math.max(0, (now - store.lastEventAt) / 1000);
  const parts = HEALTHS.filter(word => counts[word]).map(word => `${counts[word].toLocaleString('en')} ${word}`);
  return html`<p class="health-line"><strong>${count(store.nodes.size, 'node')}</strong>${parts.length ? ', ' + parts.join(', ') : ''}.
    ${' '}${automation()}; ${health.disrupted} of ${health.budget} disruptions in use.
    ${' '}${store.phase === 'stale' ? html`<strong class="ink-ill">Stale since ${clock(store.staleSince)}.</strong>`
      : html`Live, last event <span
          class="fixed">${store.lastEventAt ? (ago < 10 ? ago.toFixed(1) + ' s' : duration(ago)) + ' ago' : 'not yet'}</span>.`}
    ${health.database && health.database !== 'ok' ? html`${' '}<strong class="ink-ill">Database: ${health.database}.</strong>` : ''}</p>`;
}

export function PauseButton() {
  const paused = store.health?.paused;
  return html`<${Act}
      run=${async () => { store.health = {...store.health, ...await post(paused ? '/v1/resume' : '/v1/pause')}; pollSoon(); }}
    said=${paused ? 'Automation is on again.' : 'Automation is paused: findings are still recorded, but nothing is done about them.'}
    title=${paused ? 'Let homeostat act again' : 'Let homeostat watch only, until you resume'}>${paused ? 'Resume automation' : 'Pause automation'}</${Act}>`;
}

/* --- banners ------------------------------------------------------------------------------------------- */

export function Banners() {
  const {phase, health, problem} = store;
  return html`
    ${phase === 'stale' && html`<div class="banner ill" role="alert"><p><strong>Stale since ${clock(store.staleSince)}.</strong>
      ${' '}The control plane does not answer. What you see is from then, and nothing can be changed until it is back. The page keeps trying by itself.</p></div>`}
    ${phase === 'live' && problem && html`<div class="banner ill"
        role="alert"><p><strong>Something could not be read.</strong> ${problem}</p></div>`}
    ${phase === 'live' && health?.breaker_open && html`<div class="banner ill" role="alert"><p><strong>The breaker is open.</strong>
      ${' '}So much of the fleet is ill or silent that homeostat no longer trusts itself to help. It does nothing until a person has looked and resets it.</p>
      <${Act} run=${async () => { await post('/v1/reset'); pollSoon(); }}
          said="The breaker is closed again.">Reset the breaker</${Act}></div>`}
    ${phase === 'live' && health?.paused && html`<div class="banner calm"><p><strong>Automation is paused.</strong>
      ${' '}Findings are recorded; nothing is done about them until you resume.</p></div>`}
    <${Waiting} />`;
}

const waiting = () => store.incidents.filter(i => i.state === 'planned' && i.block === 'approval' && !i.approved);

function Waiting() {
  const all = waiting();
  if (!all.length || store.phase === 'opening') return null;
  return html`<section class="banner waits" aria-labelledby="waits-title">
    <h2 id="waits-title">${all.length === 1 ? 'A plan waits for you' : all.length + ' plans wait for you'}</h2>
    ${all.slice(0, 3).map(i => html`<${WaitingPlan} key=${i.id} incident=${i} />`)}
    ${all.length > 3 && html`<p><a href="#/incidents?state=planned">See all ${all.length} of them</a></p>`}</section>`;
}

export async function approve(incident) {
  await post(incidentPath(incident.id) + '/approve', {plan: incident.plan});
  refreshIncidents(); refreshBlocked();
}
export async function decline(incident) {
  await post(incidentPath(incident.id) + '/decline', {plan: incident.plan});
  refreshIncidents(); refreshBlocked();
}

const reasonOf = (text, remedy) => text.startsWith(remedy + ': ') ? text.slice(remedy.length + 2) : text;

function WaitingPlan({incident}) {
  const {detail} = useIncident(incident.id);
  const plan = detail?.timeline?.filter(line => line.step === 'PLAN').at(-1);
  // What is named and what is approved come from one answer, the newer one.
  const newest = detail?.plan >= incident.plan ? detail : incident, remedy = newest.approvable ?? newest.remedy;
  return html`<div
      class="waits-row"><p><${Shape} health="healing" /> <strong>${remedy}</strong> on <${NodeLink} node=${incident.node} />, against ${incident.finding}.
      ${REMEDIES[remedy] && html`${' '}That would ${REMEDIES[remedy]}.`}
      ${plan && html`${' '}<span class="quiet">Reason: ${reasonOf(plan.text, remedy)}.</span>`}
      ${' '}<a href=${incidentHref(incident.id)}>Incident ${incident.id}</a></p>
    <p class="row"><${Act} class="main" run=${() => approve(newest)} said=${`Approved: ${remedy} on ${incident.node}.`}
        label=${`Approve ${remedy} on ${incident.node}`}>Approve</${Act}>
      <${Act} run=${() => decline(newest)} said=${`Declined: ${remedy} on ${incident.node}.`}
          label=${`Decline ${remedy} on ${incident.node}`}>Decline</${Act}></p></div>`;
}

/* --- the token ----------------------------------------------------------------------------------------- */

export function TokenDialog() {
  const [text, setText] = useState(''), [wrong, setWrong] = useState(null);
  const [shut, setShut] = useState(false);
  if (!store.needsToken) return null;
  if (shut) return html`<div class="banner ill"><p>This control plane asks for a token.</p><button
      onClick=${() => setShut(false)}>Enter the token</button></div>`;
  const send = async event => {
    event.preventDefault();
    useToken(text.trim());
    try { await get('/v1/nodes'); store.needsToken = false; setText(''); pollSoon(); } catch (error) { setWrong(error.message); }
  };
  return html`<${Dialog} title="This control plane asks for a token" close=${() => setShut(true)} class="narrow">
    <form onSubmit=${send}>
      <p>It is the operator's token, from the file that <code>serve --token-file</code> was given. It is kept in this tab only.</p>
      <label>Token<input type="password" autocomplete="off" value=${text} onInput=${e => setText(e.target.value)} /></label>
      ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
      <p class="row end"><button class="main" type="submit">Use it</button></p>
    </form></${Dialog}>`;
}
