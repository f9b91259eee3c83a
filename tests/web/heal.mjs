// A lab as people use it: things are broken by clicking, and the page shows how they are healed.
import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {Lab, open, story, finish, until, assert, remark, policy, home} from './lib.mjs';

const lab = await Lab.start(['up', '--interval', '300ms', '--policy', policy]);
await lab.healthy(3);
const page = await open(lab), {page: tab} = page;
const panel = id => tab.locator(`section[aria-labelledby="${id}"]`);
const usual = readFileSync(policy, 'utf8'), apply = text => lab.call('PUT', '/v1/policy', text, 'application/yaml');
const incidentIs = (id, state) => until(`incident ${id} is ${state}`, async () => (await lab.get('/v1/incidents/' + id)).state === state, 40);

/* --- from a fault to a post-mortem --------------------------------------------------------------------- */

await story('the page loads: three nodes, live, no complaint, nothing asked of others', async () => {
  await tab.getByText('3 healthy').waitFor();
  for (const name of ['web-1', 'api-1', 'db-1']) await tab.locator(`.card[data-node="${name}"]`).waitFor();
  const paint = await tab.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  assert.ok(paint > 0);
  remark(`first paint after ${Math.round(paint)} ms`);
});

// Nothing is healed before the page has shown that it is broken, however slow the machine.
await story('three clicks break web-1, and the page shows its incident', async () => {
  await lab.post('/v1/pause');
  await page.button('Break something').click();
  await tab.getByRole('radio', {name: 'disk_full'}).click();
  await page.button('Break it').click();
  await tab.getByRole('dialog').waitFor({state: 'detached'});
  await tab.locator('.card[data-node="web-1"]', {hasText: 'fault: disk_full'}).waitFor();
  await tab.getByRole('heading', {name: 'Incident 1: web-1, full-disk'}).waitFor({timeout: 30000});
  await lab.post('/v1/resume');
});

await story('it is watched until it is resolved', async () => {
  await panel('newest').getByText('effective', {exact: true}).waitFor({timeout: 40000});
  await tab.getByText('3 healthy').waitFor();
  await until('its row says so, too', async () => /full-disk\s+clean_disk\s+effective/.test(await panel('home-incidents').innerText()));
});

await story('its page tells four steps, with evidence, and figures before and after', async () => {
  await panel('home-incidents').getByRole('link', {name: 'Incident 1', exact: true}).click();
  await tab.getByRole('heading', {level: 1, name: 'Incident 1: full-disk on web-1'}).waitFor();
  await panel('steps-title').locator('.step', {hasText: 'proved after'}).waitFor();
  const steps = await panel('steps-title').locator('.step').allInnerTexts();
  assert.equal(steps.length, 4);
  for (const [i, word] of [/^Detect.*filesystem was \d+ %; ill is > 80 %.*broken on purpose: disk_full/s, /^Plan.*clean_disk/is,
    /^Act.*clean_disk done after/is, /^Verify.*effective: it helped.*filesystem \d+ % → (< )?[\d.]+ %/s].entries())
    assert.match(steps[i].replace(/\u00a0/g, ' '), word);
  const [before, after] = await panel('figures-title').locator('tbody td.num').allInnerTexts();
  const figure = text => +/[\d.]+/.exec(text)[0];
  assert.ok(figure(before) > 80 && figure(after) < 50, `disk before ${before}, after ${after}`);
  assert.match(await panel('lines-title').innerText(), /DETECT.*PLAN.*VERIFY.*RESOLVED/s);
  assert.match(await tab.locator('.plot').first().getAttribute('aria-label'), /Chart of .*Faults: disk_full from/);
});

