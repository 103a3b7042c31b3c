// The dashboard's page: follows one run over a WebSocket, keeps what it tells (told.js), draws it.
import { draw_cell, draw_errors } from "./cell.js";
import { $, desk, paint, redraw } from "./desk.js";
import { make, put } from "./draw.js";
import { draw_map } from "./map.js";
import { draw_board, draw_failures, draw_journal, draw_progress } from "./panels.js";
import { draw_products } from "./products.js";
import { draw_sampling } from "./sampling.js";
import { TAKE, empty_run } from "./told.js";

// -- the link ---------------------------------------------------------------------------------------------------------
let retry = 0, run_asked = null;

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
  socket.onopen = () => { desk.link = socket; };
  socket.onmessage = (event) => {
    retry = 0;
    say_link("connected", "good");
    $("login").hidden = true;
    $("main").hidden = false;
    take(JSON.parse(event.data));
  };
  socket.onclose = (event) => {
    desk.link = null;
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
function follow(id) {
  if (desk.run?.id !== id) {
    desk.run = empty_run(id);
    desk.arrayShown = 0;
    desk.shownRead = null;
    $("run-message").textContent = "";
  }
  run_asked = id;
  // From where this page has it: after a lost connection nothing comes twice.
  desk.link?.send(JSON.stringify({ run: id, follow: desk.run.lines }));
  redraw();
}
function take(message) {
  const { run } = desk;
  if (message.kind === "runs") {
    const known = new Set(desk.runs.map((r) => r.id));
    desk.runs = message.live;
    $("folder").textContent = message.folder;
    if (message.problem) say_link(message.problem, "bad");
    const fresh = desk.runs.filter((r) => !r.ended && !known.has(r.id)).at(-1);
    // Its last lines may still be on their way.
    const over = run && (run.end || desk.runs.find((r) => r.id === run.id)?.ended !== false);
    if (fresh && (!run || over || fresh.id === run.id)) follow(fresh.id);
    else if (run && run_asked !== run.id && desk.runs.some((r) => r.id === run.id)) follow(run.id);
    else if (!run && desk.runs.length) follow(desk.runs.at(-1).id);
  } else if (message.kind === "finished") {
    draw_finished(message.runs);
  } else if (message.kind === "lines" && message.run === run?.id && message.first === run.lines) {
    for (const line of message.lines) {
      run.lines++;
      run.t = line.t ?? run.t;
      TAKE[line.kind]?.(run, line);
    }
  } else if (message.kind === "journal" && message.run === run?.id) {
    run.journal = message.boards;
  } else if (message.kind === "abort" && message.run === run?.id) {
    if (message.refused) desk.aborting.delete(message.run);
    $("run-message").textContent = message.refused ? `Not aborted: ${message.refused}` : "";
  }
  redraw();
}

// -- which run --------------------------------------------------------------------------------------------------------
const OUTCOMES = { done: ["done", "good"], interrupted: ["interrupted, outputs safe", "warn"], failed: ["failed", "bad"], killed: ["killed", "bad"] };

function draw_title() {
  const { run, aborting } = desk, live = desk.runs.find((r) => r.id === run?.id), outcome = run?.end?.outcome;
  const start = `Start one, for example: xbar program AI4S --out ${$("folder").textContent || "runs"}/ai4s.nc`;
  $("run-name").textContent = run?.begin.run ?? "Nothing runs";
  $("run-command").textContent = run?.begin.command ?? start;
  const [text, kind] = outcome ? OUTCOMES[outcome] : !run ? ["", ""] : aborting.has(run.id) ? ["aborting", "warn"] : ["running", "good"];
  $("run-state").textContent = text;
  $("run-state").className = `badge ${kind}`;
  if (outcome) $("run-message").textContent = ["failed", "killed"].includes(outcome) ? run.end.message : "";
  $("abort").hidden = !run || Boolean(outcome) || live?.ended !== false;
  $("abort").disabled = !desk.link || aborting.has(run?.id);
}
// Made anew only when they change, so that a button that has the focus keeps it.
function draw_runs() {
  const key = JSON.stringify([desk.runs, desk.run?.id]);
  if ($("live-runs").dataset.key === key) return;
  $("live-runs").dataset.key = key;
  $("no-live").hidden = desk.runs.length > 0;
  const focused = document.activeElement?.dataset.run;
  put($("live-runs"), ...[...desk.runs].reverse().map((r) => make("li", {}, make("button",
    { type: "button", "data-run": r.id, "aria-current": String(r.id === desk.run?.id), title: r.command, onclick: () => follow(r.id) },
    `${r.ended ? "○" : "●"} ${r.run}`, make("small", {}, r.ended ? "ended" : r.command)))));
  if (focused) [...$("live-runs").querySelectorAll("button")].find((b) => b.dataset.run === focused)?.focus();
}
function draw_finished(found) {
  put($("finished-runs"), ...found.map((r) => make("li", {}, r.problem
    ? make("span", { title: r.problem }, r.name, make("small", {}, "cannot be read"))
    : make("a", { href: `report/${encodeURIComponent(r.name)}`, target: "_blank", rel: "noopener", title: r.command }, r.name, make("small", {}, r.command.replace(/^xbar /, ""))))));
}
$("abort").addEventListener("click", () => {
  if (!desk.link || !desk.run || desk.aborting.has(desk.run.id)) return;
  desk.aborting.add(desk.run.id);
  desk.link.send(JSON.stringify({ run: desk.run.id, abort: true }));
  redraw();
});
$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await show_token($("token").value)) {
    $("token").value = "";
    connect();
  }
});

// -- light and dark ---------------------------------------------------------------------------------------------------
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

paint(draw_title, draw_runs, draw_map, draw_cell, draw_progress, draw_errors, draw_products, draw_sampling, draw_board, draw_journal, draw_failures);
new ResizeObserver(redraw).observe($("main"));
setInterval(() => { if (desk.run && !desk.run.end) redraw(); }, 500);
set_theme();
enter();
