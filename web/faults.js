// What is broken on purpose: the faults that are on, with their leases, and those of before.
import {html, Panel, NodeLink, useNow, useState} from './markup.js';
import {store, refreshFaults, refreshPast} from './live.js';
import {del, fault as faultPath, serverNow} from './api.js';
import {Act} from './dialog.js';
import {measure, quantity, duration, ticking, moment, EFFECTS, metricLabel, count} from './words.js';
import {Scenarios} from './scenarios.js';

const kindOf = name => store.kinds.find(k => k.kind === name);
export function intensityText(fault) {
  const kind = kindOf(fault.kind);
  return !kind?.unit || kind.least === kind.most ? '' : quantity(kind.unit === 'count' ? 'times' : kind.unit, fault.intensity);
}

function effectText(f) {
  if (!f.metric) return 'it moves no metric';
  const move = f.before != null && f.after != null ? `: ${metricLabel(f.metric)} ${measure(f.metric, f.before)} → ${measure(f.metric, f.after)}` : f.effect === 'waiting' ? ` in ${metricLabel(f.metric)}` : '';
  return (EFFECTS[f.effect] ?? f.effect) + move;
}

export function RunningFaults() {
  return html`<${FaultRows} title="Broken on purpose" faults=${store.faults} empty="Nothing is broken." all />`;
}

export function FaultRows({title, faults, empty, all = false}) {
  const on = faults.filter(f => f.state === 'asked' || f.state === 'active');
  return html`<${Panel} title=${title} id="running-title" aside=${all && on.length > 1 && html`<${Act} class="small"
      run=${async () => { const a = await del('/v1/faults'); refreshFaults(); refreshPast(); return a; }} said=${a => `${count(a.cleared, 'fault')} cleared.`}>Clear all</${Act}>`}>
    ${on.length ? html`<ul
        class="faults">${on.slice(0, 20).map(f => html`<${Running} key=${f.id} fault=${f} />`)}</ul>${on.length > 20 && html`<p
        class="quiet">and ${on.length - 20} more: <a href="#/faults">all faults</a></p>`}` : html`<p
        class="quiet">${empty}</p>`}</${Panel}>`;
}

function Running({fault: f}) {
  useNow(500);
  const left = Math.max(0, (Date.parse(f.expires_at) - (store.phase === 'stale' ? store.lastHeard : serverNow())) / 1000);
  const whole = Math.max(1, (Date.parse(f.expires_at) - Date.parse(f.asked_at)) / 1000);
  const level = intensityText(f);
  return html`<li><div
      class="fault-row"><p><strong>${f.kind}</strong> on <${NodeLink} node=${f.node} />${level && ', ' + level}${f.shape && f.shape !== 'step' ? ', ' + f.shape : ''}</p>
      <${Act} class="small" label=${`Clear ${f.kind} on ${f.node ?? 'the control plane'}`}
          run=${async () => { await del(faultPath(f.id)); refreshFaults(); refreshPast(); }} said=${`${f.kind} on ${f.node ?? 'the control plane'} is being cleared.`}>Clear</${Act}></div>
    <p class="quiet small-text"><span
        class=${f.effect === 'seen' ? 'ink-ill' : ''}>${f.state === 'asked' ? 'on its way to the node' : effectText(f)}</span> · <span
        class="fixed">ends by itself in ${ticking(Math.ceil(left))}</span></p>
    <div class="lease" aria-hidden="true"><i style=${{width: Math.min(100, left / whole * 100) + '%'}}></i></div></li>`;
}

const REASONS = {cured: 'cured', cleared: 'cleared by a person', expired: 'its time was up'};

export function FaultsView({onBreak}) {
  const [shown, setShown] = useState(30), past = store.allFaults.filter(f => f.state === 'ended' || f.state === 'failed');
  return html`<h1>Faults</h1><p
      class="lead">A fault is a trouble that is made on purpose. Each ends by itself after a while, whatever happens; a cure ends it sooner.</p>
    <div class="columns aside-first"><aside class="side-column" aria-label="Faults that are on"><${RunningFaults} /></aside>
      <div class="main-column">
      <${Scenarios} />
      <${Panel} title="Broken before" id="past-title">${past.length ? html`<div class="scroll" tabindex="0" role="region"
          aria-label="Table of past faults"><table>
        <thead><tr><th scope="col" class="num">id</th><th scope="col">when</th><th scope="col">fault</th><th scope="col">node</th>
            <th scope="col">how it ended</th><th scope="col" class="num">after</th><th scope="col">effect</th></tr></thead>
        <tbody>${past.slice(0, shown).map(f => html`<tr key=${f.id}><td class="num">${f.id}</td><td
            class="fixed nowrap">${moment(f.asked_at)}</td><td>${f.kind}</td><td><${NodeLink} node=${f.node} /></td>
          <td>${f.state === 'failed' ? html`<span class="ink-ill">failed</span>: ${f.reason}` : REASONS[f.reason] ?? f.reason}</td><td
              class="num fixed">${f.injected_at && f.ended_at ? duration((Date.parse(f.ended_at) - Date.parse(f.injected_at)) / 1000) : '–'}</td><td class="wide">${effectText(f)}</td></tr>`)}</tbody></table></div>
        ${past.length > shown && html`<p><button onClick=${() => setShown(shown + 50)}>Show more</button></p>`}` : html`<p
            class="quiet">Nothing has been broken yet. <button class="small"
            onClick=${() => onBreak(null)}>Break the first thing</button></p>`}</${Panel}>
    </div></div>`;
}
