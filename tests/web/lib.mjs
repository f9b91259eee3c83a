// What the stories about the page share: labs, a browser whose every complaint counts, waiting for conditions, TAP lines.
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {openSync, readFileSync, mkdirSync} from 'node:fs';
import {createRequire} from 'node:module';
import {basename, dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';

const {HOMEOSTAT_HOME: home, BINARY: binary, BROWSER: executablePath, MODULES: modules, PICTURES: pictures} = process.env;
const require = createRequire(join(modules, 'package.json'));
const {chromium} = require('playwright-core');

export const here = dirname(fileURLToPath(import.meta.url));
export {assert, home, pictures};
export const policy = join(here, 'policy.yaml');
export const axeFile = require.resolve('axe-core/axe.min.js');

/* --- TAP ----------------------------------------------------------------------------------------------- */

let count = 0, failed = 0;
const ends = [];
export const remark = text => console.log(String(text).replace(/^/gm, '# '));

// One test case; the first complaint of a page that is open counts against it.
export async function story(name, tell) {
  count++;
  try {
    await tell();
    for (const page of pages) page.complain();
    console.log(`ok ${count} - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${count} - ${name}`);
    remark(error.stack ?? error);
    for (const page of pages) await page.told(`failed-${basename(process.argv[1], ".mjs")}-${count}`);
  }
}

export async function end() {
  for (const each of ends.reverse()) await each();
}

export async function finish() {
  await end();
  console.log(`1..${count}`);
  process.exit(failed ? 1 : 0);
}

/* --- waiting ------------------------------------------------------------------------------------------- */

// Asks until the answer is neither false nor an exception; on failure tells the last one.
export async function until(what, ask, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  do {
    try { const answer = await ask(); if (answer) return answer; last = answer; } catch (error) { last = error.message; }
    await new Promise(done => setTimeout(done, 50));
  } while (Date.now() < end);
  assert.fail(`not within ${seconds} s: ${what}; last: ${last}`);
}

/* --- labs ---------------------------------------------------------------------------------------------- */

let labs = 0;

export class Lab {
  // `words` are those of `homeostat up` or `serve`; port and database are its own unless both are given. The folder's name marks all its processes for the end.
  static async start(words) {
    const lab = new Lab(), log = join(home, `lab-${++labs}.log`), out = openSync(log, 'w');
    const own = words.includes('--db') ? [] : ['--port', '0', '--db', join(home, `lab-${labs}.db`)];
    lab.database = own[3] ?? words[words.indexOf('--db') + 1];
    lab.log = () => readFileSync(log, 'utf8');
    lab.process = spawn(binary, [...words, ...own],
      {stdio: ['ignore', out, out, 'pipe'], env: {...process.env, HOMEOSTAT_HOME: home}});
    ends.push(() => lab.stop());
    // `serve` says its port on the descriptor that it was given, `up` in its log.
    let port = null;
    lab.process.stdio[3].once('data', text => { port = `http://127.0.0.1:${String(text).trim()}`; });
    await until('the lab starts', () => (lab.url = port ?? /control plane {2}(http\S+)/.exec(lab.log())?.[1]) || lab.over(), 30);
    assert.ok(!lab.over(), lab.log());
    lab.plane = words[0] === 'serve' ? lab.process.pid : planeOf(lab.process.pid);
    return lab;
  }
  async stop() {
    if (this.over()) return;
    try { process.kill(this.plane, 'SIGCONT'); } catch { /* it has ended */ }
    this.process.kill('SIGINT');
    await until('the lab ends', () => this.over(), 30);
  }
  over() { return this.process.exitCode !== null || this.process.signalCode !== null; }
  async call(method, path, body, type = 'application/json') {
    const answer = await fetch(this.url + path, {method, headers: body === undefined ? {} : {'Content-Type': type},
      body: body === undefined ? undefined : type === 'application/json' ? JSON.stringify(body) : body});
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }
  get(path) { return this.call('GET', path); }
  post(path, body) { return this.call('POST', path, body); }
  put(path, body) { return this.call('PUT', path, body); }
  async healthy(nodes) {
    await until(`${nodes} nodes are healthy`, async () => (await this.get('/v1/nodes')).nodes.filter(n => n.health === 'healthy').length === nodes, 40);
  }
}

// `up` has its control plane for a child.
function planeOf(parent) {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim().split(' ');
  return +children.find(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes('serve'));
}

/* --- pages --------------------------------------------------------------------------------------------- */

let browser = null;
const pages = new Set();

// Everything a page complains of, and all that it asks of others than its own lab, is kept until `complain`.
class Page {
  complaints = [];
  expected = [];                 // patterns of complaints that belong to the story
  constructor(page, lab) {
    Object.assign(this, {page, lab});
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) this.complaints.push('console: ' + message.text() + ' ' + message.location().url); });
    page.on('pageerror', error => this.complaints.push('uncaught: ' + (error.stack ?? error)));
    page.on('dialog', dialog => { this.complaints.push('dialog: ' + dialog.message()); dialog.dismiss().catch(() => {}); });
    page.on('request', request => { if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(lab.url + '/')) this.complaints.push('asked for ' + request.url()); });
    page.on('popup', () => this.complaints.push('opened a window'));
  }
  complain() {
    const rest = this.complaints.filter(text => !this.expected.some(pattern => pattern.test(text)));
    this.complaints = [];
    assert.deepEqual(rest, [], 'the page complained');
  }
  async told(name) {
    remark(this.page.url());
    try { remark((await this.page.innerText('body')).replace(/\s*\n\s*/g, ' | ').slice(0, 1500)); await this.picture(name); } catch (error) { remark(error.message); }
  }
  async picture(name, whole = false) {
    mkdirSync(pictures, {recursive: true});
    await this.page.screenshot({path: join(pictures, name + '.png'), fullPage: whole});
  }
  go(hash) { return this.page.evaluate(to => { location.hash = to; }, hash); }
  // Waits until every chart stands there, as wide as its place.
  async charted() {
    await until('charts fill their places', () => this.page.evaluate(() => {
      const places = [...document.querySelectorAll('.plot')], narrow = places.filter(p => Math.abs((p.querySelector('canvas')?.getBoundingClientRect().width ?? 0) - p.clientWidth) > 2);
      if (narrow.length) throw new Error(narrow.map(p => `${p.getAttribute('aria-label')}: ${p.querySelector('canvas')?.getBoundingClientRect().width} of ${p.clientWidth} px`).join('; '));
      return places.length > 0;
    }), 10);
  }
  button(name, options) { return this.page.getByRole('button', {name, exact: true, ...options}); }
  async close() { pages.delete(this); await this.page.context().close(); }
}

const FLAGS = ['--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--disable-component-update', '--no-first-run'];

// A page of its own context, as a newcomer would open it. Waits until it is live.
export async function open(lab, {path = '/', wait = true, scripts = [], before = null, ...options} = {}) {
  browser ??= await start();
  const context = await browser.newContext({viewport: {width: 1320, height: 900}, reducedMotion: 'no-preference', ...options});
  for (const path of scripts) await context.addInitScript({path});
  await context.addInitScript(() => addEventListener('securitypolicyviolation', event => console.error(`against the policy: ${event.violatedDirective} ${event.blockedURI}`)));
  const page = new Page(await context.newPage(), lab);
  page.page.setDefaultTimeout(15000);
  if (before) await before(page.page);
  pages.add(page);
  await page.page.goto(lab.url + path);
  if (wait) await until('the page is live', () => page.page.evaluate(() => window.homeostat?.store.phase === 'live'));
  return page;
}

async function start() {
  const found = await chromium.launch({executablePath, args: FLAGS, handleSIGINT: false});
  ends.push(() => found.close());
  return found;
}
