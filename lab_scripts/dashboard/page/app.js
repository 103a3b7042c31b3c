// The dashboard's page: follows one run over a WebSocket, keeps what it tells, draws it. Text is set as text, never as
// markup, so that no name of a run can be more than a name.
"use strict";

const $ = (id) => document.getElementById(id);
const MICRO = 1e6;

// -- colours: 17 stops of viridis, of RdBu reversed (light ground) and of berlin (dark ground) ------------------------
const STOPS = {
  viridis: "44015448186a472d7b4240863b528b33638d2c728e26828e21918c1fa08828ae803fbc735ec96284d44baddc30d8e219fde725",
  light: "0530611752902a71b23f8ec06bacd19bc9e0c2ddece0ecf3f7f6f6fbe5d8fbccb4f5aa89e48066d05548ba2832930e2667001f",
  dark: "9eb0ff79abed519fd33685ad2868861d4b6114303e111a20190c092b0e014112015b1d087d341e9e513fbe6f63df8f89ffadad",
};
// Okabe and Ito; each state has a mark of its own as well, for eyes that see no colours.
const STATE_COLOURS = ["#8a9199", "#e69f00", "#0072b2", "#d55e00", "#cc79a7", "#f0e442", "#56b4e9", "#009e73", "#111111"];
const STATE_MARKS = ["", "", "", "×", "+", "○", "△", "~", "?"];
const ramps = {};
for (const [name, stops] of Object.entries(STOPS)) {
  const at = (i, c) => parseInt(stops.slice(6 * i + 2 * c, 6 * i + 2 * c + 2), 16);
  ramps[name] = Array.from({ length: 256 }, (_, k) => {
    const x = (k / 255) * 16, i = Math.min(15, Math.floor(x));
    return [0, 1, 2].map((c) => Math.round(at(i, c) + (x - i) * (at(i + 1, c) - at(i, c))));
  });
}
const isDark = () => document.documentElement.dataset.theme === "dark";
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const VIEWS = {
  measured: { label: "Measured", unit: "µS", digits: 2, range: levels, ramp: () => "viridis" },
  target: { label: "Target", unit: "µS", digits: 2, range: levels, ramp: () => "viridis" },
  error: { label: "Error", unit: "µS", digits: 2, range: deviation, ramp: () => (isDark() ? "dark" : "light") },
  pulses: { label: "Pulses", unit: "", digits: 0, range: (v) => [0, Math.max(1, ...v.filter(isFinite))], ramp: () => "viridis" },
  state: { label: "State", unit: "", digits: 0 },
};
let view = "measured", cell = { sl: 0, bl: 0 }, shownRead = null;  // null: the newest

// -- what a run told --------------------------------------------------------------------------------------------------
let runs = [], run = null, arrayShown = 0;

const emptyRun = (id) => ({
  id, lines: 0, begin: {}, boards: [], arrays: [], tasks: [], products: [], sampling: null, observables: {}, end: null, t: 0,
});

function unpack(text, Type = Float32Array) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Type(bytes.buffer);
}

