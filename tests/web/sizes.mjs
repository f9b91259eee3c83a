// How it fits: small and large windows, charts in their places, and pictures of all that.
import {open, story, finish, assert} from './lib.mjs';
import {VIEWS, sights, visit as visitOn} from './sights.mjs';

const page = await open(await sights()), {page: tab} = page;
const visit = hash => visitOn(page, hash);

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

/* --- pictures, to be looked at by people ------------------------------------------------------------------ */

await story('pictures are taken, for people to look at', async () => {
  const takes = [['fleet-light', '#/', 'light', 1320], ['fleet-dark', '#/', 'dark', 1320], ['node-with-fault', '#/nodes/api-1', 'light', 1320],
    ['incident', '#/incidents/1', 'light', 1320], ['incident-dark', '#/incidents/1', 'dark', 1320], ['fleet-360', '#/', 'light', 360], ['incident-360', '#/incidents/1', 'dark', 360],
    ['faults', '#/faults', 'light', 1320], ['faults-360', '#/faults', 'light', 360], ['incidents-360', '#/incidents', 'light', 360]];
  for (const [name, hash, colorScheme, width] of takes) {
    await tab.setViewportSize({width, height: width > 500 ? 900 : 780});
    await tab.emulateMedia({colorScheme});
    await visit(hash);
    if (!/faults|incidents$/.test(hash)) await page.charted();
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