async function download(name) {
  const [file] = await Promise.all([tab.waitForEvent('download'), page.button(name).click()]);
  return {name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8')};
}

await story('it is exported as JSON, the same as the API tells it', async () => {
  const {name, text} = await download('Export as JSON');
  assert.match(name, /\.json$/);
  assert.deepEqual(JSON.parse(text), await lab.get('/v1/incidents/1'));
});

await story('it is exported as a post-mortem in Markdown', async () => {
  const {name, text} = await download('Export post-mortem');
  assert.match(name, /\.md$/);
  assert.match(text, /^# Incident 1: full-disk on web-1\n/);
  for (const heading of ['In short', 'Evidence', 'What was done', 'Timeline', 'To be filled in by people']) assert.ok(text.includes(`\n## ${heading}\n`), heading);
  assert.match(text, /\| filesystem \| .*80.*%.*\|/);
  assert.match(text, /Written by homeostat on \d{4}-\d\d-\d\d [\d:.]+ UTC\./);
  assert.match(text, /clean\\?_disk.*attempt 1.*\*\*done\*\*/);
});

/* --- who is in charge ---------------------------------------------------------------------------------- */

await story('paused by a click, nothing is done, and the page says why; resumed by a click, it is', async () => {
  await page.go('#/');
  await page.button('Pause automation').click();
  await tab.getByText('Automation is paused.', {exact: true}).waitFor();
  await lab.post('/v1/faults', {kind: 'service_crash', node: 'db-1'});
  await panel('blocked-title').locator('li', {hasText: 'db-1'}).getByText('paused', {exact: true}).waitFor();
  await tab.getByText('1 ill').waitFor();
  await page.button('Resume automation').click();
  await incidentIs(2, 'resolved');
  await tab.getByText('3 healthy').waitFor();
  await tab.getByText('Automation is on;').waitFor();
});

await story('in approve mode a waiting plan is shown; one is declined by a click, the next one approved', async () => {
  await apply(usual.replace('mode: auto', 'mode: approve').replace('{do: clean_disk', '{do: restart_service, settle: 300ms, within: 20s}, {do: clean_disk'));
  try {
    await tab.getByText('Automation asks you first').waitFor();
    await lab.post('/v1/faults', {kind: 'disk_full', node: 'api-1'});
    await tab.getByRole('heading', {name: 'A plan waits for you'}).waitFor({timeout: 30000});
    // The list of incidents comes later than the incident itself: the button still means the plan that it names.
    await tab.route('**/v1/incidents?*', async route => { await new Promise(done => setTimeout(done, 1500)); await route.continue(); });
    await page.button('Decline restart_service on api-1').click();
    await page.button('Approve clean_disk on api-1').waitFor();
    assert.match(await panel('waits-title').innerText(), /clean_disk on api-1, against full-disk/);
    await page.button('Approve clean_disk on api-1').click();
    await incidentIs(3, 'resolved');
    await tab.unrouteAll({behavior: 'wait'});
    await tab.getByRole('heading', {name: 'A plan waits for you'}).waitFor({state: 'detached'});
    const {commands, verdict} = await lab.get('/v1/incidents/3');
    assert.deepEqual([commands.map(c => [c.remedy, c.by]), verdict], [[['clean_disk', 'person']], 'effective']);
  } finally {
    await apply(usual);
  }
  await tab.getByText('Automation is on;').waitFor();
});

await story('all are down, the breaker opens, and a click resets it', async () => {
  await lab.post('/v1/pause');
  await lab.post('/v1/faults', {kind: 'service_crash', on: '*', alongside: true});
  await tab.getByText('3 ill').waitFor({timeout: 30000});
  await lab.post('/v1/resume');
  await tab.getByText('The breaker is open.', {exact: true}).waitFor({timeout: 30000});
  await page.button('Reset the breaker').click();
  await tab.getByText('The breaker is open.', {exact: true}).waitFor({state: 'detached'});
  await tab.getByText('3 healthy').waitFor({timeout: 60000});
});

await story('what a remedy left in force is taken back by a click, after a question', async () => {
  await apply(usual.replace('{do: clean_disk', '{do: shed_load'));
  try {
    await lab.post('/v1/faults', {kind: 'disk_full', node: 'api-1', alongside: true});
    await until('load is shed', async () => (await lab.get('/v1/nodes/api-1')).standing.includes('shed_load'), 40);
    await page.go('#/nodes/api-1');
    await panel('standing-title').getByText('shed_load').waitFor();
    await page.button('Undo').click();
    await page.button('Leave it').click();
    assert.deepEqual((await lab.get('/v1/nodes/api-1')).standing, ['shed_load']);
    await page.button('Undo').click();
    await page.button('Take it back').click();
    await until('it is taken back', async () => (await lab.get('/v1/nodes/api-1')).standing.length === 0);
    await panel('standing-title').waitFor({state: 'detached'});
  } finally {
    await lab.call('DELETE', '/v1/faults');
    await apply(usual);
  }
});

/* --- faults and scenarios ------------------------------------------------------------------------------ */

await story('a running fault is cleared by a click', async () => {
  await lab.post('/v1/faults', {kind: 'network_delay', node: 'api-1', lease_s: 600, alongside: true});
  await page.button('Clear network_delay on api-1').click();
  await page.button('Clear network_delay on api-1').waitFor({state: 'detached'});
  await until('it has ended', async () => (await lab.get('/v1/faults')).faults.find(f => f.kind === 'network_delay').state === 'ended');
  await page.go('#/faults');
  await panel('past-title').getByText('cleared by a person').first().waitFor();
});

await story('a scenario is played and stopped by clicks', async () => {
  await page.button('Start cpu-spike').click();
  await tab.getByRole('progressbar', {name: 'Progress of cpu-spike'}).waitFor();
  assert.equal((await lab.get('/v1/scenarios')).running.name, 'cpu-spike');
  await page.button('Stop cpu-spike').click();
  await tab.getByRole('dialog').getByRole('button', {name: 'Stop it'}).click();
  await tab.getByRole('progressbar').waitFor({state: 'detached'});
  assert.equal((await lab.get('/v1/scenarios')).running.ended, true);
});

/* --- without the control plane ------------------------------------------------------------------------- */

await story('the control plane stands still: stale, since when, and nothing can be asked for', async () => {
  page.expected.push(/Failed to load resource/);
  process.kill(lab.plane, 'SIGSTOP');
  await tab.getByRole('alert').getByText(/^Stale since \d\d:\d\d:\d\d\.$/).waitFor({timeout: 20000});
  assert.equal(await page.button('Pause automation').getAttribute('aria-disabled'), 'true');
});

await story('it goes on: live again, without a reload', async () => {
  await tab.evaluate(() => { window.sameDocument = true; });
  process.kill(lab.plane, 'SIGCONT');
  await tab.getByText(/Live, last event/).waitFor({timeout: 30000});
  await tab.getByText('Stale since').first().waitFor({state: 'detached'});
  await page.button('Pause automation').click();
  await page.button('Resume automation').click();
  await tab.getByText('Automation is on;').waitFor();
  assert.equal(await tab.evaluate(() => window.sameDocument), true);
});

/* --- with a token -------------------------------------------------------------------------------------- */

await story('a control plane with tokens asks for one, refuses a wrong one, and opens with the right one', async () => {
  const tokens = join(home, 'tokens'), right = '0123456789abcdef-operator';
  writeFileSync(tokens, `operator ${right}\n`, {mode: 0o600});
  const closed = await Lab.start(['serve', '--ready-fd', '3', '--policy', policy, '--token-file', tokens]);
  const asked = await open(closed, {wait: false}), field = asked.page.getByRole('textbox', {name: 'Token'});
  asked.expected.push(/Failed to load resource/);
  await asked.page.getByText('It asks for a token.').waitFor();
  await field.fill('0123456789abcdef-somebody');
  await asked.button('Use it').click();
  await asked.page.getByRole('dialog').getByRole('alert').waitFor();
  assert.equal(await asked.page.evaluate(() => homeostat.store.phase), 'opening');
  await field.fill(right);
  await asked.button('Use it').click();
  await asked.page.getByText(/Live, last event/).waitFor();
  await asked.page.getByRole('dialog').waitFor({state: 'detached'});
  asked.complain();
  await asked.close();
  await closed.stop();
});

await finish();