const TAKE = {
  begin: (r, m) => { r.begin = m; },
  board: (r, m) => { r.boards.push(m); },
  task: (r, m) => {
    let task = r.tasks.find((t) => t.name === m.name);
    if (!task) r.tasks.push((task = { name: m.name, since: m.t }));
    else if (m.total === 0) task.since = m.t;
    Object.assign(task, m);
  },
  programming: (r, m) => {
    r.arrays[m.array] = { shape: m.shape, states: m.states, target: unpack(m.target), reads: [], final: null };
    arrayShown = m.array;
    shownRead = null;
  },
  read: (r, m) => {
    const array = r.arrays[m.array], before = array.reads.at(-1);
    const read = { ...m, g: unpack(m.g), state: unpack(m.state, Uint8Array), amplitude: unpack(m.amplitude), gate: unpack(m.gate) };
    read.count = read.amplitude.map((v, i) => (before ? before.count[i] : 0) + (Number.isFinite(v) ? 1 : 0));
    read.pulsed = m.pulses;
    array.reads.push(read);
  },
  programmed: (r, m) => {
    const array = r.arrays[m.array], last = array.reads.at(-1);
    array.final = m;
    array.reads.push({
      ...last, g: unpack(m.g), state: unpack(m.state, Uint8Array), count: Float32Array.from(unpack(m.pulses, Int32Array)),
      amplitude: last.amplitude.map(() => NaN), final: true, t: m.t,
    });
  },
  products: (r, m) => { r.products.push({ ...m, expected: unpack(m.expected), got: unpack(m.got) }); },
  sampling: (r, m) => { r.sampling = { ...r.sampling, ...m }; },
  observables: (r, m) => { (OBSERVED[m.action] ??= {})[m.sampler] = m.rows; r.observables[m.action] = true; },
  end: (r, m) => { r.end = m; },
};
// By action and sampler, of all runs that were followed: a flow stands beside the HMC of the same action.
const OBSERVED = {};

// -- the link ---------------------------------------------------------------------------------------------------------
let link = null, retry = 0, aborting = new Set();

async function enter() {
  const token = location.hash.slice(1);
  if (token) {
    history.replaceState(null, "", location.pathname);
    await show_token(decodeURIComponent(token));
  }
  connect();
}

async function show_token(token) {
  const answer = await fetch("session", { method: "POST", body: token });
  $("login-error").textContent = answer.ok ? "" : "That is not the token.";
  return answer.ok;
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => { link = socket; };
  socket.onmessage = (event) => {
    retry = 0;
    say_link("connected", "good");
    $("login").hidden = true;
    $("main").hidden = false;
    take(JSON.parse(event.data));
  };
  socket.onclose = (event) => {
    link = null;
    if (event.code === 4403) {
      say_link("token needed", "warn");
      $("login").hidden = false;
      $("main").hidden = true;
      $("token").focus();
      return;
    }
    say_link("connection lost, trying again", "bad");
    run_asked = null;
    setTimeout(connect, Math.min(5000, 250 * 2 ** retry++));
  };
}

function say_link(text, kind) {
  $("link").textContent = text;
  $("link").className = `badge ${kind}`;
  redraw();
}

let run_asked = null;
function follow(id) {
  if (run?.id !== id) {
    run = emptyRun(id);
    arrayShown = 0;
    shownRead = null;
    $("run-message").textContent = "";
  }
  run_asked = id;
  // From where this page has it: after a lost connection nothing comes twice.
  link?.send(JSON.stringify({ run: id, follow: run.lines }));
  redraw();
}

function take(message) {
  if (message.kind === "runs") {
    const known = new Set(runs.map((r) => r.id));
    runs = message.live;
    $("folder").textContent = message.folder;
    if (message.problem) say_link(message.problem, "bad");
    const fresh = runs.filter((r) => !r.ended && !known.has(r.id)).at(-1);
    if (fresh && (!run || run.end || fresh.id === run.id)) follow(fresh.id);
    else if (run && run_asked !== run.id && runs.some((r) => r.id === run.id)) follow(run.id);
    else if (!run && runs.length) follow(runs.at(-1).id);
    draw_runs();
  } else if (message.kind === "finished") {
    draw_finished(message.runs);
  } else if (message.kind === "lines" && run && message.run === run.id && message.first === run.lines) {
    for (const line of message.lines) {
      run.lines++;
      run.t = line.t ?? run.t;
      TAKE[line.kind]?.(run, line);
    }
  } else if (message.kind === "journal" && message.run === run?.id) {
    run.journal = message.boards;
  } else if (message.kind === "abort" && message.run === run?.id) {
    if (message.refused) aborting.delete(message.run);
    $("run-message").textContent = message.refused ? `Not aborted: ${message.refused}` : "";
  }
  redraw();
}

