// One chart: a metric over time with what was done drawn into it, and the same in words.
import uPlot from './uplot.js';
import {html, useRef, useLayoutEffect} from './markup.js';
import {measure, metricLabel, metricUnit, METRICS, clock, moment, quantity} from './words.js';
import {heardUntil, useSeries} from './series.js';
import {inTurn, notInTurn} from './live.js';

const WHOLE = new Set(['cpu_utilization', 'filesystem_utilization', 'node_memory_utilization', 'neighbour_cpu_utilization']);

const NARROWEST = 120; // px that a chart can be drawn in

let inks = null;
const dark = matchMedia('(prefers-color-scheme: dark)');
dark.addEventListener('change', () => { inks = null; for (const plot of alive) plot.redraw(false); });
const alive = new Set();
const tick = (unit, value) => quantity(unit, value).replace(/\.0(?=\u00a0)/, '');
function ink(name) {
  if (!inks) {
    const style = getComputedStyle(document.documentElement);
    inks = Object.fromEntries(['ink', 'quiet', 'line', 'chart', 'band', 'fault', 'fault-ink', 'healing', 'healthy', 'ill', 'panel'].map(n => [n, style.getPropertyValue('--' + n).trim()]));
  }
  return inks[name];
}

function topOf(metric, data, thresholds) {
  let most = 0;
  for (const value of data[3] ?? []) if (value > most) most = value;
  if (metricUnit(metric) === 'flag') return 1.1;
  let top = WHOLE.has(metric) ? 1 : most * 1.15;
  for (const t of thresholds) if (t.value <= Math.max(most, 1e-9) * 5) top = Math.max(top, t.value * 1.15);
  if (metricUnit(metric) === 'ratio') top = Math.min(Math.max(top, 0.05), Math.max(1, most) * 1.05);
  return top > 0 ? top : 1;
}

// On a ground of its own, so that it can be read across lines.
function write(ctx, text, x, y, scale) {
  const wide = ctx.measureText(text).width, high = 12 * scale, colour = ctx.fillStyle;
  ctx.fillStyle = ink('panel');
  ctx.globalAlpha = 0.85;
  ctx.fillRect((ctx.textAlign === 'right' ? x - wide : x) - 2 * scale, ctx.textBaseline === 'top' ? y - scale : y - high, wide + 4 * scale, high + scale);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour;
  ctx.fillText(text, x, y);
}

// Whether the curve is in the upper half there: a word then goes to the lower one.
function isHigh(u, at) {
  return (u.data[1][u.valToIdx(at)] ?? 0) > u.scales.y.max / 2;
}

// The names of faults above, each where the one before it leaves room.
function writeSpans(u, spans, scale) {
  const {ctx} = u, {left, top, width} = u.bbox, {min, max} = u.scales.x;
  let freeFrom = left;
  ctx.fillStyle = ink('fault-ink');
  ctx.textBaseline = 'top';
  for (const m of spans) {
    const a = Math.max(left, u.valToPos(m.from, 'x', true));
    if ((m.to ?? max) < min || m.from > max || a < freeFrom) continue;
    const wide = ctx.measureText(m.text).width, at = Math.min(a + 4 * scale, left + width - wide - 2 * scale);
    write(ctx, m.text, at, top + 3 * scale, scale);
    freeFrom = at + wide + 8 * scale;
  }
}

// What lines say, in the half that the curve leaves free: as one where a word would lie on the next.
function writeLines(u, lines, scale) {
  const {ctx} = u, {left, top, width, height} = u.bbox, groups = [], textOf = group => [...group.words].join(', ');
  for (const m of lines) {
    const at = u.valToPos(m.at, 'x', true), last = groups.at(-1);
    if (last && at - last.x < ctx.measureText(textOf(last)).width + 10 * scale) { last.words.add(m.text); last.x = at; } else groups.push({x: at, first: at, at: m.at, words: new Set([m.text])});
  }
  ctx.fillStyle = ink('quiet');
  for (const group of groups) {
    const text = textOf(group), wide = ctx.measureText(text).width, low = isHigh(u, group.at);
    ctx.textBaseline = low ? 'bottom' : 'top';
    write(ctx, text, group.x + 4 * scale + wide > left + width ? Math.max(left + 2 * scale, group.first - wide - 4 * scale) : group.x + 4 * scale,
      low ? top + height - 3 * scale : top + 17 * scale, scale);
  }
}

