// What rules are in force? Read-only: the project's files are where they are changed.
import { html } from "../h.js";
import { useAnswer } from "../api.js";
import { link, toggleFilter } from "../store.js";
import * as f from "../format.js";
import { channelClass } from "../charts/color.js";
import { Definition } from "../ui/controls.js";
import { Panel } from "../ui/panel.js";
import { Table, grid } from "../ui/table.js";
import { Notices } from "./report.js";

const PERSONS = { device: "each device for itself", user_asof: "all devices known at a conversion's time to have had its user" };
const person = (identity) => (identity?.mode === "user_retro" ? `all devices known within ${f.plural(identity.retro_days ?? 0, "day")} after a conversion to have had its user` : PERSONS[identity?.mode] ?? identity?.mode);
const linked = (identity) => (!identity || identity.mode === "device" ? "var identity joins devices by user_id." : `A device with more than ${f.plural(identity.max_users_per_device ?? 0, "user")}, and a user on more than ${f.plural(identity.max_devices_per_user ?? 0, "device")}, link nobody.`);
const written = (value) => (Array.isArray(value) ? value.join(", ") || "none" : value !== null && typeof value === "object" ? JSON.stringify(value) : value == null || value === "" ? "–" : String(value));

export function Settings({ state }) {
  const answer = useAnswer("/settings");
  const { data, meta } = answer.body ?? {};
  const rules = data?.rules?.rows ?? [], licences = data?.licences ?? [];
  const facts = data ? [
    ["Project", data.project], ["Property", data.property_id], ["Time zone", data.timezone, "Days begin and end here; windows are measured in UTC."], ["Key events", data.key_events, "Each is credited for itself; they are never added up."],
    ["Lookback window", f.plural(data.lookback?.days ?? 0, "day"), "A touch counts when it is at most this old at the conversion."], ...Object.entries(data.lookback?.by_event ?? {}).map(([name, days]) => [`Lookback of ${name}`, f.plural(days, "day"), "Its own window."]),
    ["Direct", data.direct?.text, data.direct?.semantics && `Rule ${data.direct.semantics}`], ["Touches are", data.touch_grain === "click" ? "clicks: each change of source inside a session" : "sessions: one for each", ""], ["Same order id", data.order_dedupe_scope === "property" ? "counted once in the property" : "counted once for a person", "The earliest purchase with an id counts."],
    ["One person is", person(data.identity), linked(data.identity)], ["Excluded channels", data.excluded_channels, "They remove touches, never conversions."], ["Own domains", data.own_domains, "Links between them are no touches."], ["Referral exclusions", data.referral_exclusions, "Payment and login pages: coming back from them is no touch."],
  ].map(([name, value, about]) => ({ name, value, about })) : [];
  const factColumns = [{ id: "name", label: "Rule", fixed: true, value: (r) => r.name }, { id: "value", label: "In force", className: "prose", value: (r) => written(r.value), show: (r) => html`<bdi>${written(r.value)}</bdi>` }, { id: "about", label: "Meaning", className: "prose", value: (r) => r.about ?? "", show: (r) => html`<span class="muted">${r.about ?? ""}</span>` }];
  const modelColumns = [{ id: "name", label: "Attribution model", fixed: true, value: (m) => m.name, show: (m) => html`<span title=${m.name}>${f.modelName(m.name)}</span>` }, { id: "text", label: "In words", value: (m) => m.text }, { id: "explained", label: "How it credits", className: "prose", value: (m) => m.explained }, { id: "rule", label: "Rule", value: (m) => m.semantics }];
  const ruleColumns = [{ id: "channel", label: "Channel", fixed: true, value: (r) => r.channel, show: (r) => html`<span class="nowrap"><span class="swatch-dot ${channelClass(r.channel)}"></span>${r.channel}</span>` }, { id: "text", label: "When", className: "prose", value: (r) => r.text }, { id: "rule", label: "Name", value: (r) => r.rule, show: (r) => html`<code>${r.rule}</code>` },
    { id: "touches", label: "Touches", num: true, value: (r) => r.touches, show: (r) => html`<span data-cell="${r.rule}|touches" data-exact=${r.touches}>${r.touches == null ? "–" : Number(r.touches) ? html`<a class="cell-link" href=${link("/conversions", { f: toggleFilter("", "channel", r.channel) })}>${f.count(r.touches)}</a>` : "0"}</span>` }, { id: "sessions", label: "Sessions", num: true, value: (r) => r.sessions, show: (r) => f.count(r.sessions) }];
  const varColumns = [{ id: "name", label: "Var", fixed: true, value: (v) => v.name, show: (v) => html`<code>${v.name}</code>` }, { id: "value", label: "Value", className: "prose", value: (v) => written(v.value), show: (v) => html`<code>${written(v.value)}</code>` }];
  return html`<div class="head"><h1>Settings</h1></div><${Definition} meta=${meta} /><${Notices} answer=${answer} state=${state} meta=${meta} />
    <${Panel} title="Rules in force" name="settings" flush answer=${answer} size="h320" sub="change them in dbt_project.yml; the models are built anew then" cli="clicktrail debug" rows=${() => grid(factColumns, facts)}><${Table} columns=${factColumns} rows=${facts} label="Rules in force" sortable=${false} rowKey=${(r) => r.name} /><//>
    <${Panel} title="Attribution models" name="settings-models" flush answer=${answer} size="h140" rows=${() => grid(modelColumns, data.models)}><${Table} columns=${modelColumns} rows=${data?.models ?? []} label="Attribution models" sortable=${false} rowKey=${(m) => m.name} /><//>
    <${Panel} title="Channel rules" name="settings-channels" flush answer=${answer} size="h320" sub="${data?.rules?.version ?? ""}; the first that fits wins" sqlId=${data?.rules?.sql_id} rows=${() => grid(ruleColumns, rules)}><${Table} columns=${ruleColumns} rows=${rules} label="Channel rules" sort=${state.sort} rowKey=${(r) => `${r.rule}${r.channel}`} /><//>
    <div class="grid"><${Panel} title="Vars as set" name="settings-vars" className="w6" flush answer=${answer} size="h140" rows=${() => grid(varColumns, data.vars)}><${Table} columns=${varColumns} rows=${data?.vars ?? []} label="Vars" sortable=${false} rowKey=${(v) => v.name} /><//>
      <${Panel} title="This program" name="settings-build" className="w6" answer=${answer} size="h140"><dl class="facts"><div><dt>version</dt><dd class="code">${data?.build?.version}</dd></div><div><dt>build</dt><dd class="code">${data?.build?.id}</dd></div>
        ${licences.map((l) => html`<div key=${l.name}><dt>${l.name} ${l.version}</dt><dd><a href=${l.url} target="_blank" rel="noopener">${l.licence}</a></dd></div>`)}<div><dt>all licences</dt><dd><a href="/licenses" target="_blank" rel="noopener">vendored code</a></dd></div></dl><//></div>`;
}
