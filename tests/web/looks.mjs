// How it looks and handles: for those who cannot see it, have no mouse, a small screen, or do not want things to move.
import {Lab, open, story, finish, until, assert, remark, policy, axeFile} from './lib.mjs';

const lab = await Lab.start(['up', '--interval', '300ms', '--policy', policy]);
await lab.healthy(3);

// Something to look at on every view: an incident that was healed, one that waits for a person, a fault that is on.
await lab.post('/v1/faults', {kind: 'disk_full', node: 'web-1'});
await until('incident 1 is resolved', async () => (await lab.get('/v1/incidents/1')).state === 'resolved', 60);
await lab.post('/v1/pause');
await lab.post('/v1/faults', {kind: 'service_crash', node: 'db-1'});
await lab.post('/v1/faults', {kind: 'network_delay', node: 'api-1', lease_s: 600});
await until('incident 2 waits', async () => (await lab.get('/v1/blocked')).blocked.some(b => b.reason === 'paused'));

const VIEWS = {fleet: '#/', node: '#/nodes/api-1', incidents: '#/incidents', incident: '#/incidents/1', faults: '#/faults', policy: '#/policy'};
const page = await open(lab, {scripts: [axeFile]}), {page: tab} = page;

async function visit(hash) {
  await page.go(hash);
  await tab.locator('h1').first().waitFor({state: 'attached'});
  await tab.getByText('One moment…').waitFor({state: 'detached'});
  await tab.waitForFunction(() => document.getAnimations().every(a => a.playState === 'finished'));
}

/* --- axe ------------------------------------------------------------------------------------------------ */

async function violations(rules) {
  const {violations} = await tab.evaluate(rules => axe.run(document, {resultTypes: ['violations'], ...(rules && {runOnly: rules})}), rules);
  const told = ({impact, id, nodes}) => `${impact} ${id}: ${nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + n.html.slice(0, 120)).join('; ')}`;
  for (const v of violations.filter(v => !['serious', 'critical'].includes(v.impact))) remark(told(v));
  return violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(told);
}

// In the dark only the colours are others.
for (const [colorScheme, rules] of [['light', null], ['dark', ['color-contrast', 'link-in-text-block']]]) {
  await story(`axe finds nothing serious on any view, ${colorScheme}`, async () => {
    await tab.emulateMedia({colorScheme});
    for (const [name, hash] of Object.entries(VIEWS)) {
      await visit(hash);
      assert.deepEqual(await violations(rules), [], name);
    }
    await page.button('Break something').click();
    await tab.getByRole('dialog').waitFor();
    assert.deepEqual(await violations(rules), [], 'dialog');
    await page.button('Leave it').click();
  });
}

/* --- by keyboard ----------------------------------------------------------------------------------------- */

const focused = () => tab.evaluate(() => { const e = document.activeElement; return (e.getAttribute('aria-label') ?? e.id) || e.textContent.trim(); });
async function tabTo(name, most = 40) {
  for (let i = 0; i < most; i++) {
    await tab.keyboard.press('Tab');
    if (await focused() === name) return;
  }
  assert.fail(`no ${name} within ${most} tabs, but ${await focused()}`);
}

await story('by keyboard alone: over the skip link to the content', async () => {
  const fresh = await open(lab), {keyboard} = fresh.page;
  await keyboard.press('Tab');
  const where = () => fresh.page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  assert.equal(await where(), 'Skip to the content');
  assert.ok(await fresh.page.locator('.skip').evaluate(e => { const box = e.getBoundingClientRect(); return box.top >= 0 && box.left >= 0 && box.width > 20; }), 'it can be seen');
  await keyboard.press('Enter');
  assert.equal(await where(), 'main');
  await fresh.close();
});