// Shaded: while a fault was on. Lines: when it was found, acted on, and judged. The words come last, over everything.
function drawMarks(u, marks, labelled) {
  const {ctx} = u, {left, top, width, height} = u.bbox, scale = devicePixelRatio || 1, {min, max} = u.scales.x;
  const x = at => u.valToPos(at, 'x', true), lines = marks.lines.filter(m => m.at >= min && m.at <= max);
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = ink('fault');
  for (const m of marks.spans) {
    if ((m.to ?? max) < min || m.from > max) continue;
    const a = Math.max(left, x(m.from)), b = Math.min(left + width, x(m.to ?? max));
    ctx.fillRect(a, top, Math.max(b - a, 2 * scale), height);
  }
  for (const m of lines) {
    const at = Math.round(x(m.at)) + 0.5;
    ctx.strokeStyle = ink(m.tone);
    ctx.lineWidth = (m.tone === 'quiet' ? 1 : 1.5) * scale;
    ctx.setLineDash(m.tone === 'ink' ? [3 * scale, 3 * scale] : []);
    ctx.beginPath();
    ctx.moveTo(at, top);
    ctx.lineTo(at, top + height);
    ctx.stroke();
  }
  if (labelled) {
    ctx.font = `${11 * scale}px system-ui, sans-serif`;
    ctx.textAlign = 'left';
    writeSpans(u, marks.spans, scale);
    writeLines(u, lines, scale);
  }
  ctx.restore();
}

