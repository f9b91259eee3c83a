// Scenarios: scripts of several faults. One runs at a time.
import {html, Panel, useNow} from './markup.js';
import {store, refreshScenarios, refreshFaults} from './live.js';
import {post, del, serverNow} from './api.js';
import {Act, ActAfterAsking} from './dialog.js';
import {duration, ticking, count} from './words.js';

const running = () => store.scenarios?.running ?? null;

function Stop({run}) {
  return html`<${ActAfterAsking} class="small" label=${'Stop ' + run.name} question=${`Stop ${run.name}?`}
      consequence="Its faults are cleared, and the run cannot be taken up again where it stopped." yes="Stop it"
    run=${async () => { await del('/v1/scenarios'); refreshScenarios(); refreshFaults(); }} said=${`${run.name} is stopped.`}>Stop</${ActAfterAsking}>`;
}

// Where the run is: the server's word, carried on by our clock.
function Progress({run}) {
  useNow(500);
  const at = run.ended ? run.length_s : Math.min(run.length_s, Math.max(run.at_s, store.phase === 'stale' ? run.at_s : (serverNow() - Date.parse(run.started_at)) / 1000));
  return html`<p
      class="quiet small-text fixed">${run.ended ? 'It has ended.' : `${ticking(Math.floor(at))} of ${duration(run.length_s)}`}</p>
    <progress max=${run.length_s} value=${at} aria-label=${'Progress of ' + run.name}></progress>
    <ol class="ticks">${run.faults.map(f => html`<li class=${f.done ? 'done' : ''}><span
        aria-hidden="true">${f.done ? '✓' : '○'}</span> <span class="fixed quiet">${ticking(f.at_s)}</span> ${f.kind} on ${f.on}<span
        class="unseen">${f.done ? ', done' : ', still to come'}</span></li>`)}</ol>`;
}

export function ScenarioBar() {
  const run = running();
  if (!run || run.ended) return null;
  return html`<${Panel} title=${'Scenario: ' + run.name} id="scenario-bar" class="slim" aside=${html`<${Stop} run=${run} />`}><${Progress}
      run=${run} /></${Panel}>`;
}

export function Scenarios() {
  const all = store.scenarios, run = running();
  if (!all) return null;
  const playable = all.scenarios.filter(s => s.playable), others = all.scenarios.filter(s => !s.playable);
  return html`${run && html`<${Panel} title=${(run.ended ? 'Last scenario: ' : 'Running: ') + run.name} id="scenario-running"
      aside=${!run.ended && html`<${Stop} run=${run} />`}><${Progress} run=${run} /></${Panel}>`}
    <${Panel} title="Scenarios" id="scenarios-title"><p
        class="quiet">A scenario breaks one thing or several, each at its time, as a bad day would. Start one and go to the fleet to watch.</p>
      ${playable.length ? html`<ul
          class="scenarios">${playable.map(s => html`<${Scenario} key=${s.name} scenario=${s} />`)}</ul>` : html`<p>None suits this fleet.</p>`}
      ${others.length > 0 && html`<details class="more"><summary>${others.length} that do not suit this fleet</summary><ul
          class="scenarios">${others.map(s => html`<${Scenario} key=${s.name} scenario=${s} />`)}</ul></details>`}</${Panel}>`;
}

function Scenario({scenario: s}) {
  const run = running(), busy = run && !run.ended;
  return html`<li><div><strong>${s.title ?? s.name}</strong> <span
      class="quiet small-text">${s.title ? s.name + ' · ' : ''}${count(s.faults, 'fault')}, ${duration(s.length_s)}</span>
      <p class="quiet">${s.text}</p>${!s.playable && s.why_not && html`<p class="small-text">Not here: ${s.why_not}.</p>`}</div>
    ${s.playable && html`<${Act} label=${'Start ' + s.name} disabled=${busy} title=${busy ? 'One scenario runs at a time' : undefined}
      run=${async () => { await post('/v1/scenarios', {name: s.name}); refreshScenarios(); location.hash = '#/'; }} said=${`${s.name} has begun.`}>Start</${Act}>`}</li>`;
}
