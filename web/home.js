// The front page: the fleet, one node in focus with its charts, its incident as four steps, and what was not done.
import {html, Panel, incidentHref, useState, useEffect} from './markup.js';
import {store, SMALL_FLEET} from './live.js';
import {FleetCards, isTall} from './fleet.js';
import {FleetGrid} from './grid.js';
import {FocusCharts} from './node.js';
import {IncidentTable} from './incidents.js';
import {FourSteps, useIncident} from './steps.js';
import {BlockedPanel} from './blocked.js';
import {RunningFaults} from './faults.js';
import {ScenarioBar} from './scenarios.js';
import {ACTIVE} from './words.js';

// What to look at: the newest incident that still goes on, else a node that has a fault on, else the newest of all.
function focusOf() {
  // One that another explains is the lesser story; one that was left to people is told when nothing else goes on.
  const active = store.incidents.find(i => ACTIVE.has(i.state) && i.state !== 'escalated' && i.block !== 'explained') ??
    store.incidents.find(i => ACTIVE.has(i.state) && i.state !== 'escalated') ?? store.incidents.find(i => ACTIVE.has(i.state));
  const fault = store.faults.find(f => (f.state === 'active' || f.state === 'asked') && f.node && !(active && new Date(active.opened_at) > new Date(f.asked_at)));
  const newest = store.incidents[0];
  const node = fault?.node ?? active?.node ?? newest?.node ?? (store.nodes.has('web-1') ? 'web-1' : store.nodes.keys().next().value);
  return {node, incident: active ?? newest ?? null};
}

export function Home() {
  // The page comes in parts, so that no frame is long: the fleet, what is done, the charts, the table.
  const [part, setPart] = useState(0), ready = store.phase !== 'opening';
  useEffect(() => { if (ready && part < 3) setPart(part + 1); }, [ready, part]);
  if (store.phase === 'opening') return html`<h1>Fleet</h1><p
      class="quiet">${store.needsToken ? 'It asks for a token.' : store.staleSince ? 'The control plane does not answer. Is it running? Start it with ./run up.' : 'One moment…'}</p>`;
  const {node, incident} = focusOf();
  if (!store.nodes.size) return html`<h1>Fleet</h1><${Panel} title="No node has said hello yet" id="empty-title">
    <p>A node agent says hello by itself when it starts. <code>./run up</code> starts three; <code>examples/node-agent.sh</code> is one of thirty lines that you can read.</p></${Panel}>`;
  const small = store.nodes.size <= SMALL_FLEET, tall = small && isTall();
  return html`<h1 class="unseen">Fleet</h1>
    <${ScenarioBar} />
    ${small && tall && html`<${FleetCards} />`}
    ${!small && html`<${FleetGrid} version=${store.fleetVersion} samples=${store.sampleVersion} />`}
    <div class="columns">
      <div class="main-column">
        ${small && !tall && html`<${FleetCards} />`}
        ${node && part > 1 && html`<${FocusCharts} key=${node} id=${node} />`}
        ${part > 2 && html`<${Panel} title="Incidents" id="home-incidents" aside=${html`<a href="#/incidents">All of them</a>`}>
          <${IncidentTable} incidents=${store.incidents.slice(0, 6)} empty="No incident yet. Break something and watch." /></${Panel}>`}
      </div>
      <aside class="side-column" aria-label="What is being done">
        ${part > 0 && html`<${RunningFaults} />
        ${incident ? html`<${NewestIncident} key=${incident.id} id=${incident.id} />`
          : html`<${Panel} title="Newest incident" id="newest"><p>Nothing is wrong. Break something and watch.</p>
            <p class="quiet">Each trouble goes through four steps: it is detected, a remedy is planned, the node carries it out, and it is verified that it helped. They will show up here.</p></${Panel}>`}
        <${BlockedPanel} />`}
      </aside>
    </div>`;
}

function NewestIncident({id}) {
  const {detail, problem} = useIncident(id);
  return html`<${Panel} title=${'Incident ' + id + (detail ? ': ' + detail.node + ', ' + detail.finding : '')} id="newest" aside=${html`<a
      href=${incidentHref(id)} aria-label=${'More about incident ' + id}>More</a>`}>
    ${problem ? html`<p class="wrong">${problem}</p>` : detail ? html`<${FourSteps} incident=${detail} />` : html`<p
        class="quiet">One moment…</p>`}</${Panel}>`;
}
