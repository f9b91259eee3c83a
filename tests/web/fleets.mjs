// Fleets of twenty and of a thousand nodes, and a storm of events: what it costs the page, and that it still answers.
import {Lab, open, story, finish, until, assert, remark, policy} from './lib.mjs';

const SMOOTH_MS = 250;                 // loosely: a test is no bench

// What the frames of some seconds cost: the page's own work, and the longest task of all, drawing or not.
async function frames(page, samples) {
  await page.page.evaluate(() => {
    homeostat.frames.length = 0;
    window.longest = 0;
    new PerformanceObserver(list => { for (const task of list.getEntries()) longest = Math.max(longest, task.duration); }).observe({type: 'longtask'});
    window.from = homeostat.store.sampleVersion;
  });
  await page.page.waitForFunction(n => homeostat.store.sampleVersion >= from + n, samples, {timeout: 60000});
  const {works, longest} = await page.page.evaluate(() => ({works: [...homeostat.frames], longest: window.longest}));
  works.sort((a, b) => a - b);
  const at = share => works[Math.min(works.length - 1, Math.floor(works.length * share))];
  return {n: works.length, median: at(0.5), p99: at(0.99), longest};
}

// A click as a person makes one: from the press of the button until the other view is drawn, by the page's own clock.
async function answerTo(page, link, heading) {
  await page.page.evaluate(heading => {
    window.answer = new Promise(done => addEventListener('click', event => {
      const look = () => document.querySelector('h1')?.textContent === heading ? requestAnimationFrame(() => done(performance.now() - event.timeStamp)) : requestAnimationFrame(look);
      look();
    }, {once: true, capture: true}));
  }, heading);
  await page.page.getByRole('link', {name: link, exact: true}).click();
  return page.page.evaluate(() => window.answer);
}

for (const [nodes, samples] of [[20, 5], [1000, 3]]) {
  const lab = await Lab.start(['up', '--synthetic', String(nodes)]);
  await until(`${nodes} nodes report`, async () => (await lab.get('/healthz')).nodes === nodes, 60);
  const page = await open(lab), {page: tab} = page;

  await story(`a fleet of ${nodes.toLocaleString('en')} is drawn, and goes on being drawn smoothly`, async () => {
    await until('all are shown', async () => await tab.locator(nodes > 40 ? '.tile' : '.card').count() === nodes, 40);
    const {n, median, p99, longest} = await frames(page, samples);
    remark(`${nodes} nodes, ${n} frames: work median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; longest task ${Math.round(longest)} ms`);
    assert.ok(median < SMOOTH_MS, `median ${median} ms`);
  });

  if (nodes === 20) {
    await story('a thousand events a second do not freeze it: it answers a click within a second', async () => {
      const {storm, told} = await stormOn(lab);
      await until('the storm is heard', () => tab.evaluate(() => homeostat.store.changes > 500));
      const before = await tab.evaluate(() => [homeostat.store.changes, performance.now()]);
      const answers = [];
      for (const [link, heading] of [['Policy', 'Policy'], ['Incidents', 'Incidents'], ['Faults', 'Faults']]) answers.push(await answerTo(page, link, heading));
      await storm;
      await until('all of it has come', () => tab.evaluate(n => homeostat.store.changes >= n, told()));
      const after = await tab.evaluate(() => [homeostat.store.changes, performance.now()]);
      remark(`${told()} events, ${Math.round((after[0] - before[0]) / (after[1] - before[1]) * 1000)}/s heard; clicks answered after ${answers.map(Math.round).join(', ')} ms`);
      assert.ok(answers.sort((a, b) => a - b)[1] < 1000, `answered after ${answers} ms`);    // one may meet a busy machine
      assert.ok(await tab.evaluate(() => homeostat.store.log.length) <= 100, 'what is kept has a bound');
    });
  } else {
    await story('a node of a large fleet is found by its name, and broken', async () => {
      await page.go('#/');
      await tab.getByRole('searchbox', {name: 'Find'}).fill('web-1');
      const tiles = tab.locator('.tile');
      await until('others are hidden', async () => { const n = await tiles.count(); return n > 0 && n < nodes; });
      const name = (await tiles.first().getAttribute('aria-label')).split(',')[0];
      await tab.evaluate(keepStates, name);
      await tiles.first().click();
      await lab.post('/v1/pause');              // until it has been seen to be ill
      await page.button(`Break ${name}`).click();
      await page.button('Break it').click();
      await until('its fault is asked for', async () => (await lab.get('/v1/faults?active=true')).faults.some(f => f.node === name));
      await tab.getByText(`cpu_spike on ${name}`).first().waitFor();
      await page.go('#/');
      await tab.locator('.mini', {hasText: name}).waitFor({timeout: 40000});
      await page.charted();
      await page.picture('fleet-1000', true);
      await lab.post('/v1/resume');
    });

    await story('a tile takes every state that its node takes, and is healthy again', async () => {
      await until('the node was ill, was healed and is well', () => tab.evaluate(() => [...held].some(state => state === 'ill' || state === 'healing') && shown.at(-1) === 'healthy' && shown.length > 1), 60);
      const [held, shown] = await tab.evaluate(() => [[...window.held].sort(), [...new Set(window.shown)].sort()]);
      assert.deepEqual(shown, held);
    });
  }
  page.complain();
  await page.close();
  await lab.stop();
}

// Runs in the page: which states the store had for a node, and which its tile showed, frame by frame.
function keepStates(name) {
  window.held = new Set();
  window.shown = [];
  const look = () => {
    const tile = document.querySelector(`.tile[aria-label^="${name},"]`), state = tile?.getAttribute('aria-label').split(', ')[1];
    if (tile) held.add(homeostat.store.nodes.get(name).health);
    if (state && state !== shown.at(-1)) shown.push(state);
    requestAnimationFrame(look);
  };
  look();
}

// Gaps that a node agent tells of, each a notice to everybody: a thousand a second for some seconds.
async function stormOn(lab) {
  const boot = '9f86d081884c7d65', path = '/v1/nodes/storm/reports';
  let told = 0;
  await lab.put('/v1/nodes/storm', {boot, role: 'web'});
  const storm = (async () => {
    const began = Date.now();
    while (Date.now() - began < 4000) {
      if (told > Date.now() - began) { await new Promise(done => setTimeout(done, 5)); continue; }
      const gaps = Array.from({length: 16}, () => ({boot, from: 1 + 2 * ++told, to: 1 + 2 * told, reason: 'damaged'}));
      await lab.post(path, {gaps, reports: []});
    }
  })();
  return {storm, told: () => told};
}

await finish();
