// Numbers with their units, times, and the plain words for what the API calls by one word.

export const METRICS = {
  cpu_utilization: {label: 'cpu', unit: 'ratio', help: 'share of a processor core that the service uses'},
  request_latency: {label: 'latency', unit: 'seconds', help: 'how long users wait for an answer (99 of 100 wait less)'},
  error_ratio: {label: 'errors', unit: 'ratio', help: 'share of the requests that fail'},
  request_rate: {label: 'requests', unit: 'per_second', help: 'requests that are answered each second'},
  storage_latency: {label: 'storage latency', unit: 'seconds', help: 'how long a write to the disk takes'},
  network_latency: {label: 'network latency', unit: 'seconds', help: 'how long a ping through the link takes'},
  memory_bytes: {label: 'memory', unit: 'bytes', help: 'memory that the service holds'},
  neighbour_cpu_utilization: {label: 'cpu of neighbours', unit: 'ratio', help: 'what other processes on the node take of its processor'},
  offered_load: {label: 'offered load', unit: 'times', help: 'what users ask for, in multiples of what the node is provisioned for'},
  network_loss: {label: 'network loss', unit: 'ratio', help: 'share of pings that are lost'},
  storage_error_ratio: {label: 'storage errors', unit: 'ratio', help: 'share of writes that fail'},
  filesystem_utilization: {label: 'filesystem', unit: 'ratio', help: 'how full the node’s disk is'},
  node_memory_utilization: {label: 'memory of the node', unit: 'ratio', help: 'share of the node’s memory that is in use'},
  service_up: {label: 'service', unit: 'flag', help: '1: the service runs, 0: it does not'},
  service_starts: {label: 'starts', unit: 'count', help: 'how often the service has been started'},
  service_exit: {label: 'exit code', unit: 'count', help: 'how the service ended'},
};
export const METRIC_ORDER = Object.keys(METRICS);
export const metricLabel = name => METRICS[name]?.label ?? String(name).replace(/_/g, ' ');
export const metricUnit = name => METRICS[name]?.unit ?? 'count';

const NBSP = '\u00a0';
function digits(value) {
  const size = Math.abs(value);
  if (size >= 9.95 || size === 0) return Math.round(value).toString();
  return size >= 0.095 ? value.toFixed(1) : value.toPrecision(1);
}

export function duration(s) {
  if (s == null || !isFinite(s)) return '–';
  const size = Math.abs(s), sign = s < 0 ? '−' : '';
  if (size === 0) return '0' + NBSP + 's';
  if (size < 0.000999) return sign + digits(size * 1e6) + NBSP + 'µs';
  if (size < 0.9995) return sign + digits(size * 1e3) + NBSP + 'ms';
  if (size < 10) return sign + size.toFixed(1) + NBSP + 's';
  if (size < 120) return sign + Math.round(size) + NBSP + 's';
  const parts = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const first = parts.findIndex(([, length]) => size >= length);
  const [unit, length] = parts[first], whole = Math.floor(size / length);
  const rest = parts[first + 1] ? Math.floor((size - whole * length) / parts[first + 1][1]) : 0;
  return sign + whole + NBSP + unit + (rest ? ' ' + rest + NBSP + parts[first + 1][0] : '');
}

// A count-down or a place in a run: whole seconds, so that it ticks evenly.
export const ticking = s => s < 120 ? Math.round(s) + NBSP + 's' : duration(s);