// -- small things to draw with ----------------------------------------------------------------------------------------
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
function put(parent, ...children) { parent.replaceChildren(...children); }
function pairs(parent, rows) {
  const wrap = parent.classList.contains("numbers");
  put(parent, ...rows.flatMap(([name, value, unit]) => {
    const dd = make("dd", {}, value);
    if (unit) dd.append(make("small", {}, unit));
    return wrap ? [make("div", {}, make("dt", {}, name), dd)] : [make("dt", {}, name), dd];
  }));
}
function table(element, caption, head, rows) {
  put(element, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head.map((h) => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, value))))));
}
const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");
const signed = (value, digits = 2) => (value > 0 ? "+" : "") + fixed(value, digits);
function duration(s) {
  if (!Number.isFinite(s)) return "–";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return s < 172800 ? `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min` : `${(s / 86400).toFixed(1)} days`;
}
function with_error(value, error) {
  if (!Number.isFinite(value)) return "–";
  if (!(error > 0)) return value.toPrecision(6);
  let digits = Math.max(0, 1 - Math.floor(Math.log10(error))), scaled = Math.round(error * 10 ** digits);
  if (digits && scaled === 100) { digits--; scaled = 10; }
  return `${fixed(value, digits)}(${digits ? scaled : fixed(error, 0)})`;
}

// -- the map ----------------------------------------------------------------------------------------------------------
const array = () => run?.arrays[arrayShown];
const read = () => { const a = array(); return a?.reads[shownRead === null ? a.reads.length - 1 : Math.min(shownRead, a.reads.length - 1)]; };

function levels() {
  const asked = array().target.filter(Number.isFinite);
  return asked.length ? [Math.floor(Math.min(...asked) * MICRO / 10 - 0.001) * 10, Math.ceil(Math.max(...asked) * MICRO / 10 + 0.001) * 10] : [0, 100];
}
// Symmetric, in steps, wide enough for 19 of 20 cells.
function deviation(values) {
  const sizes = values.filter(Number.isFinite).map(Math.abs).sort((a, b) => a - b), most = sizes[Math.floor(sizes.length * 0.95)] ?? 1;
  const bound = [0.5, 1, 2, 5, 10, 20, 50].find((step) => step >= most) ?? 100;
  return [-bound, bound];
}
function shown_values() {
  const a = array(), r = read();
  switch (view) {
    case "target": return Array.from(a.target, (g) => g * MICRO);
    case "measured": return Array.from(r?.g ?? a.target.map(() => NaN), (g) => g * MICRO);
    case "error": return Array.from(a.target, (g, i) => ((r?.g[i] ?? NaN) - g) * MICRO);
    case "pulses": return Array.from(r?.count ?? a.target.map(() => 0));
    default: return Array.from(r?.state ?? a.target.map(() => 1));
  }
}

const MARGIN = { left: 34, top: 8, right: 6, bottom: 30 };
function draw_map() {
  const a = array();
  $("array").hidden = !a;
  if (!a) return;
  const [rows, columns] = a.shape, canvas = $("map"), scale = devicePixelRatio || 1, side = canvas.clientWidth;
  if (!side) return;
  canvas.width = canvas.height = Math.round(side * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const size = Math.floor(((side - MARGIN.left - MARGIN.right) / Math.max(rows, columns)) * scale) / scale;
  const values = shown_values(), states = read()?.state;
  const kind = VIEWS[view], [low, high] = kind.range?.(values) ?? [0, 1], ramp = kind.ramp ? ramps[kind.ramp()] : null;
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
  const x = MARGIN.left + cell.bl * size, y = MARGIN.top + cell.sl * size;
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
  $("cycle").value = shownRead === null ? reads : shownRead + 1;
  $("cycle-shown").textContent = read()?.final ? `final, of ${reads}` : `${$("cycle").value} of ${reads}`;
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
  const key = JSON.stringify([view, low, high, isDark(), failed, view === "state"]);
  if ($("legend").dataset.key === key) return;
  $("legend").dataset.key = key;
  const parts = [];
  if (ramp) {
    const bar = make("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    const pen = bar.getContext("2d");
    ramp.forEach(([r, g, b], i) => { pen.fillStyle = `rgb(${r},${g},${b})`; pen.fillRect(i, 0, 1, 1); });
    const ticks = [0, 0.25, 0.5, 0.75, 1].map((x) => low + x * (high - low));
    const say = (v) => (view === "error" ? signed(v, high < 1 ? 2 : 1) : fixed(v, 0));
    parts.push(make("div", { class: "scale" }, bar, make("div", { class: "ticks" },
      ...ticks.map((v, i) => make("span", {}, `${view === "error" && i === 0 ? "≤ " : view === "error" && i === 4 ? "≥ " : ""}${say(v)}${i === 4 && kind.unit ? ` ${kind.unit}` : ""}`)))));
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
      (view === "state" ? a.states[v] : fixed(v, kind.digits)))]));
}

