// Whatever nodes, files and even the control plane say is shown as text: never markup, never script.
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Lab, open, story, finish, until, assert, home, policy, here} from './lib.mjs';

const IMAGE = '<img src=x onerror="window.struck=1">', SCRIPT = '"><script>window.struck=1</script>';
const LONG = 'W'.repeat(60), BACKWARDS = '\u202e\u200fexe.gnp\u2066';

/* --- a fleet that means ill ---------------------------------------------------------------------------- */

const scenarios = join(home, 'hostile');
mkdirSync(scenarios);
const harmless = readFileSync(join(here, '../../scenarios/cpu-spike.yaml'), 'utf8');
writeFileSync(join(scenarios, IMAGE.replaceAll('"', '') + '.yaml'), harmless.replace(/^title:.*/m, `title: '${SCRIPT}'`).replace('  The service', `  ${IMAGE} ${SCRIPT} ${BACKWARDS} ${LONG}`));

const words = ['serve', '--ready-fd', '3', '--policy', policy, '--scenarios', scenarios, '--inject-gap', '0s'];
let lab = await Lab.start(words), sequence = 0;
const boot = '9f86d081884c7d65', node = '/v1/nodes/web-1', strange = LONG + '-2';
const report = (more, samples = {cpu_utilization: 0.1, request_latency: 0.01, service_up: 0}) => lab.post(node + '/reports', {boot, sequence: ++sequence, samples, ...more});

await lab.put(node, {boot, role: IMAGE, zone: SCRIPT, address: IMAGE, calls: [strange]});
await lab.put('/v1/nodes/' + strange, {boot, role: BACKWARDS + SCRIPT, zone: LONG});
await lab.put('/v1/nodes/' + 'M'.repeat(63), {boot, role: 'M'.repeat(63), zone: IMAGE});
const {id: fault} = await lab.post('/v1/faults', {kind: 'cpu_spike', node: 'web-1', lease_s: 600});
await lab.post('/v1/faults', {kind: 'network_delay', node: strange, lease_s: 600});
const {commands} = await until('a restart is ordered', async () => { const answer = await report({}); return answer.commands.length && answer; });
await lab.post(`/v1/commands/${commands[0].id}/outcome`, {node: 'web-1', outcome: 'failed', began: true, took_s: 0.1, detail: `${IMAGE} ${SCRIPT} ${BACKWARDS}`});
await report({faults: [{id: fault, state: 'failed', reason: `${IMAGE} ${SCRIPT}`}]});

/* --- what must never come of it ------------------------------------------------------------------------ */

const VIEWS = ['#/', '#/nodes/web-1', '#/nodes/' + strange, '#/incidents', '#/incidents/1', '#/faults', '#/policy', '#/' + IMAGE, '#/nodes/' + encodeURIComponent(IMAGE), '#/incidents/' + SCRIPT];

// What of the page looks as if a text had become markup.
const harmOf = page => page.page.evaluate(() => {
  const harm = [...document.querySelectorAll('img, iframe, object, embed, base, form[action], script:not([src="/web/app.js"]), a[href^="javascript:" i]')].map(e => e.outerHTML);
  for (const element of document.querySelectorAll('*'))
    for (const {name} of element.attributes) if (name.startsWith('on')) harm.push(element.outerHTML.slice(0, 200));
  return window.struck ? ['a script ran', ...harm] : harm;
});
async function isUnharmed(page, view) {
  assert.deepEqual(await harmOf(page), [], view);
  assert.deepEqual([page.page.context().pages().length, page.page.url().startsWith(lab.url)], [1, true]);
}
async function everywhere(page) {
  for (const view of VIEWS) {
    await page.go(view);
    await page.page.locator('h1').first().waitFor({state: 'attached'});
    await page.page.evaluate(() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))));
    await isUnharmed(page, view);
  }
}
const holds = (page, text, where = '#app') => until(`the page shows ${text}`, async () => (await page.page.locator(where).textContent()).includes(text));

const page = await open(lab);
page.expected.push(/status of 40[04]/);    // the views of what is not there
await story('nodes with hostile roles, zones and addresses harm no view', async () => {
  await everywhere(page);
  await page.go('#/nodes/web-1');
  await holds(page, IMAGE);
  await holds(page, SCRIPT);
});

