// A lab with something to look at on every view: an incident that was healed, one that waits for a person, a fault that is on.
import {Lab, until, policy} from './lib.mjs';

export const VIEWS = {fleet: '#/', node: '#/nodes/api-1', incidents: '#/incidents', incident: '#/incidents/1', faults: '#/faults', policy: '#/policy'};

// Its nodes are simulated, so that the processor is the browser's.
export async function sights() {
  const lab = await Lab.start(['up', '--synthetic', '3', '--policy', policy]);
  await lab.healthy(3);
  await lab.post('/v1/faults', {kind: 'disk_full', node: 'web-1'});
  await until('incident 1 is resolved', async () => (await lab.get('/v1/incidents/1')).state === 'resolved', 60);
  await lab.post('/v1/pause');
  await lab.post('/v1/faults', {kind: 'service_crash', node: 'db-1'});
  await lab.post('/v1/faults', {kind: 'network_delay', node: 'api-1', lease_s: 600});
  await until('incident 2 waits', async () => (await lab.get('/v1/blocked')).blocked.some(b => b.reason === 'paused'));
  return lab;
}

export async function visit(page, hash) {
  const {page: tab} = page;
  await page.go(hash);
  await tab.locator('h1').first().waitFor({state: 'attached'});
  await tab.getByText('One moment…').waitFor({state: 'detached'});
  await tab.waitForFunction(() => document.getAnimations().every(a => a.playState === 'finished'));
}