// -- a cell -----------------------------------------------------------------------------------------------------------
function draw_cell() {
  const a = array();
  $("history").hidden = !a?.reads.length;
  if (!a?.reads.length) return;
  const i = cell.sl * a.shape[1] + cell.bl, r = read(), target = a.target[i] * MICRO, g = r.g[i] * MICRO;
  $("history-title").textContent = `Cell SL ${cell.sl}, BL ${cell.bl}`;
  pairs($("cell"), [
    ["target", fixed(target), "µS"], ["measured", fixed(g), "µS"], ["error", signed(g - target), "µS"],
    ["pulses", String(r.count[i])], ["state", a.states[r.state[i]]],
  ]);
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
  parts.push(svg("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "µS over reads, ▲ SET ▼ RESET"));
  if (Number.isFinite(target)) parts.push(svg("path", { class: "target", d: `M${left} ${Y(target)}H${width - right}` }));
  parts.push(svg("path", { class: "reads", d: "M" + history.map((h) => `${X(h.k).toFixed(1)} ${Y(h.g).toFixed(1)}`).join("L") }));
  for (const h of history) {
    parts.push(svg("circle", { class: "dot", cx: X(h.k), cy: Y(h.g), r: h.k === (shownRead ?? history.length - 1) ? 4 : 1.8 }));
    if (Number.isFinite(h.v)) {
      const x = X(h.k), y = height - bottom + 9, s = h.v > 0 ? -4.5 : 4.5;
      parts.push(svg("path", { class: h.v > 0 ? "set" : "reset", d: `M${x - 4} ${y - s / 2}L${x + 4} ${y - s / 2}L${x} ${y + s / 2 + s / 3}Z` }));
    }
  }
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  put(chart, ...parts);
  table($("reads"), "Each read, and the pulse that came before it", ["read", "measured (µS)", "error (µS)", "pulse (V)", "gate (V)"],
    history.map((h) => [String(h.cycle), fixed(h.g), signed(h.g - target), signed(h.v), Number.isFinite(h.v) ? fixed(h.gate) : "–"]));
}

// -- the other panels -------------------------------------------------------------------------------------------------
function deviations(a, r) {
  const found = [];
  for (let i = 0; i < r.g.length; i++) if (r.state[i] === 2) found.push((r.g[i] - a.target[i]) * MICRO);
  return found;
}
function spread(values) {
  const mean = values.reduce((s, v) => s + v, 0) / values.length;
  return Math.sqrt(values.reduce((s, v) => s + (v - mean) ** 2, 0) / values.length);
}
function draw_progress() {
  $("progress").hidden = !run?.tasks.length;
  if ($("progress").hidden) return;
  const now = elapsed();
  put($("tasks"), ...run.tasks.slice(-3).map((task) => {
    const share = task.total ? Math.min(1, task.done / task.total) : 0, spent = (share < 1 && !run.end ? now : task.t) - task.since;
    const left = share > 0 && share < 1 && !run.end ? `≈ ${duration((spent / share) * (1 - share))} left` : share === 1 ? duration(spent) : "";
    return make("div", { class: "task" }, make("span", {}, task.name, make("span", { class: "muted" }, task.note ? `  ${task.note}` : "")),
      make("span", { class: "number muted" }, `${Math.round(share * 100)} %  ${left}`),
      make("progress", { max: 1, value: share, "aria-label": task.name }));
  }));
  const a = array(), r = read(), rows = [];
  if (r) {
    const failed = r.state.reduce((n, s) => n + (s > 2), 0), off = deviations(a, r);
    rows.push(["cells done", `${r.done}`, `of ${r.total}`], ["failed", `${failed}`], ["reads", `${a.reads.length}`], ["pulses", `${r.pulsed}`],
      ["σ of done", off.length > 1 ? fixed(spread(off), 3) : "–", "µS"], ["board time", duration(r.board_time_s)]);
  }
  rows.push(["elapsed", duration(now)]);
  pairs($("numbers"), rows);
}
function elapsed() {
  if (!run?.begin.began) return NaN;
  return run.end ? run.end.t ?? run.t : link ? Math.max(run.t, Date.now() / 1000 - run.begin.began) : run.t;
}
function draw_errors() {
  const a = array(), r = read(), off = r ? deviations(a, r) : [];
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
function draw_products() {
  const last = run?.products.at(-1);
  $("products").hidden = !last;
  if (!last) return;
  $("products-title").textContent = `Products: ${last.title}`;
  pairs($("product-numbers"), [["rms error", fixed(last.rms_a * 1e9, 1), "nA"], ["products", `${last.count}`]]);
  const canvas = $("scatter"), scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d"), left = 46, bottom = 30, top = 8, right = 8;
  pen.scale(scale, scale);
  const off = last.got.map((g, i) => (g - last.expected[i]) * 1e9), x1 = Math.max(...last.expected.map(Math.abs)) * MICRO || 1, y1 = Math.max(...off.map(Math.abs)) || 1;
  const X = (v) => left + ((v / x1 + 1) / 2) * (width - left - right), Y = (v) => top + ((1 - v / y1) / 2) * (height - top - bottom);
  pen.strokeStyle = css("--line");
  pen.strokeRect(left, top, width - left - right, height - top - bottom);
  pen.beginPath(); pen.moveTo(left, Y(0)); pen.lineTo(width - right, Y(0)); pen.stroke();
  pen.fillStyle = css("--accent");
  pen.globalAlpha = 0.5;
  off.forEach((v, i) => pen.fillRect(X(last.expected[i] * MICRO) - 1, Y(v) - 1, 2, 2));
  pen.globalAlpha = 1;
  pen.fillStyle = css("--muted");
  pen.font = "11px system-ui, DejaVu Sans, sans-serif";
  pen.textAlign = "right";
  for (const v of [y1, 0, -y1]) pen.fillText(signed(v, 0), left - 5, Y(v) + (v > 0 ? 10 : v < 0 ? -2 : 4));
  pen.textAlign = "center";
  for (const v of [-x1, 0, x1]) pen.fillText(signed(v, 1), Math.min(width - 22, Math.max(left + 14, X(v))), height - bottom + 13);
  pen.fillText("exact product (µA); upwards: measured − exact (nA)", (left + width) / 2, height - 3);
}
function draw_sampling() {
  const seen = run ? Object.keys(run.observables) : [], s = run?.sampling;
  $("sampling").hidden = !s && !seen.length;
  if ($("sampling").hidden) return;
  const names = { proposals: "proposals", ess: "ESS", ess_before_tuning: "ESS before tuning", acceptance: "acceptance", tau_int: "τ_int of |M|", configurations: "configurations" };
  pairs($("sampling-numbers"), Object.entries(names).filter(([key]) => Number.isFinite(s?.[key])).map(([key, label]) => [label, Number.isInteger(s[key]) ? `${s[key]}` : fixed(s[key], 3)]));
  put($("observables"), ...seen.map((action) => {
    const samplers = OBSERVED[action], others = Object.keys(samplers).filter((n) => n !== "HMC"), mine = others.at(-1) ?? "HMC";
    const reference = mine === "HMC" ? null : samplers.HMC, element = make("table");
    table(element, action, ["observable", mine, "τ_int", ...(reference ? ["HMC", "difference"] : []), "exact", "pull"], samplers[mine].map((row) => {
      const hmc = reference?.find((other) => other.name === row.name), apart = hmc ? (row.value - hmc.value) / Math.hypot(row.error, hmc.error) : NaN;
      const pull = row.expected === null ? NaN : (row.value - row.expected) / row.error;
      return [row.name, with_error(row.value, row.error), fixed(row.tau_int), ...(reference ? [hmc ? with_error(hmc.value, hmc.error) : "–", `${signed(apart, 1)} σ`] : []),
        row.expected === null ? "" : row.expected.toPrecision(6), Number.isFinite(pull) ? `${signed(pull, 1)} σ` : ""];
    }));
    return element;
  }));
}
function draw_board() {
  const board = run?.boards[Math.min(arrayShown, run.boards.length - 1)], r = read();
  for (const id of ["board", "calibration"]) $(id).hidden = !board;
  if (!board) return;
  const ended = run.end ? (run.end.outcome === "killed" ? "the command was killed: see the watchdog" : "let go of, outputs safe") : aborting.has(run.id) ? "being made safe" : "held by this run";
  pairs($("board-status"), [
    ["board", `${board.board_kind} ${board.serial}, ${board.name}`], ["address", board.address], ["status", ended],
    ["array", `${board.shape[0]} × ${board.shape[1]}, clock ${board.clock_hz / 1e6} MHz`],
    ...(r ? [["pulses so far", `${r.pulsed}, most on a cell ${Math.max(...r.count)}`]] : []),
  ]);
  pairs($("limits"), board.limits);
  const c = board.calibration, age = c && (Date.now() - Date.parse(c.created)) / 1000, left = c && (Date.parse(c.valid_until) - Date.now()) / 1000;
  pairs($("calibration-rows"), c ? [
    ["record of", c.serial], ["made", `${c.created.slice(0, 16).replace("T", " ")} UTC, ${duration(age)} ago`],
    ["holds", left > 0 ? `for another ${duration(left)}` : `no more: expired ${duration(-left)} ago`], ["by", c.methods.join(", ")],
    ["corrects", c.quantities.join(", ")],
  ] : [["record", "none: nothing is corrected"]]);
}
function draw_journal() {
  $("journal").hidden = !run?.journal?.length || Boolean(run.end);
  if ($("journal").hidden) return;
  put($("journal-boards"), ...run.journal.map((one) => make("div", {}, make("p", { class: "small" }, `${one.board}: ${one.programs} programs done; the last records`),
    make("ol", { class: "mono" }, ...one.last.map((line) => make("li", {}, line))))));
}
function draw_failures() {
  const failures = array()?.final?.failures ?? [];
  $("failures").hidden = !failures.length;
  if ($("failures").dataset.key === `${run?.id} ${arrayShown} ${failures.length}`) return;
  $("failures").dataset.key = `${run?.id} ${arrayShown} ${failures.length}`;
  put($("failure-list"), ...failures.map(([sl, bl, why]) => make("li", {}, make("button", { type: "button", onclick: () => select(sl, bl) }, `SL ${sl}, BL ${bl}`), ` ${why}`)));
}
function draw_title() {
  const live = runs.find((r) => r.id === run?.id), over = Boolean(run?.end);
  $("run-name").textContent = run?.begin.run ?? "Nothing runs";
  $("run-command").textContent = run?.begin.command ?? "Start one, for example: xbar program AI4S --out " + ($("folder").textContent || "runs") + "/ai4s.nc";
  const outcome = run?.end?.outcome, say = { done: ["done", "good"], interrupted: ["interrupted, outputs safe", "warn"], failed: ["failed", "bad"], killed: ["killed", "bad"] };
  const [text, kind] = over ? say[outcome] : !run ? ["", ""] : aborting.has(run.id) ? ["aborting", "warn"] : ["running", "good"];
  $("run-state").textContent = text;
  $("run-state").className = `badge ${kind}`;
  if (over) $("run-message").textContent = ["failed", "killed"].includes(outcome) ? run.end.message : "";
  $("abort").hidden = !run || over || live?.ended !== false;
  $("abort").disabled = !link || aborting.has(run?.id);
}
function draw_runs() {
  $("no-live").hidden = runs.length > 0;
  put($("live-runs"), ...[...runs].reverse().map((r) => make("li", {}, make("button", { type: "button", "aria-current": String(r.id === run?.id), title: r.command, onclick: () => follow(r.id) },
    `${r.ended ? "○" : "●"} ${r.run}`, make("small", {}, r.ended ? "ended" : r.command)))));
}
function draw_finished(found) {
  put($("finished-runs"), ...found.map((r) => make("li", {}, r.problem
    ? make("span", { title: r.problem }, r.name, make("small", {}, "cannot be read"))
    : make("a", { href: `report/${encodeURIComponent(r.name)}`, target: "_blank", rel: "noopener", title: r.command }, r.name, make("small", {}, r.command.replace(/^xbar /, ""))))));
}

// -- drawing, once a frame at most ------------------------------------------------------------------------------------
let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw_title();
    draw_runs();
    const arrays = run?.arrays.length ?? 0, choice = $("array-choice");
    choice.hidden = arrays < 2;
    if (choice.options.length !== arrays) put(choice, ...Array.from({ length: arrays }, (_, i) => make("option", { value: i }, `array ${i + 1} of ${arrays}`)));
    choice.value = arrayShown;
    for (const draw of [draw_map, draw_cell, draw_progress, draw_errors, draw_products, draw_sampling, draw_board, draw_journal, draw_failures]) draw();
    document.documentElement.dataset.frames = Number(document.documentElement.dataset.frames ?? 0) + 1;
  });
}
setInterval(() => { if (run && !run.end) redraw(); }, 500);

