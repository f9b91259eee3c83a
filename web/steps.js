// One incident as its four steps: Detect, Plan, Act, Verify.
import {html, useState, useReading} from './markup.js';
import {store} from './live.js';
import {get, incident as incidentPath} from './api.js';
import {clock, moment, duration, measure, exact, sentence, metricLabel, metricUnit, seconds, REMEDIES, VERDICTS, OUTCOMES, BLOCKS, count} from './words.js';
import {BlockedList} from './blocked.js';

const KEPT = 60;
const details = new Map();      // id -> {detail, version}

// The incident with its timeline, read again after each event about it.
export function useIncident(id) {
  const [state, setState] = useState(() => details.get(String(id)) ?? {detail: null, problem: null});
  const version = (store.touched.get(Number(id)) ?? 0) + ':' + (store.streaming ? 1 : 0) + ':' + store.phase;
  useReading(async counts => {
    try {
      const next = {detail: await get(incidentPath(id)), problem: null};
      details.delete(String(id));
      details.set(String(id), next);
      if (details.size > KEPT) details.delete(details.keys().next().value);
      if (counts()) setState(next);
    } catch (error) {
      if (counts()) setState(old => ({detail: old.detail, problem: error.status === 0 && old.detail ? null : error.message}));
    }
  }, [id, version], 400);
  return state;
}

const STEP_OF = {DETECT: 0, PLAN: 1, ACT: 2, COMMAND: 2, DONE: 2, CUT: 2, END: 2, VERIFY: 3, RESOLVED: 3, PEOPLE: 3};
const CURRENT = {open: 0, planned: 1, acting: 2, verifying: 3, resolved: 4, escalated: 4};
export const stepOf = line => STEP_OF[line.step] ?? null;

// "> 0.9" in the metric's own unit.
export function conditionText(e) {
  if (metricUnit(e.metric) === 'flag') return 'down';
  const match = /^(rate )?\s*([<>]=?)\s*(-?[\d.eE+-]+)(.*)$/.exec(e.condition ?? '');
  if (!match || !isFinite(+match[3])) return String(e.condition ?? '');
  return (match[1] ? 'growing ' : '') + match[2] + '\u00a0' + exact(metricUnit(e.metric), +match[3]) + match[4];
}

export function FourSteps({incident, full = false}) {
  const lines = incident.timeline ?? [], current = CURRENT[incident.state] ?? 0;
  const of = step => lines.filter(line => stepOf(line) === step);
  const state = step => step < current ? 'past' : step === current ? 'now' : 'ahead';
  const words = {past: 'done', now: 'under way', ahead: 'not yet'};
  const item = (step, name, when, body) => html`<li class="step ${state(step)} ${step === 3 ? 'end-' + incident.state : ''}"
      aria-current=${state(step) === 'now' ? 'step' : undefined}>
    <div class="step-head"><h3>${name}<span class="unseen">(${words[state(step)]})</span></h3><span
        class="quiet small-text">${when}</span></div>${body}</li>`;
  return html`<ol class="steps">
    ${item(0, 'Detect', `${clock(incident.opened_at, true)}${incident.detected_after_s != null ? ' · after ' + duration(incident.detected_after_s) : ''}`, html`<${Detect} incident=${incident} lines=${of(0)} />`)}
    ${item(1, 'Plan', since(incident.opened_at, of(1).at(-1)?.at), html`<${Plan} incident=${incident} lines=${of(1)} full=${full} />`)}
    ${item(2, 'Act', since(incident.opened_at, incident.acted_at), html`<${ActStep} incident=${incident} full=${full} />`)}
    ${item(3, 'Verify', incident.closed_at ? since(incident.opened_at, incident.closed_at) : current === 3 ? 'watching' : '', html`<${Verify} incident=${incident} lines=${of(3)} full=${full} />`)}
  </ol>`;
}
const since = (from, to) => !to ? '' : seconds(from, to) < 0.001 ? 'at once' : '+ ' + duration(seconds(from, to));

function Detect({incident, lines}) {
  return html`<p>${sentence((incident.reopened ? lines.at(-1) : lines[0])?.text ?? incident.finding)}</p>
    <ul class="plain-list quiet">${incident.evidence?.map(e => html`<li>${metricLabel(e.metric)} was <b>${measure(e.metric, e.before)}</b>${metricUnit(e.metric) === 'flag' ? '' : '; ill is ' + conditionText(e)}</li>`)}</ul>
    ${incident.fault && html`<p class="quiet">It was broken on purpose: <span
        class="code">${incident.fault.kind}</span> at ${clock(incident.fault.injected_at, true)}.</p>`}
    ${incident.reopened > 0 && html`<p class="quiet">It came back ${count(incident.reopened, 'time')}.</p>`}`;
}

