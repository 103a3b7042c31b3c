// The map of an array: what of it is shown, its colours, and how a cell is chosen.
import { STATE_COLOURS, STATE_MARKS, ramps } from "./colours.js";
import { $, MICRO, array, css, desk, isDark, read, redraw, select } from "./desk.js";
import { fixed, make, put, signed, svg, table } from "./draw.js";

const VIEWS = {
  measured: { label: "Measured", unit: "µS", digits: 2, range: levels, ramp: () => "viridis" },
  target: { label: "Target", unit: "µS", digits: 2, range: levels, ramp: () => "viridis" },
  error: { label: "Error", unit: "µS", digits: 2, range: deviation, ramp: () => (isDark() ? "dark" : "light") },
  pulses: { label: "Pulses", unit: "", digits: 0, range: (v) => [0, Math.max(1, ...v.filter(isFinite))], ramp: () => "viridis" },
  state: { label: "State", unit: "", digits: 0 },
};
// Those asked for; of reads that nobody asked for, those of nearly all cells: one that is stuck would hide the others.
function levels() {
  let asked = (array().states ? array().target : read()?.g ?? []).filter(Number.isFinite);
  if (!array().states) asked = asked.sort().slice(Math.floor(0.02 * asked.length), Math.ceil(0.98 * asked.length));
  return asked.length ? [Math.floor(Math.min(...asked) * MICRO / 10 - 0.001) * 10, Math.ceil(Math.max(...asked) * MICRO / 10 + 0.001) * 10] : [0, 100];
}
// Symmetric, in steps, wide enough for 19 of 20 cells.
export function deviation(values) {
  const sizes = values.filter(Number.isFinite).map(Math.abs).sort((a, b) => a - b), most = sizes[Math.floor(sizes.length * 0.95)] ?? 1;
  const bound = [0.5, 1, 2, 5, 10, 20, 50].find((step) => step >= most) ?? 100;
  return [-bound, bound];
}
const shown_view = () => (array().states ? desk.view : "measured");
function shown_values() {
  const a = array(), r = read();
  switch (shown_view()) {
    case "target": return Array.from(a.target, (g) => g * MICRO);
    case "measured": return Array.from(r?.g ?? a.target.map(() => NaN), (g) => g * MICRO);
    case "error": return Array.from(a.target, (g, i) => ((r?.g[i] ?? NaN) - g) * MICRO);
    case "pulses": return Array.from(r?.count ?? a.target.map(() => 0));
    default: return Array.from(r?.state ?? a.target.map(() => 1));
  }
}

// Which arrays there are, and what there is to see of this one: reads without targets have no errors.
function draw_choices(a) {
  const arrays = desk.run.arrays.length, choice = $("array-choice");
  choice.hidden = arrays < 2;
  if (choice.options.length !== arrays) put(choice, ...Array.from({ length: arrays }, (_, i) => make("option", { value: i }, `array ${i + 1} of ${arrays}`)));
  choice.value = desk.arrayShown;
  $("views").hidden = !a.states;
}

