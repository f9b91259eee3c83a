// How it handles for those who cannot see it, have no mouse, or do not want things to move.
import {open, story, finish, assert, remark, axeFile} from './lib.mjs';
import {VIEWS, sights, visit as visitOn} from './sights.mjs';

const page = await open(await sights(), {scripts: [axeFile]}), {page: tab, lab} = page;
const visit = hash => visitOn(page, hash);

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

/* --- motion ---------------------------------------------------------------------------------------------- */

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

await finish();