// -- what a person does -----------------------------------------------------------------------------------------------
function select(sl, bl) {
  const [rows, columns] = array()?.shape ?? [1, 1];
  cell = { sl: Math.max(0, Math.min(rows - 1, sl)), bl: Math.max(0, Math.min(columns - 1, bl)) };
  redraw();
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
  select(cell.sl + step[0] * by, cell.bl + step[1] * by);
});
for (const [name, { label }] of Object.entries(VIEWS)) {
  const input = make("input", { type: "radio", name: "view", value: name, onchange: () => { view = name; redraw(); } });
  input.checked = name === view;
  $("views").append(make("label", {}, input, label));
}
$("cycle").addEventListener("input", () => {
  const n = array()?.reads.length ?? 0, at = Number($("cycle").value) - 1;
  shownRead = at >= n - 1 ? null : at;
  redraw();
});
$("newest").addEventListener("click", () => { shownRead = null; redraw(); });
$("as-table").addEventListener("toggle", redraw);
$("array-choice").addEventListener("change", () => { arrayShown = Number($("array-choice").value); shownRead = null; redraw(); });
$("abort").addEventListener("click", () => {
  if (!link || !run || aborting.has(run.id)) return;
  aborting.add(run.id);
  link.send(JSON.stringify({ run: run.id, abort: true }));
  redraw();
});
$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await show_token($("token").value)) { $("token").value = ""; connect(); }
});
const prefers_dark = matchMedia("(prefers-color-scheme: dark)");
function set_theme() {
  const chosen = $("theme").value;
  document.documentElement.dataset.theme = chosen === "auto" ? (prefers_dark.matches ? "dark" : "light") : chosen;
  localStorage.setItem("theme", chosen);
  redraw();
}
$("theme").value = localStorage.getItem("theme") ?? "auto";
$("theme").addEventListener("change", set_theme);
prefers_dark.addEventListener("change", set_theme);
new ResizeObserver(redraw).observe($("main"));
set_theme();
enter();
