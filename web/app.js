// The shell of the page: routes by the address's #, head, landmarks, and what lies above everything.
import {html, render, useState, useEffect, useRef} from './markup.js';
import {store, startDrawing, startListening, touch} from './live.js';
import {HealthLine, PauseButton, Banners, TokenDialog} from './control.js';
import {Notes} from './dialog.js';
import {Home} from './home.js';
import {NodeView} from './node.js';
import {Incidents} from './incidents.js';
import {IncidentView} from './incident.js';
import {FaultsView} from './faults.js';
import {PolicyView} from './policy.js';
import {BreakDialog} from './break.js';

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}
function routeOf(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  return {name, id: rest.length ? decode(rest.join('/')) : null, query: new URLSearchParams(query)};
}
let route = routeOf(location.hash);
addEventListener('hashchange', () => {
  if (location.hash === '#main') return;
  route = routeOf(location.hash);
  moved = true;
  scrollTo(0, 0);
  touch();
});
let moved = false;

function view(breakNode) {
  switch (route.name) {
  case '': return html`<${Home} />`;
  case 'nodes': return route.id ? html`<${NodeView} key=${route.id} id=${route.id} onBreak=${breakNode} />` : html`<${Home} />`;
  case 'incidents': return route.id ? html`<${IncidentView} key=${route.id}
      id=${route.id} />` : html`<${Incidents} query=${route.query} />`;
  case 'faults': return html`<${FaultsView} onBreak=${breakNode} />`;
  case 'policy': return html`<${PolicyView} />`;
  default: return html`<h1>Nothing is here</h1><p>There is no page called “${route.name}”. <a href="#/">Back to the fleet</a></p>`;
  }
}

const PLACES = [['', 'Fleet'], ['incidents', 'Incidents'], ['faults', 'Faults'], ['policy', 'Policy']];

function App() {
  const [breaking, setBreaking] = useState(null), main = useRef(null);
  useEffect(() => {
    // Who moves by keyboard or ear is brought to the new page's beginning.
    if (moved) { moved = false; main.current?.focus({preventScroll: true}); }
    const heading = main.current?.querySelector('h1')?.textContent;
    document.title = heading ? heading + ' · homeostat' : 'homeostat';
    document.documentElement.classList.toggle('stale', store.phase === 'stale');
  });
  const breakNode = node => setBreaking({node});
  return html`
    <a class="skip" href="#main" onClick=${event => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <header class="head">
      <div class="head-row">
        <a class="brand" href="#/">homeostat</a>
        <nav aria-label="Pages"><ul>${PLACES.map(([name, word]) => html`<li><a href=${'#/' + name}
          aria-current=${(route.name === 'nodes' ? '' : route.name) === name ? 'page' : undefined}>${word}</a></li>`)}</ul></nav>
        <div class="head-buttons"><${PauseButton} /><button class="main"
            onClick=${() => breakNode(route.name === 'nodes' ? route.id : null)}>Break something</button></div>
      </div>
      <${HealthLine} />
    </header>
    <main id="main" tabindex="-1" ref=${main}><${Banners} />${view(breakNode)}</main>
    <footer class="foot quiet">homeostat ${store.health?.version ?? ''} · times are in your time zone${store.streaming || store.phase !== 'live' ? '' : ' · the event stream is being reconnected; polling meanwhile'}</footer>
    ${breaking && html`<${BreakDialog} node=${breaking.node} close=${() => setBreaking(null)} />`}
    <${TokenDialog} />
    <${Notes} />
    <p class="unseen" aria-live="polite" role="log">${store.spoken}</p>`;
}

const root = document.getElementById('app');
root.textContent = '';
startDrawing(() => render(html`<${App} />`, root));
startListening();
