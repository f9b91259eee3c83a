// The figures of bench/page.sh. Each is a median of several by the page's own clock, unless it says otherwise.
import {Lab, open, end, until, policy} from '../tests/web/lib.mjs';

const PAINTS = 9, FRAMES_S = 15, ROUNDS = 3, BREAKS = 12;
const json = process.argv.includes('--json');
const figures = [];
const figure = (key, value, digits, what) => figures.push({key, value: +value.toFixed(digits), what});
const sorted = values => [...values].sort((a, b) => a - b);
const share = (values, part) => sorted(values)[Math.min(values.length - 1, Math.floor(values.length * part))];
const median = values => share(values, 0.5);

/* --- opening it ------------------------------------------------------------------------------------------ */

// A newcomer each time: nothing is cached.
async function opening(lab) {
  const paints = [], lives = [];
  let files = [];
  for (let i = 0; i < PAINTS; i++) {
    const {page, tab} = await fresh(lab);
    paints.push(await tab.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
    lives.push(await tab.evaluate(() => window.shown));
    files = await tab.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource').filter(e => e.name.includes('/web/'))]
      .map(e => ({wire: e.transferSize, whole: e.decodedBodySize})));
    await page.close();
  }
  const sum = key => files.reduce((total, file) => total + file[key], 0);
  figure('first_paint_ms', median(paints), 0, `ms from the start of loading to the first paint on loopback, nothing cached; median of ${PAINTS}`);
  figure('fleet_shown_ms', median(lives), 0, 'ms until the fleet stands there');
  figure('wire_bytes', sum('wire'), 0, `bytes over the wire, headers included, ${files.length} files; ${sum('whole').toLocaleString('en')} unpacked`);
}
async function fresh(lab) {
  const page = await open(lab, {before: tab => tab.addInitScript(watch)});
  return {page, tab: page.page};
}
// Runs in the page, from its beginning.
function watch() {
  window.shown = new Promise(done => {
    const look = () => document.querySelector('.card, .tile') ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look);
    look();
  });
}

/* --- keeping it drawn ------------------------------------------------------------------------------------ */

async function frames(nodes) {
  const lab = await Lab.start(['up', '--synthetic', String(nodes)]);
  await until('all nodes report', async () => (await lab.get('/healthz')).nodes === nodes, 60);
  const {page, tab} = await fresh(lab);
  await until('all are drawn', async () => await tab.locator('.card, .tile').count() === nodes, 60);
  const medians = [], p99s = [], tasks = [];
  for (let round = 0; round < ROUNDS; round++) {
    const {works, longest} = await tab.evaluate(watchFrames, FRAMES_S * 1000);
    medians.push(median(works));
    p99s.push(share(works, 0.99));
    tasks.push(longest);
  }
  const cpu = await cpuOfFrames(tab), fleet = `${nodes.toLocaleString('en')} nodes`;
  figure(`frame_${nodes}_median_ms`, median(medians), 2, `ms from a frame's beginning to the end of its work with ${fleet}; median of ${ROUNDS} times ${FRAMES_S} s`);
  figure(`frame_${nodes}_p99_ms`, median(p99s), 1, 'ms, 99 of 100 frames; what other programs took meanwhile is in it');
  figure(`frame_${nodes}_cpu_p99_ms`, share(cpu, 0.99), 1, `ms of CPU, 99 of 100 of ${cpu.length} frames, by the browser's own trace`);
  figure(`frame_${nodes}_cpu_max_ms`, Math.max(...cpu), 1, 'ms of CPU, the heaviest frame of all');
  figure(`longest_task_${nodes}_ms`, median(tasks), 0, `ms, the longest task of any kind in ${FRAMES_S} s (0: none above 50)`);
  await page.close();
  await lab.stop();
}
// Runs in the page.
function watchFrames(ms) {
  return new Promise(done => {
    const tasks = [];
    homeostat.frames.length = 0;
    const watcher = new PerformanceObserver(list => tasks.push(...list.getEntries().map(task => task.duration)));
    watcher.observe({type: 'longtask'});
    setTimeout(() => { watcher.disconnect(); done({works: [...homeostat.frames], longest: Math.max(0, ...tasks)}); }, ms);
  });
}
// A frame's callback with its microtasks and the garbage collected meanwhile, in CPU time of the page's thread.
async function cpuOfFrames(tab) {
  const browser = tab.context().browser();
  await browser.startTracing(tab, {categories: ['devtools.timeline']});
  await tab.evaluate(ms => new Promise(done => setTimeout(done, ms)), FRAMES_S * 1000);
  const {traceEvents} = JSON.parse(await browser.stopTracing());
  return traceEvents.filter(e => e.name === 'FireAnimationFrame' && e.tdur != null).map(e => e.tdur / 1000);
}

/* --- seeing a fault -------------------------------------------------------------------------------------- */

// When the page has drawn something that was not there: by the clock that both share.
const seen = (tab, selector) => tab.evaluate(selector => new Promise(done => {
  const look = () => document.querySelector(selector) ? requestAnimationFrame(() => done(Date.now())) : requestAnimationFrame(look);
  look();
}), selector);

// Automation is paused meanwhile, so that nothing is healed before it was looked at. Each fault comes at another instant of the second.
async function breaking(lab) {
  const {page, tab} = await fresh(lab), told = [], ill = [];
  for (let i = 0; i < BREAKS; i++) {
    const node = ['web-1', 'api-1', 'db-1'][i % 3], card = `.card[data-node="${node}"]`;
    await lab.post('/v1/pause');
    const both = [seen(tab, card + ' .tag.fault'), seen(tab, card + '.ill')];
    await until('its time has come', () => Date.now() % 1000 < 900 && Math.floor(Date.now() % 1000 / 75) === i);
    await lab.post('/v1/faults', {kind: 'service_crash', node});
    const began = Date.now(), [tagged, fallen] = await Promise.all(both);
    told.push(tagged - began);
    ill.push(fallen - began);
    await lab.post('/v1/resume');
    await lab.healthy(3);
    await until('the page shows it well', async () => await tab.locator('.card.healthy').count() === 3 && await tab.locator('.tag.fault').count() === 0);
  }
  figure('fault_shown_ms', median(told), 0, `ms from the answer to POST /v1/faults until the page shows the fault; median of ${BREAKS}, at most ${Math.max(...told)}`);
  figure('ill_shown_ms', median(ill), 0, `ms until it shows that the node is ill: service_crash, a sample a second; at most ${Math.max(...ill)}`);
  await page.close();
}

const lab = await Lab.start(['up', '--interval', '1s', '--policy', policy]);
await lab.healthy(3);
await opening(lab);
await breaking(lab);
await lab.stop();
await frames(20);
await frames(1000);
await end();

if (json) console.log(JSON.stringify(Object.fromEntries(figures.map(f => [f.key, f.value]))));
else {
  console.log('what the dashboard costs a browser, on this machine\n');
  for (const {key, value, what} of figures) console.log(`  ${key.padEnd(26)} ${String(value).padStart(9)} ${what}`);
}
