// "Not done, and why": what homeostat held itself back from.
import {html, Panel, NodeLink, incidentHref, useState} from './markup.js';
import {store} from './live.js';
import {BLOCKS, moment, count} from './words.js';

const FEW = 6;

export function BlockedPanel() {
  const [all, setAll] = useState(false), rows = store.blocked, shown = all ? rows : rows.slice(0, FEW);
  return html`<${Panel} title="Not done, and why" id="blocked-title" aside=${rows.length > FEW && html`<button class="small"
      aria-expanded=${all ? 'true' : 'false'} onClick=${() => setAll(!all)}>${all ? 'Fewer' : 'All ' + rows.length}</button>`}>
    ${rows.length ? html`<${BlockedList} rows=${shown} />` : html`<p
        class="quiet">Nothing was held back. When a guard stops a remedy, its reason stands here.</p>`}</${Panel}>`;
}

export function BlockedList({rows, within = false}) {
  return html`<ul class="blocked">${rows.map(row => html`<li key=${[row.incident, row.reason, row.remedy, row.first_at].join()}>
    <p class="row">${!within && html`<strong><${NodeLink} node=${row.node} /></strong>`}${row.remedy && html`<span
        class="code">${row.remedy}</span>`}<span class="tag">${row.reason}</span></p>
    <p class="quiet">${row.text || BLOCKS[row.reason] || row.reason}</p>
    <p class="quiet small-text">${moment(row.last_at)}${row.count > 1 ? ', ' + count(row.count, 'time') + ' since ' + moment(row.first_at) : ''}${!within && row.incident != null ? html` · <a href=${incidentHref(row.incident)}>incident ${row.incident}</a>` : ''}</p></li>`)}</ul>`;
}