export function bytes(value) {
  if (value == null || !isFinite(value)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (Math.abs(value) >= 1000 && i < units.length - 1) { value /= 1024; i++; }
  return digits(value) + NBSP + units[i];
}

export function quantity(unit, value) {
  if (value == null || !isFinite(value)) return '–';
  switch (unit) {
  case 'ratio': return percent(value);
  case 'seconds': return duration(value);
  case 'bytes': return bytes(value);
  case 'per_second': return digits(value) + NBSP + '/s';
  case 'times': return digits(value) + NBSP + '×';
  case 'flag': return value >= 1 ? 'up' : value <= 0 ? 'down' : digits(value * 100) + NBSP + '% up';
  default: return digits(value);
  }
}
function percent(value) {
  const p = value * 100, size = Math.abs(p);
  return (size === 0 || size >= 0.05 ? digits(p) : '< 0.1') + NBSP + '%';
}
// A number of a policy or a fault's range: as it was written, without rounding.
export function exact(unit, value) {
  const n = (v, word) => +v.toPrecision(6) + NBSP + word;
  switch (unit) {
  case 'ratio': return n(value * 100, '%');
  case 'seconds': { const size = Math.abs(value); return size && size < 0.001 ? n(value * 1e6, 'µs') : size && size < 1 ? n(value * 1e3, 'ms') : size < 120 ? n(value, 's') : duration(value); }
  case 'times': return n(value, '×');
  case 'per_second': return n(value, '/s');
  case 'bytes': return bytes(value);
  default: return quantity(unit, value);
  }
}
// A remedy's name stays as it is.
export const sentence = text => text ? (/^\w*_/.test(text) ? text[0] : text[0].toUpperCase()) + text.slice(1) + (/[.!?…]$/.test(text) ? '' : '.') : '';
export const measure = (metric, value) => quantity(metricUnit(metric), value);

const two = n => String(n).padStart(2, '0');
export function clock(at, tenths = false) {
  const date = at instanceof Date ? at : new Date(at);
  if (at == null || isNaN(date)) return '–';
  const text = two(date.getHours()) + ':' + two(date.getMinutes()) + ':' + two(date.getSeconds());
  return tenths ? text + '.' + Math.floor(date.getMilliseconds() / 100) : text;
}
// The day is said only if it is not today.
export function moment(at) {
  const date = new Date(at);
  if (at == null || isNaN(date)) return '–';
  const today = new Date(), day = date.toDateString() === today.toDateString();
  return (day ? '' : date.getFullYear() + '-' + two(date.getMonth() + 1) + '-' + two(date.getDate()) + ' ') + clock(date);
}
export const seconds = (from, to) => (new Date(to) - new Date(from)) / 1000;
export const count = (n, one, many = one + 's') => n.toLocaleString('en') + ' ' + (n === 1 ? one : many);
export const list = items => items.length < 2 ? items.join('') : items.slice(0, -1).join(', ') + ' and ' + items[items.length - 1];

export const HEALTHS = ['healthy', 'healing', 'ill', 'silent', 'unknown', 'gone'];

export const REMEDIES = {
  restart_service: 'end the service’s process and start it afresh',
  failover_storage: 'let the service write to its standby folder',
  reset_network: 'replace the node’s link by a fresh one',
  drain_node: 'send the node no more requests until its service is restarted',
  shed_load: 'refuse a part of the requests until the load is what it can carry',
  scale_out: 'start a second instance that takes half of the load',
  isolate_neighbour: 'take the processor from the process beside it',
  clean_disk: 'empty the node’s scratch folder, where what may be lost lies',
  rollback_release: 'run the release before this one',
  rollback_config: 'go back to the configuration before this one',
  reboot_node: 'start the node afresh, with all that runs on it',
  page_human: 'tell people and leave the node alone',
};

export const STATES = {
  open: 'found; no plan yet', planned: 'planned', acting: 'acting', verifying: 'verifying', resolved: 'resolved', escalated: 'left to people',
};
export const ACTIVE = new Set(['open', 'planned', 'acting', 'verifying', 'escalated']);
// How an incident's state is coloured; the word always stands there as well.
export function toneOf(incident) {
  if (incident.state === 'resolved') return incident.verdict === 'harmed' ? 'ill' : 'healthy';
  return incident.state === 'escalated' ? 'ill' : 'healing';
}

export const VERDICTS = {
  none: 'no verdict', effective: 'it helped', ineffective: 'it did not help', inconclusive: 'it cannot be told whether it helped', harmed: 'something got worse',
};
export const OUTCOMES = {
  none: 'under way', done: 'done', failed: 'failed', cut: 'interrupted', refused: 'refused for now', unsupported: 'not possible on this node', expired: 'never begun', unknown: 'no answer',
};
export const BLOCKS = {
  explained: 'what it calls, or another finding, explains it', clearing: 'it looks well again', maintenance: 'people are at work on it', hold: 'waiting for a cause to show',
  planner: 'waiting for the planner', stale: 'its newest report is too old', grace: 'the control plane itself was away', uncorroborated: 'one witness alone',
  dry_run: 'the policy only watches', paused: 'automation is paused', breaker: 'the breaker is open', in_flight: 'another action is not finished', flapping: 'ill and well too often',
  attempts: 'attempts used up', cooldown: 'cooling down', backoff: 'waiting longer each time', rate_target: 'too many actions on this node', rate_rule: 'too many for this finding',
  rate_kind: 'too many of this kind', rate_fleet: 'too many in the fleet', budget: 'enough nodes in work', approval: 'waits for a person',
};
export const SHAPES = {
  step: 'at once, until the end', ramp: 'slowly rising', spike: 'short peaks', sawtooth: 'rising again and again', flapping: 'on and off', gray: 'just under what counts as ill',
};
export const COMES_AND_GOES = new Set(['spike', 'sawtooth', 'flapping']);
export const EFFECTS = {waiting: 'no effect seen yet', seen: 'effect seen', none: 'no effect seen: it proves nothing'};
export const MODES = {auto: 'acts by itself', approve: 'asks a person before each action', dry_run: 'only watches'};