const MARGIN = { left: 34, top: 8, right: 6, bottom: 30 };
export function draw_map() {
  const a = array();
  $("array").hidden = !a;
  if (!a) return;
  draw_choices(a);
  const [rows, columns] = a.shape, canvas = $("map"), scale = devicePixelRatio || 1, side = canvas.clientWidth;
  if (!side) return;
  canvas.width = canvas.height = Math.round(side * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const size = Math.floor(((side - MARGIN.left - MARGIN.right) / Math.max(rows, columns)) * scale) / scale;
  const values = shown_values(), states = read()?.state;
  const kind = VIEWS[shown_view()], [low, high] = kind.range?.(values) ?? [0, 1], ramp = kind.ramp ? ramps[kind.ramp()] : null;
  for (let i = 0; i < values.length; i++) {
    const x = MARGIN.left + (i % columns) * size, y = MARGIN.top + Math.floor(i / columns) * size;
    if (!ramp) pen.fillStyle = STATE_COLOURS[values[i]] ?? "#111";
    else if (Number.isFinite(values[i])) {
      const [r, g, b] = ramp[Math.max(0, Math.min(255, Math.round(((values[i] - low) / (high - low)) * 255)))];
      pen.fillStyle = `rgb(${r},${g},${b})`;
    } else pen.fillStyle = css("--line");
    pen.fillRect(x, y, size - 0.5, size - 0.5);
    if (states?.[i] > 2) mark(pen, x, y, size, STATE_MARKS[states[i]] || "?");
  }
  pen.fillStyle = css("--muted");
  pen.font = "11px system-ui, DejaVu Sans, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (let r = 0; r < rows; r += 4) pen.fillText(r, MARGIN.left - 5, MARGIN.top + (r + 0.5) * size);
  pen.textAlign = "center";
  const foot = MARGIN.top + rows * size;
  for (let c = 0; c < columns; c += 4) pen.fillText(c, MARGIN.left + (c + 0.5) * size, foot + 8);
  pen.fillText("bit line", MARGIN.left + (columns * size) / 2, foot + 22);
  pen.save();
  pen.translate(7, MARGIN.top + (rows * size) / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText("source line", 0, 0);
  pen.restore();
  const x = MARGIN.left + desk.cell.bl * size, y = MARGIN.top + desk.cell.sl * size;
  for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.strokeRect(x - 1, y - 1, size + 1.5, size + 1.5);
  }
  canvas.cellSize = size;
  canvas.setAttribute("aria-label", `${kind.label} of ${rows} × ${columns} cells${kind.unit ? `, ${low} to ${high} ${kind.unit}` : ""}`);
  canvas.dataset.reads = a.reads.length;
  draw_legend(kind, low, high, ramp, a, states);
  const reads = a.reads.length;
  $("cycle").max = Math.max(1, reads);
  $("cycle").value = desk.shownRead === null ? reads : desk.shownRead + 1;
  $("cycle-shown").textContent = read()?.final ? `${reads} of ${reads}, final` : `${$("cycle").value} of ${reads}`;
  if ($("as-table").open) draw_values(a, values, kind);
}
function mark(pen, x, y, size, text) {
  pen.font = `bold ${Math.round(size * 0.95)}px system-ui, DejaVu Sans, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 2.5;
  pen.strokeStyle = "#000";
  pen.strokeText(text, x + size / 2, y + size / 2 + 0.5);
  pen.fillStyle = "#fff";
  pen.fillText(text, x + size / 2, y + size / 2 + 0.5);
}
function draw_legend(kind, low, high, ramp, a, states) {
  const failed = states ? [...new Set(states)].filter((s) => s > 2).sort() : [];
  const key = JSON.stringify([kind.label, low, high, isDark(), failed, a.states]);
  if ($("legend").dataset.key === key) return;
  $("legend").dataset.key = key;
  const parts = [];
  if (ramp) {
    const bar = make("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    const pen = bar.getContext("2d");
    ramp.forEach(([r, g, b], i) => { pen.fillStyle = `rgb(${r},${g},${b})`; pen.fillRect(i, 0, 1, 1); });
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((x) => low + x * (high - low));
    const error = kind === VIEWS.error, unit = kind.unit ? ` ${kind.unit}` : "";
    const text = ticks.map((v) => (error ? signed(v, high < 1 ? 2 : 1) : fixed(v, 0)));
    if (error || !a.states) { text[0] = `≤ ${text[0]}`; text[4] = `≥ ${text[4]}`; }
    parts.push(make("div", { class: "scale" }, bar, make("div", { class: "ticks" }, ...text.map((t, i) => make("span", {}, i === 4 ? t + unit : t)))));
  }
  for (const s of ramp ? failed : a.states.keys()) {
    const swatch = svg("svg", { viewBox: "0 0 13 13", "aria-hidden": "true" });
    swatch.append(svg("rect", { width: 13, height: 13, fill: ramp ? css("--line") : STATE_COLOURS[s] }));
    const glyph = svg("text", { x: 6.5, y: 10.5, "text-anchor": "middle" }, STATE_MARKS[s]);
    swatch.append(glyph);
    parts.push(make("span", { class: "key" }, swatch, a.states[s]));
  }
  put($("legend"), ...parts);
}
function draw_values(a, values, kind) {
  const [rows, columns] = a.shape;
  table($("values"), `${kind.label}${kind.unit ? `, ${kind.unit}` : ""}; rows are source lines, columns bit lines`,
    ["SL \\ BL", ...Array(columns).keys()].map(String),
    Array.from({ length: rows }, (_, r) => [String(r), ...values.slice(r * columns, (r + 1) * columns).map((v) =>
      (kind === VIEWS.state ? a.states[v] : fixed(v, kind.digits)))]));
}

$("map").addEventListener("click", (event) => {
  const box = $("map").getBoundingClientRect(), size = $("map").cellSize;
  select(Math.floor((event.clientY - box.top - MARGIN.top) / size), Math.floor((event.clientX - box.left - MARGIN.left) / size));
});
$("map").addEventListener("keydown", (event) => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const by = event.shiftKey ? 8 : 1;
  select(desk.cell.sl + step[0] * by, desk.cell.bl + step[1] * by);
});
for (const [name, { label }] of Object.entries(VIEWS)) {
  const input = make("input", { type: "radio", name: "view", value: name, onchange: () => { desk.view = name; redraw(); } });
  input.checked = name === desk.view;
  $("views").append(make("label", {}, input, label));
}
$("cycle").addEventListener("input", () => {
  const n = array()?.reads.length ?? 0, at = Number($("cycle").value) - 1;
  desk.shownRead = at >= n - 1 ? null : at;
  redraw();
});
$("newest").addEventListener("click", () => { desk.shownRead = null; redraw(); });
$("as-table").addEventListener("toggle", redraw);
$("array-choice").addEventListener("change", () => { desk.arrayShown = Number($("array-choice").value); desk.shownRead = null; redraw(); });
