// The reads of one cell, and the errors of all of them.
import { $, MICRO, array, desk, read } from "./desk.js";
import { fixed, pairs, put, signed, svg, table } from "./draw.js";
import { deviation } from "./map.js";

export function draw_cell() {
  const a = array();
  $("history").hidden = !a?.reads.length;
  if (!a?.reads.length) return;
  const i = desk.cell.sl * a.shape[1] + desk.cell.bl, r = read(), target = a.target[i] * MICRO, g = r.g[i] * MICRO;
  $("history-title").textContent = `Cell SL ${desk.cell.sl}, BL ${desk.cell.bl}`;
  pairs($("cell"), a.states
    ? [["target", fixed(target), "µS"], ["measured", fixed(g), "µS"], ["error", signed(g - target), "µS"],
      ["pulses", String(r.count[i])], ["state", a.states[r.state[i]]]]
    : [["measured", fixed(g), "µS"]]);
  const history = a.reads.map((one, k) => ({ cycle: one.final ? "final" : one.cycle, k, g: one.g[i] * MICRO, v: one.amplitude[i], gate: one.gate[i] }));
  const chart = $("trace"), width = chart.clientWidth || 400, height = 150, left = 40, right = 10, top = 8, bottom = 34;
  const all = [...history.map((h) => h.g), target].filter(Number.isFinite);
  let low = Math.min(...all), high = Math.max(...all);
  const pad = Math.max(1, (high - low) * 0.08);
  low -= pad; high += pad;
  const X = (k) => left + (k / Math.max(1, history.length - 1)) * (width - left - right);
  const Y = (v) => top + (1 - (v - low) / (high - low)) * (height - top - bottom);
  const parts = [svg("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` })];
  for (const v of [low + pad, (low + high) / 2, high - pad]) parts.push(svg("text", { x: left - 5, y: Y(v) + 4, "text-anchor": "end" }, fixed(v, 1)));
  parts.push(svg("text", { x: left, y: height - 4 }, "1"), svg("text", { x: width - right, y: height - 4, "text-anchor": "end" }, `${history.length}`));
  parts.push(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, a.states ? "µS over reads, ▲ SET ▼ RESET" : "µS over reads"));
  if (Number.isFinite(target)) parts.push(svg("path", { class: "target", d: `M${left} ${Y(target)}H${width - right}` }));
  parts.push(svg("path", { class: "reads", d: "M" + history.map((h) => `${X(h.k).toFixed(1)} ${Y(h.g).toFixed(1)}`).join("L") }));
  for (const h of history) {
    parts.push(svg("circle", { class: "dot", cx: X(h.k), cy: Y(h.g), r: h.k === (desk.shownRead ?? history.length - 1) ? 4 : 1.8 }));
    if (Number.isFinite(h.v)) {
      const x = X(h.k), y = height - bottom + 9, s = h.v > 0 ? -4.5 : 4.5;
      parts.push(svg("path", { class: h.v > 0 ? "set" : "reset", d: `M${x - 4} ${y - s / 2}L${x + 4} ${y - s / 2}L${x} ${y + s / 2 + s / 3}Z` }));
    }
  }
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  put(chart, ...parts);
  if (!a.states) table($("reads"), "Each read", ["read", "measured (µS)"], history.map((h) => [String(h.cycle), fixed(h.g)]));
  else {
    table($("reads"), "Each read, and the pulse that came before it", ["read", "measured (µS)", "error (µS)", "pulse (V)", "gate (V)"],
      history.map((h) => [String(h.cycle), fixed(h.g), signed(h.g - target), signed(h.v), Number.isFinite(h.v) ? fixed(h.gate) : "–"]));
  }
}

// Of the cells that are done, in µS.
export function deviations(a, r) {
  const found = [];
  for (let i = 0; i < r.g.length; i++) if (r.state[i] === 2) found.push((r.g[i] - a.target[i]) * MICRO);
  return found;
}
export function spread(values) {
  const mean = values.reduce((s, v) => s + v, 0) / values.length;
  return Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length);
}
export function draw_errors() {
  const a = array(), r = read(), off = r?.state ? deviations(a, r) : [];
  $("errors").hidden = off.length < 2;
  if (off.length < 2) return;
  const chart = $("histogram"), width = chart.clientWidth || 400, height = 150, left = 34, bottom = 32, limit = 2 * deviation(off)[1], n = 48;
  const bins = Array(n).fill(0);
  for (const v of off) bins[Math.max(0, Math.min(n - 1, Math.floor(((v + limit) / (2 * limit)) * n)))]++;
  const most = Math.max(...bins), step = (width - left - 8) / n, full = height - bottom - 18;
  const parts = [svg("path", { class: "axis", d: `M${left} ${height - bottom}H${width - 8}` })];
  bins.forEach((count, i) => { if (count) parts.push(svg("rect", { class: "bin", x: left + i * step, y: height - bottom - (count / most) * full, width: Math.max(1, step - 1), height: (count / most) * full })); });
  for (const v of [-limit, -limit / 2, 0, limit / 2, limit]) parts.push(svg("text", { x: left + ((v + limit) / (2 * limit)) * (width - left - 16), y: height - bottom + 14, "text-anchor": "middle" }, signed(v, limit < 5 ? 1 : 0)));
  parts.push(svg("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "read − target, µS (ends: beyond)"));
  parts.push(svg("text", { x: left - 4, y: height - bottom - full + 4, "text-anchor": "end" }, most), svg("text", { x: left - 4, y: height - bottom + 1, "text-anchor": "end" }, "0"));
  parts.push(svg("text", { x: width - 10, y: 12, "text-anchor": "end" }, `${off.length} cells, σ ${fixed(spread(off), 3)} µS`));
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  put(chart, ...parts);
}
