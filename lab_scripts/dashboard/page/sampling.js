// A sampler at work: its numbers so far, how they came about, and its observables beside those of HMC.
import { $, desk, redraw } from "./desk.js";
import { fixed, make, pairs, put, signed, svg, table, with_error } from "./draw.js";
import { OBSERVED } from "./told.js";

const NAMES = {
  proposals: "proposals", configurations: "configurations", ess: "ESS", ess_before_tuning: "ESS before tuning",
  acceptance: "acceptance", tau_int: "τ_int of |M|",
};
const HEIGHT = 100, LEFT = 34, RIGHT = 96, TOP = 8, BOTTOM = 30;

export function draw_sampling() {
  const run = desk.run, told = run?.sampling ?? [], actions = [...(run?.actions ?? [])];
  $("sampling").hidden = !told.length && !actions.length;
  if ($("sampling").hidden) return;
  const last = Object.assign({}, ...told);
  pairs($("sampling-numbers"), Object.entries(NAMES).filter(([key]) => Number.isFinite(last[key]))
    .map(([key, label]) => [label, Number.isInteger(last[key]) ? `${last[key]}` : fixed(last[key], 3)]));
  draw_course(told.filter((m) => m.passed && m.segment === last.segment));
  $("sampling-so-far").textContent = run.end || !told.length ? "" : so_far(last);
  put($("segments"), ...run.segments.map((s) => make("li", {},
    `Segment ${s.number + 1} ended after ${s.proposals} proposals, ${s.dropped} more were dropped: ${s.ended_by}`)));
  put($("observables"), ...actions.map(observables));
}
// It says on how many it rests: a sampler tells of itself in a small share of its time.
function so_far(last) {
  const share = last.passed > last.proposals ? `, worked out from ${last.proposals} of ${last.passed}` : "";
  return `${last.segment ? `segment ${last.segment + 1}, ` : ""}so far${share}`;
}
// ESS and acceptance over the proposals so far.
function draw_course(told) {
  const chart = $("course");
  chart.toggleAttribute("hidden", told.length < 2);
  if (told.length < 2) return;
  const width = chart.clientWidth || 500, foot = HEIGHT - BOTTOM, most = told.at(-1).passed;
  const X = (n) => LEFT + (n / most) * (width - LEFT - RIGHT), Y = (v) => TOP + (1 - v) * (foot - TOP);
  const parts = [svg("path", { class: "axis", d: `M${LEFT} ${TOP}V${foot}H${width - RIGHT}` })];
  for (const v of [0, 0.5, 1]) parts.push(svg("text", { x: LEFT - 5, y: Y(v) + 4, "text-anchor": "end" }, v));
  parts.push(svg("text", { x: width - RIGHT, y: foot + 13, "text-anchor": "end" }, most),
    svg("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "proposals"));
  const ends = [];
  for (const [key, kind] of [["ess", "reads"], ["acceptance", "other"]]) {
    parts.push(svg("path", { class: kind, d: "M" + told.map((m) => `${X(m.passed).toFixed(1)} ${Y(m[key]).toFixed(1)}`).join("L") }));
    ends.push({ key, y: Y(told.at(-1)[key]) + 4 });
  }
  // Names at the ends of their lines, never on each other.
  ends.sort((a, b) => a.y - b.y);
  ends[1].y = Math.max(ends[1].y, ends[0].y + 13);
  for (const { key, y } of ends) parts.push(svg("text", { x: width - RIGHT + 6, y }, NAMES[key]));
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  put(chart, ...parts);
}
function observables(action) {
  const samplers = OBSERVED[action], others = Object.keys(samplers).filter((name) => name !== "HMC"), mine = others.at(-1) ?? "HMC";
  const reference = mine === "HMC" ? null : samplers.HMC;
  if (mine !== "HMC" && reference === undefined) look_for_reference(action);
  const element = make("table");
  table(element, action, ["observable", mine, "τ_int", ...(reference ? ["HMC", "difference"] : []), "exact", "pull"], samplers[mine].map((row) => {
    const hmc = reference?.find((other) => other.name === row.name);
    const apart = hmc ? (row.value - hmc.value) / Math.hypot(row.error, hmc.error) : NaN;
    const pull = row.expected === null ? NaN : (row.value - row.expected) / row.error;
    return [
      row.name, with_error(row.value, row.error), fixed(row.tau_int),
      ...(reference ? [hmc ? with_error(hmc.value, hmc.error) : "–", sigmas(apart)] : []),
      row.expected === null ? "" : String(row.expected), row.expected === null ? "" : sigmas(pull),
    ];
  }));
  return element;
}
const sigmas = (value) => (Number.isFinite(value) ? `${signed(value, 1)} σ` : "–");

// The newest run of HMC in the folder with this action; asked for once.
async function look_for_reference(action) {
  OBSERVED[action].HMC = null;
  const answer = await fetch(`reference?action=${encodeURIComponent(action)}`);
  if (answer.status === 200) OBSERVED[action].HMC ??= await answer.json();
  redraw();
}
