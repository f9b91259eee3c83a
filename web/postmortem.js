// An incident as a Markdown post-mortem, made here. Texts of others are quoted so that they stay text.
import {duration, measure, metricLabel, OUTCOMES, VERDICTS, REMEDIES, BLOCKS} from './words.js';
import {conditionText} from './steps.js';

// Neither Markdown nor HTML may come of what a node, a policy or a fault says.
export function escapeMarkdown(text) {
  return String(text ?? '').replace(/[\u0000-\u001f\u007f\u0085\u2028\u2029]+/g, ' ')
    .replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
    .replace(/[\\`*_{}[\]()#+!|~$^:@]/g, '\\$&').replace(/\b(www|\d+)\./gi, '$1\\.').replace(/^(\s*)([-=])/, '$1\\$2');
}
const e = escapeMarkdown, row = cells => '| ' + cells.join(' | ') + ' |';
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
const utc = at => at && !isNaN(new Date(at)) ? new Date(at).toISOString().replace('T', ' ').replace('Z', ' UTC') : '–';

export function postmortem(i) {
  const out = [];
  const say = (...lines) => out.push(lines.join('\n'), '');
  say(`# Incident ${Number(i.id)}: ${e(i.finding)} on ${e(i.node)}`);
  say(`${e(i.severity)}; ${e(i.state)}${i.verdict && i.verdict !== 'none' ? '; ' + e(VERDICTS[i.verdict] ?? i.verdict) : ''}${i.acknowledged ? '; acknowledged by a person' : ''}.`);
  say('## In short');
  say(table(['what', 'when', 'after'], [
    ...(i.fault ? [[`fault ${e(i.fault.kind)} injected`, utc(i.fault.injected_at), '0 s']] : []),
    ['began', utc(i.began_at), ''],
    ['detected', utc(i.opened_at), duration(i.detected_after_s)],
    ['acted on', utc(i.acted_at), ''],
    ['fixed', utc(i.fixed_at), duration(i.fixed_after_s)],
    ['proved', utc(i.closed_at), duration(i.proved_after_s)]]));
  say('## Evidence');
  say(i.evidence?.length ? table(['metric', 'ill when', 'found', 'after'], i.evidence.map(v =>
    [e(metricLabel(v.metric)), e(conditionText(v)), e(measure(v.metric, v.before)), e(measure(v.metric, v.after))])) : 'It rests on no figure.');
  say('## What was done');
  say(i.commands?.length ? i.commands.map(c => `- ${utc(c.ordered_at)}: ${e(c.remedy)}${REMEDIES[c.remedy] ? ' (' + e(REMEDIES[c.remedy]) + ')' : ''}, attempt ${Number(c.attempt)}, by ${e(c.by)}: **${e(OUTCOMES[c.outcome] ?? c.outcome)}**${c.took_s != null ? ' after ' + duration(c.took_s) : ''}${c.detail ? '; ' + e(c.detail) : ''}`).join('\n') : 'Nothing.');
  say('## What was not done, and why');
  say(i.blocked?.length ? i.blocked.map(b => `- ${e(b.remedy ?? 'nothing planned yet')}: **${e(b.reason)}**, ${e(b.text || BLOCKS[b.reason])} (${Number(b.count)} times, last ${utc(b.last_at)})`).join('\n') : 'No guard objected.');
  say('## Timeline');
  say((i.timeline ?? []).map(l => `- ${utc(l.at)} **${e(l.step)}** ${e(l.text)}`).join('\n'));
  say('## To be filled in by people');
  say('- What did users notice?', '- What went well, what did not, where were we lucky?', '- What do we change?');
  say(`Written by homeostat on ${utc(new Date())}.`);
  return out.join('\n');
}

// The name is one of ours; nothing foreign gets into it.
export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], {type: type + ';charset=utf-8'}));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
