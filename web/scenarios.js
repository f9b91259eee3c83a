// Scenarios: scripts of several faults. One runs at a time.
import {html, Panel, useNow} from './markup.js';
import {store, refreshScenarios, refreshFaults} from './live.js';
import {post, del, serverNow} from './api.js';
import {Act, ActAfterAsking} from './dialog.js';
import {duration, count} from './words.js';

const running = () => store.scenarios?.running ?? null;

function Stop({run}) {
  return html`<${ActAfterAsking} class="small" label=${'Stop ' + run.name} question=${`Stop ${run.name}?`} consequence="Its faults are cleared, and the run cannot be taken up again where it stopped." yes="Stop it"
    run=${async () => { await del('/v1/scenarios'); refreshScenarios(); refreshFaults(); }} said=${`${run.name} is stopped.`}>Stop</${ActAfterAsking}>`;
}

// Where the run is: the server's word, carried on by our clock.
function Progress({run}) {
  useNow(500);
  const at = run.ended ? run.length_s : Math.min(run.length_s, Math.max(run.at_s, store.phase === 'stale' ? run.at_s : (serverNow() - Date.parse(run.started_at)) / 1000));
  return html`<p class="quiet small-text fixed">${run.ended ? 'It has ended.' : `${duration(Math.floor(at))} of ${duration(run.length_s)}`}</p>
    <progress max=${run.length_s} value=${at} aria-label=${'Progress of ' + run.name}></progress>
    <ol class="ticks">${run.faults.map(f => html`<li class=${f.done ? 'done' : ''}><span aria-hidden="true">${f.done ? '✓' : '○'}</span> <span class="fixed quiet">${duration(f.at_s)}</span> ${f.kind} on ${f.on}<span class="unseen">${f.done ? ', done' : ', still to come'}</span></li>`)}</ol>`;
}

export function ScenarioBar() {
  const run = running();
  if (!run || run.ended) return null;
  return html`<${Panel} title=${'Scenario: ' + run.name} id="scenario-bar" class="slim" aside=${html`<${Stop} run=${run} />`}><${Progress} run=${run} /></${Panel}>`;
}

export function Scenarios() {
  const all = store.scenarios, run = running();
  if (!all) return null;
  return html`${run && html`<${Panel} title=${(run.ended ? 'Last scenario: ' : 'Running: ') + run.name} id="scenario-running" aside=${!run.ended && html`<${Stop} run=${run} />`}><${Progress} run=${run} /></${Panel}>`}
    <${Panel} title="Scenarios" id="scenarios-title"><p class="quiet">A scenario breaks several things, one after the other, as a bad day would. Start one and go to the fleet to watch.</p>
      <ul class="scenarios">${all.scenarios.map(s => html`<li key=${s.name}><div><strong>${s.name}</strong> <span class="quiet small-text">${count(s.faults, 'fault')}, ${duration(s.length_s)}</span><p class="quiet">${s.text}</p>${!s.playable && html`<p class="small-text">Not in this fleet: ${s.why_not}</p>`}</div>
        <${Act} label=${'Start ' + s.name} disabled=${!s.playable || !!(run && !run.ended)} title=${run && !run.ended ? 'One scenario runs at a time' : undefined}
          run=${async () => { await post('/v1/scenarios', {name: s.name}); refreshScenarios(); location.hash = '#/'; }} said=${`${s.name} has begun.`}>Start</${Act}></li>`)}</ul></${Panel}>`;
}
