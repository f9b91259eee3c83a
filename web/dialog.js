// Dialogs, buttons that do something at the control plane, and the notes that say how it went.
import {html, useState, useEffect, useLayoutEffect, useRef} from './markup.js';
import {store, touch} from './live.js';
import {clock} from './words.js';

/* --- notes --------------------------------------------------------------------------------------------- */

const MOST_NOTES = 4, GOOD_NEWS_MS = 6000;
let notes = [], number = 0;

export function note(text, tone = 'good') {
  const mine = {number: ++number, text: String(text), tone};
  notes = [...notes.filter(n => n.text !== mine.text), mine].slice(-MOST_NOTES);
  if (tone === 'good') setTimeout(() => dismiss(mine.number), GOOD_NEWS_MS);
  touch();
}
function dismiss(which) {
  notes = notes.filter(n => n.number !== which);
  touch();
}

export function Notes() {
  return html`<div class="notes">
    <div role="status">${notes.filter(n => n.tone === 'good').map(n => html`<${Note} key=${n.number} note=${n} />`)}</div>
    <div role="alert">${notes.filter(n => n.tone !== 'good').map(n => html`<${Note} key=${n.number} note=${n} />`)}</div>
  </div>`;
}
function Note({note: n}) {
  return html`<p class="note ${n.tone}"><span>${n.text}</span>
    <button class="small plain" aria-label="Dismiss this message" onClick=${() => dismiss(n.number)}>✕</button></p>`;
}

/* --- buttons ------------------------------------------------------------------------------------------- */

export const whyNotNow = () => store.phase === 'live' ? null
  : store.phase === 'stale' ? `Not now: the control plane has not answered since ${clock(store.staleSince)}.`
  : 'Not now: the control plane has not answered yet.';

// A button that asks the control plane for something. What goes wrong is told, in the words of the API.
export function Act({run, said, failed, children, class: name = '', label, type = 'button', disabled = false, title}) {
  const [busy, setBusy] = useState(false), here = useRef(true);
  useEffect(() => () => { here.current = false; }, []);
  const stale = whyNotNow();
  const press = async event => {
    event.preventDefault();
    if (busy || disabled) return;
    if (stale) { (failed ?? (text => note(text, 'bad')))(stale); return; }
    setBusy(true);
    try {
      const answer = await run();
      const text = typeof said === 'function' ? said(answer) : said;
      if (text) note(text);
    } catch (error) {
      (failed ?? (text => note(text, 'bad')))(error.message, error);
    }
    if (here.current) setBusy(false);
  };
  return html`<button type=${type} class=${name} aria-label=${label} title=${stale ?? title} onClick=${press}
    aria-busy=${busy ? 'true' : undefined} aria-disabled=${stale || disabled || busy ? 'true' : undefined}>${children}</button>`;
}

/* --- dialogs ------------------------------------------------------------------------------------------- */

export function Dialog({title, close, children, class: name = ''}) {
  const box = useRef(null);
  useLayoutEffect(() => {
    const element = box.current, before = document.activeElement;
    element.showModal();
    return () => { if (element.open) element.close(); before?.focus?.(); };
  }, []);
  // Only a press that begins and ends on the backdrop closes it, not a text selection that ends there.
  const pressed = useRef(false);
  return html`<dialog ref=${box} class=${name} aria-labelledby="dialog-title" onCancel=${event => { event.preventDefault(); close(); }}
      onPointerDown=${event => { pressed.current = event.target === box.current; }}
      onClick=${event => { if (event.target === box.current && pressed.current) close(); }}>
    <div class="dialog-body">
      <header class="dialog-head"><h2 id="dialog-title">${title}</h2>
        <button class="small plain" aria-label="Close" onClick=${close}>✕</button></header>
      ${children}
    </div></dialog>`;
}

// A button that asks first, because something is lost.
export function ActAfterAsking({question, consequence, yes, run, said, children, class: name = '', label}) {
  const [asking, setAsking] = useState(false), [wrong, setWrong] = useState(null);
  return html`<button class=${name} aria-label=${label} onClick=${() => { setWrong(null); setAsking(true); }}>${children}</button>
    ${asking && html`<${Dialog} title=${question} close=${() => setAsking(false)} class="narrow">
      <p>${consequence}</p>
      ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}
      <p class="row end"><button onClick=${() => setAsking(false)}>Leave it</button>
        <${Act} class="main" run=${async () => { await run(); setAsking(false); }} said=${said} failed=${setWrong}>${yes}</${Act}></p>
    </${Dialog}>`}`;
}