function drawThresholds(u, thresholds, metric) {
  const {ctx} = u, {left, width} = u.bbox, scale = devicePixelRatio || 1;
  ctx.save();
  ctx.font = `${11 * scale}px system-ui, sans-serif`;
  ctx.textAlign = 'right';
  for (const t of thresholds) {
    if (t.value > u.scales.y.max || t.value < u.scales.y.min) continue;
    const y = Math.round(u.valToPos(t.value, 'y', true)) + 0.5;
    ctx.strokeStyle = ink('quiet');
    ctx.lineWidth = scale;
    ctx.setLineDash([4 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.fillStyle = ink('quiet');
    ctx.textBaseline = y - u.bbox.top < 16 * scale ? 'top' : 'bottom';
    write(ctx, t.text, left + width - 4 * scale, y + (ctx.textBaseline === 'top' ? 2 : -2) * scale, scale);
  }
  ctx.restore();
}

function make(box, width, metric, now, height, group, last) {
  const axis = {stroke: () => ink('quiet'), font: '11px system-ui, sans-serif', grid: {stroke: () => ink('line'), width: 1}, ticks: {show: false}};
  const unit = metricUnit(metric);
  const plot = new uPlot({
    width, height, padding: [6, 28, 0, 0],
    legend: {show: false},
    cursor: {sync: {key: group}, drag: {x: true, y: false, setScale: false}, points: {size: 6}, y: false},
    scales: {x: {time: true, range: () => [now.from, now.to]}, y: {range: () => [0, now.top]}},
    axes: [
      {...axis, size: last ? 24 : 4, space: 80, values: (u, ticks) => last ? ticks.map(t => now.to - now.from > 86400 ? moment(t * 1000).slice(5, 16) : now.to - now.from > 1800 ? clock(t * 1000).slice(0, 5) : clock(t * 1000)) : ticks.map(() => '')},
      {...axis, size: 58, gap: 6, space: 26, values: (u, ticks) => ticks.map(t => unit === 'flag' ? (t === 0 ? 'down' : t === 1 ? 'up' : '') : tick(unit, t))},
    ],
    series: [{},
      {stroke: () => ink('chart'), width: 1.6, points: {show: false}},
      {stroke: null, width: 0, points: {show: false}}, {stroke: null, width: 0, points: {show: false}}],
    bands: [{series: [3, 2], fill: () => ink('band')}],
    hooks: {
      drawAxes: [u => drawThresholds(u, now.thresholds, metric)],
      draw: [u => drawMarks(u, now.marks, now.labelled)],
      setSelect: [u => {
        if (u.select.width < 4) return;
        const from = u.posToVal(u.select.left, 'x'), to = u.posToVal(u.select.left + u.select.width, 'x');
        u.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
        now.onZoom?.(from, to);
      }],
      setCursor: [u => now.onCursor?.(u.cursor.idx)],
    },
  }, [[], [], [], []], box);
  plot.over.addEventListener('dblclick', () => now.onZoom?.(null, null));
  return plot;
}

export function Chart({id, metric, view, marks, thresholds, onZoom, group, labelled, last, height = 92}) {
  const series = useSeries(id, metric, view), box = useRef(null), plot = useRef(null), drawn = useRef(''), now = useRef({}), reading = useRef(null);
  const to = view.to ?? heardUntil();
  const from = view.from ?? (view.s ? to - view.s : series.data[0][0] ?? to - 60);
  const top = topOf(metric, series.data, thresholds);
  Object.assign(now.current, {from, to: Math.max(to, from + 1), top, marks, thresholds, labelled, onZoom});
  const lastValue = series.data[1].findLast(v => v != null);
  now.current.onCursor = index => {
    if (!reading.current) return;
    const data = plot.current?.data, value = index == null ? null : data?.[1][index];
    reading.current.textContent = value == null ? measure(metric, now.current.lastValue) : measure(metric, value) + ' at ' + clock(data[0][index] * 1000);
  };
  now.current.lastValue = lastValue;

  useLayoutEffect(() => {
    let width = 0;
    const fit = () => {
      if (!box.current) return;
      if (plot.current) plot.current.setSize({width, height});
      else {
        alive.add(plot.current = make(box.current, width, metric, now.current, height, group, last));
        now.current.show?.();
      }
    };
    const watcher = new ResizeObserver(([entry]) => {
      const wide = Math.floor(entry.contentRect.width);
      if (wide < NARROWEST || wide === width) return; // hidden, or being laid out: another notice follows
      width = wide;
      inTurn(watcher, fit);
    });
    watcher.observe(box.current);
    return () => {
      watcher.disconnect();
      notInTurn(watcher); notInTurn(now);
      if (plot.current) { alive.delete(plot.current); plot.current.destroy(); }
      plot.current = null;
      drawn.current = '';
    };
  }, [metric, group, last, height]);

  useLayoutEffect(() => {
    // Only what differs is drawn anew.
    const sign = [series.key, series.version, from, to, top, marks.sign, thresholds.length].join();
    now.current.show = () => {
      if (sign === drawn.current || !plot.current) return;
      drawn.current = sign;
      plot.current.setData(series.data);
      if (plot.current.cursor.idx == null || plot.current.cursor.left < 0) now.current.onCursor(null);
    };
    if (sign !== drawn.current && plot.current) inTurn(now, () => now.current.show());
  });

  return html`<figure class="chart">
    <figcaption><span class="chart-name"
        title=${METRICS[metric]?.help}>${metricLabel(metric)}${metric === 'request_latency' ? ' p99' : ''}</span>
      <span class="chart-value fixed" ref=${reading}></span></figcaption>
    ${series.problem && html`<p class="wrong">${series.problem}</p>`}
    <div ref=${box} class="plot" role="img" aria-label=${inWords(metric, series.data, view, marks, from, to)}></div></figure>`;
}

export function summary(data) {
  let least = Infinity, most = -Infinity, sum = 0, n = 0, last = null;
  for (let i = 0; i < data[0].length; i++) {
    if (data[1][i] == null) continue;
    least = Math.min(least, data[2][i]); most = Math.max(most, data[3][i]); sum += data[1][i]; n++; last = data[1][i];
  }
  return n ? {least, most, mean: sum / n, last} : null;
}

function inWords(metric, data, view, marks, from, to) {
  const s = summary(data), m = value => measure(metric, value);
  const what = `Chart of ${metricLabel(metric)}. `;
  if (!s) return what + 'No values in this time.';
  const faults = marks.spans.filter(f => (f.to ?? to) >= from && f.from <= to).slice(-3).map(f => `${f.text} from ${clock(f.from * 1000)}${f.to ? ' to ' + clock(f.to * 1000) : ', still on'}`);
  return what + `Last ${m(s.last)}, least ${m(s.least)}, mean ${m(s.mean)}, most ${m(s.most)}.` + (faults.length ? ' Faults: ' + faults.join('; ') + '.' : '');
}