await story("a command's detail and a fault's reason are shown as they were said", async () => {
  await page.go('#/incidents/1');
  await holds(page, `${IMAGE} ${SCRIPT}`, '.step >> nth=2');
  await page.go('#/faults');
  await holds(page, `failed: ${IMAGE} ${SCRIPT}`);
  await isUnharmed(page, 'faults');
});

await story('so are the names and words of scenarios', async () => {
  await holds(page, SCRIPT);
  await page.button('Start ' + IMAGE.replaceAll('"', '')).click();
  await page.page.getByRole('progressbar').waitFor();
  await isUnharmed(page, 'a scenario runs');
  await lab.call('DELETE', '/v1/scenarios');
});

await story('nothing of it makes the page wider than a narrow window', async () => {
  await page.page.setViewportSize({width: 360, height: 800});
  for (const view of VIEWS) {
    await page.go(view);
    await page.page.locator('h1').first().waitFor({state: 'attached'});
    const [wide, window] = await page.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= window, `${view} is ${wide} px wide`);
  }
  await page.page.setViewportSize({width: 1320, height: 900});
});

await story('nor the post-mortem: no markup is left in it', async () => {
  await page.go('#/incidents/1');
  const [file] = await Promise.all([page.page.waitForEvent('download'), page.button('Export post-mortem').click()]);
  const text = readFileSync(await file.path(), 'utf8');
  assert.equal(file.suggestedFilename(), 'post-mortem.md');
  assert.ok(text.includes('onerror') && !/<(img|script)/i.test(text), text);
});

/* --- a control plane that lies -------------------------------------------------------------------------- */

// Every word of every answer but those few by which the page finds its way gets markup, script and long words.
const KEPT = new Set(['kind', 'health', 'state', 'mode', 'database', 'boot']);
function spoilt(value, key) {
  if (Array.isArray(value)) return value.map(item => spoilt(item, key));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([k, v]) => [key === 'samples' && k !== 'cpu_utilization' ? k + IMAGE : k, spoilt(v, k)]));
  return typeof value === 'string' && !KEPT.has(key) && isNaN(Date.parse(value)) ? value + IMAGE + SCRIPT + BACKWARDS : value;
}
async function lie(tab) {
  await tab.route('**/v1/**', async route => {
    if (route.request().url().endsWith('/v1/events')) {
      const event = kind => `id: 1\nevent: ${kind}\ndata: ${JSON.stringify({at: new Date().toISOString(), step: IMAGE, node: 'web-1' + IMAGE, incident: 1, state: SCRIPT, text: IMAGE + SCRIPT})}\n\n`;
      return route.fulfill({contentType: 'text/event-stream', body: ['incident', 'notice', 'node', 'control', IMAGE].map(event).join('') + 'data: no JSON\n\nevent: node\ndata: null\n\n'});
    }
    try {
      const answer = await route.fetch({url: route.request().url().replace(/(%3C|<)img.*?(?=[/?]|$)/i, '')});
      await route.fulfill({response: answer, json: spoilt(await answer.json())});
    } catch { await route.abort().catch(() => {}); }
  });
}

await story('a control plane whose every word is markup harms nothing, either', async () => {
  page.complain();
  await page.close();
  const lied = await open(lab, {before: lie});
  lied.expected.push(/Failed to load resource/);
  await everywhere(lied);
  await lied.go('#/');
  await lied.page.getByRole('button', {name: 'Break something'}).click();
  await lied.page.getByRole('dialog').waitFor();
  await isUnharmed(lied, 'the dialog');
  await holds(lied, IMAGE + SCRIPT, 'dialog');
  lied.complain();
  await lied.page.unrouteAll({behavior: 'ignoreErrors'});
  await lied.close();
});

/* --- one that is killed --------------------------------------------------------------------------------- */

await story('the control plane is killed and started again: stale, then live, without a reload', async () => {
  const again = await open(lab), {page: tab} = again;
  again.expected.push(/Failed to load resource/);
  await tab.evaluate(() => { window.sameDocument = true; });
  const port = new URL(lab.url).port, before = lab;
  before.process.kill('SIGKILL');
  await tab.getByRole('alert').getByText(/^Stale since/).waitFor({timeout: 20000});
  lab = await Lab.start([...words, '--port', port, '--db', before.database]);
  await tab.getByText(/Live, last event/).waitFor({timeout: 30000});
  await tab.getByRole('alert').getByText(/^Stale since/).waitFor({state: 'detached'});
  assert.equal(await tab.evaluate(() => window.sameDocument), true);
});

await finish();