await story('by keyboard alone: to Break something, a choice, Escape, and back where one was', async () => {
  await tab.emulateMedia({colorScheme: 'light'});
  await visit('#/');
  await tabTo('Break something');
  await tab.keyboard.press('Enter');
  await tab.getByRole('dialog').waitFor();
  assert.ok(await tab.evaluate(() => document.querySelector('dialog').contains(document.activeElement)), 'the focus is in the dialog');
  await tabTo('cpu_spike', 10);
  await tab.keyboard.press('ArrowDown');
  assert.equal(await tab.locator('dialog input:checked').first().getAttribute('value'), 'service_crash');
  assert.equal(await tab.locator('dialog h3').first().innerText(), 'service_crash');
  await tab.keyboard.press('Escape');
  await tab.getByRole('dialog').waitFor({state: 'detached'});
  assert.equal(await focused(), 'Break something');
});

await story('what is focused can be seen, on each stop of the first view', async () => {
  await visit('#/');
  await tab.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  for (let i = 0; i < 25; i++) {
    await tab.keyboard.press('Tab');
    const {seen, what} = await tab.evaluate(() => {
      const e = document.activeElement, style = getComputedStyle(e);
      return {what: e.outerHTML.slice(0, 100), seen: e === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)};
    });
    assert.ok(seen, what);
  }
});

/* --- sizes and motion ------------------------------------------------------------------------------------ */

await story('no view is wider than a window of 360, 768 or 1320 pixels', async () => {
  for (const width of [360, 768, 1320]) {
    await tab.setViewportSize({width, height: 800});
    for (const [name, hash] of Object.entries(VIEWS)) {
      await visit(hash);
      const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${name} at ${width} is ${wide} px wide`);
    }
    await page.button('Break something').click();
    const box = await tab.getByRole('dialog').boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= width, `the dialog at ${width}`);
    assert.ok(await tab.getByRole('dialog').evaluate(e => e.scrollWidth <= e.clientWidth + 1), `within the dialog at ${width}`);
    await page.button('Leave it').click();
  }
});

await story('charts fill their places, whatever the width', async () => {
  for (const width of [1320, 360, 900]) {
    await tab.setViewportSize({width, height: 800});
    for (const hash of ['#/', '#/nodes/api-1', '#/incidents/1']) {
      await visit(hash);
      await page.charted();
    }
  }
});

await story('nothing moves for those who asked for that', async () => {
  await tab.emulateMedia({reducedMotion: 'reduce'});
  for (const hash of Object.values(VIEWS)) {
    await visit(hash);
    const moving = await tab.evaluate(() => [...document.querySelectorAll('*')].filter(e => {
      const style = getComputedStyle(e);
      return style.animationName !== 'none' || style.transitionDuration.split(',').some(t => parseFloat(t) > 0) || style.scrollBehavior === 'smooth';
    }).map(e => e.outerHTML.slice(0, 100)));
    assert.deepEqual(moving, [], hash);
  }
});

/* --- pictures, to be looked at by people ------------------------------------------------------------------ */

await story('pictures are taken, for people to look at', async () => {
  await tab.emulateMedia({reducedMotion: 'no-preference'});
  const takes = [['fleet-light', '#/', 'light', 1320], ['fleet-dark', '#/', 'dark', 1320], ['node-with-fault', '#/nodes/api-1', 'light', 1320],
    ['incident', '#/incidents/1', 'light', 1320], ['incident-dark', '#/incidents/1', 'dark', 1320], ['fleet-360', '#/', 'light', 360], ['incident-360', '#/incidents/1', 'dark', 360]];
  for (const [name, hash, colorScheme, width] of takes) {
    await tab.setViewportSize({width, height: width > 500 ? 900 : 780});
    await tab.emulateMedia({colorScheme});
    await visit(hash);
    await page.charted();
    await page.picture(name, true);
  }
  await tab.emulateMedia({colorScheme: 'light'});
  for (const [name, width] of [['break-360', 360], ['break', 1320]]) {
    await tab.setViewportSize({width, height: 900});
    await page.button('Break something').click();
    await tab.getByRole('dialog').waitFor();
    await page.picture(name);
    await page.button('Leave it').click();
  }
});

await finish();
