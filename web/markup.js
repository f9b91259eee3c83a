// What every view needs: markup, hooks, and a few components without a home of their own.
import {h, render, Component, Fragment, options} from './preact.js';
import {useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback} from './preact-hooks.js';
import htm from './htm.js';

export const html = htm.bind(h);
export {h, render, Component, Fragment, options, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback};

// A component that is drawn again only when `key(props)` has changed: an array, compared item by item.
export function memo(View, key) {
  return class Memo extends Component {
    shouldComponentUpdate(next) {
      const a = key(this.props), b = key(next);
      return a.length !== b.length || a.some((item, i) => item !== b[i]);
    }
    render(props) { return h(View, props); }
  };
}

// The time, told again every so often: only the component that asks is drawn again.
export function useNow(every_ms) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every_ms);
    return () => clearInterval(timer);
  }, [every_ms]);
  return now;
}

// Reads something when what it depends on has changed, but not more often than every `gap_ms`, however often that is.
// `read` gets a function that says whether its answer still counts.
export function useReading(read, depends, gap_ms) {
  const last = useRef(0);
  useEffect(() => {
    let gone = false;
    const timer = setTimeout(() => { last.current = Date.now(); read(() => !gone); }, Math.max(0, last.current + gap_ms - Date.now()));
    return () => { gone = true; clearTimeout(timer); };
  }, depends);
}

const SHAPES = {
  healthy: html`<circle cx="8" cy="8" r="6" class="full" />`,
  ill: html`<path d="M8 1.5 15 14H1z" class="full" />`,
  healing: html`<path d="M8 3 13.6 13H2.4z" class="line" />`,
  silent: html`<rect x="2.5" y="2.5" width="11" height="11" class="dash" />`,
};
export const shapeOf = health => health in SHAPES ? health : 'silent';

// Health is told by shape, word and colour; the word stands beside the shape, so the shape itself is silent.
export function Shape({health}) {
  return html`<svg class="shape ${shapeOf(health)}" viewBox="0 0 16 16" width="14" height="14"
      aria-hidden="true">${SHAPES[shapeOf(health)]}</svg>`;
}

export const nodeHref = node => '#/nodes/' + encodeURIComponent(node);
export const incidentHref = id => '#/incidents/' + encodeURIComponent(id);

export function NodeLink({node}) {
  return node ? html`<a href=${nodeHref(node)}>${node}</a>` : html`<span class="quiet">control plane</span>`;
}

export function Panel({title, id, children, class: name = '', aside}) {
  return html`<section class="panel ${name}" aria-labelledby=${id}>
    <div class="panel-head"><h2 id=${id}>${title}</h2>${aside}</div>${children}</section>`;
}