function Plan({incident, lines, full}) {
  if (!lines.length) return incident.state === 'escalated' ? html`<p
      class="quiet">The policy has nothing more to try against this: people are told.</p>`
    : incident.state === 'resolved' ? html`<p class="quiet">None was needed: it went away by itself.</p>` : html`<p
        class="quiet">Not yet.</p>`;
  const shown = full ? lines : lines.slice(-1);
  // Back to the beginning without having been well: a person declined, or the policy is another.
  const back = incident.reopened ? [] : incident.timeline.filter(line => line.step === 'DETECT').slice(1);
  return html`${shown.map(line => html`<p>${sentence(line.text)}</p>${REMEDIES[line.remedy] && html`<p
      class="quiet">That is: ${REMEDIES[line.remedy]}.</p>`}`)}
    ${!full && lines.length > 1 && html`<p class="quiet">${count(lines.length, 'plan')} so far.</p>`}
    ${back.slice(-1).map(line => html`<p class="quiet">${sentence(line.text)}</p>`)}
    ${incident.approved && html`<p
        class="quiet">A person approved it${incident.approved_until ? ', good until ' + moment(incident.approved_until) : ''}.</p>`}`;
}

function ActStep({incident, full}) {
  const commands = incident.commands ?? [], blocked = incident.blocked ?? [];
  const held = ['open', 'planned'].includes(incident.state) ? incident.block : null;
  return html`${commands.map(c => html`<p><span class="code">${c.remedy}</span> <b
      class=${c.outcome === 'done' ? 'ink-healthy' : ['failed', 'cut', 'unknown'].includes(c.outcome) ? 'ink-ill' : ''}>${OUTCOMES[c.outcome] ?? c.outcome}</b>${c.took_s != null ? ' after ' + duration(c.took_s) : ''}${c.detail ? html`: <span class="foreign">${c.detail}</span>` : '.'}</p>
      <p class="quiet">Attempt ${c.attempt}, ordered ${clock(c.ordered_at, true)} by ${c.by === 'person' ? 'a person' : c.by === 'policy' ? 'the policy' : c.by}.</p>`)}
    ${held && held !== 'none' && html`<p>Not done now: <span class="tag">${held}</span> ${BLOCKS[held] ?? ''}.</p>`}
    ${blocked.length ? full ? html`<h4>Guards that stopped it</h4><${BlockedList} rows=${blocked} within />`
        : html`<p
            class="quiet">Held back: ${blocked.slice(0, 3).map(b => `${b.reason} (${BLOCKS[b.reason] ?? b.text}${b.count > 1 ? ', ' + b.count + '×' : ''})`).join('; ')}${blocked.length > 3 ? `; ${blocked.length - 3} more` : ''}.</p>`
      : commands.length ? html`<p class="quiet">Every guard was asked, and none objected.</p>` : null}
    ${!commands.length && !blocked.length && !(held && held !== 'none') && html`<p
        class="quiet">${['resolved', 'escalated'].includes(incident.state) ? 'Nothing was done.' : 'Not yet.'}</p>`}`;
}

function Verify({incident, lines, full}) {
  const changed = (incident.evidence ?? []).filter(e => e.after != null);
  const tried = incident.commands?.at(-1)?.remedy;
  const ends = lines.filter(line => line.step !== 'VERIFY').slice(full ? -3 : -1), last = ends.length ? ends : lines.slice(-1);
  if (!lines.length) return html`<p class="quiet">Not yet.</p>`;
  return html`${incident.verdict && incident.verdict !== 'none' && html`<p>${tried ? html`<span class="code">${tried}</span> was ` : ''}<b
      class=${incident.verdict === 'effective' ? 'ink-healthy' : 'ink-ill'}>${incident.verdict}</b>: ${VERDICTS[incident.verdict] ?? ''}.</p>`}
    ${incident.state === 'escalated' && html`<p><b class="ink-ill">Left to people.</b></p>`}
    ${changed.length ? html`<ul
        class="plain-list">${changed.map(e => html`<li>${metricLabel(e.metric)} ${measure(e.metric, e.before)} → <b>${measure(e.metric, e.after)}</b></li>`)}</ul>` : null}
    ${last.map(line => html`<p class="quiet">${sentence(line.text)}</p>`)}
    ${incident.proved_after_s != null && html`<p
        class="quiet">${incident.fixed_after_s != null ? `Fixed after ${duration(incident.fixed_after_s)}, proved` : 'Proved'} after ${duration(incident.proved_after_s)}${incident.fault ? ' from the moment it was broken' : ''}.</p>`}`;
}
