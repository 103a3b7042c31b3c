// Progress, board, calibration, journal, failures: what stands in rows.
import { deviations, spread } from "./cell.js";
import { $, array, desk, read, select } from "./desk.js";
import { duration, fixed, make, pairs, put } from "./draw.js";

export function elapsed() {
  const run = desk.run;
  if (!run?.begin.began) return NaN;
  if (run.end) return run.end.t ?? run.t;
  return desk.link ? Math.max(run.t, Date.now() / 1000 - run.begin.began) : run.t;
}
export function draw_progress() {
  const run = desk.run;
  $("progress").hidden = !run?.tasks.length;
  if ($("progress").hidden) return;
  const now = elapsed();
  put($("tasks"), ...run.tasks.slice(-3).map((task) => {
    const share = task.total ? Math.min(1, task.done / task.total) : 0, going = share < 1 && !run.end;
    const spent = (going ? now : task.t) - task.since;
    const left = share > 0 && going ? `≈ ${duration((spent / share) * (1 - share))} left` : share === 1 ? duration(spent) : "";
    return make("div", { class: "task" }, make("span", {}, task.name, make("span", { class: "muted" }, task.note ? `  ${task.note}` : "")),
      make("span", { class: "number muted" }, `${Math.round(share * 100)} %${left ? `, ${left}` : ""}`),
      make("progress", { max: 1, value: share, "aria-label": task.name }));
  }));
  const a = array(), r = read(), rows = [];
  if (r?.state) {
    const failed = r.state.reduce((n, s) => n + (s > 2), 0), off = deviations(a, r);
    rows.push(["cells done", `${r.done}`, `of ${r.total}`], ["failed", `${failed}`], ["reads", `${a.reads.length}`], ["pulses", `${r.pulses}`],
      ["σ of done", off.length > 1 ? fixed(spread(off), 3) : "–", "µS"]);
  }
  if (r) rows.push(["board time", duration(r.board_time_s)]);
  rows.push(["elapsed", duration(now)]);
  pairs($("numbers"), rows);
}
const ENDED = { killed: "the command was killed: see the watchdog", failed: "let go of, outputs safe", interrupted: "let go of, outputs safe", done: "let go of, outputs safe" };
export function draw_board() {
  const run = desk.run, board = run?.boards[Math.min(desk.arrayShown, run.boards.length - 1)], r = read();
  for (const id of ["board", "calibration"]) $(id).hidden = !board;
  if (!board) return;
  const status = run.end ? ENDED[run.end.outcome] : desk.aborting.has(run.id) ? "being made safe" : "held by this run";
  pairs($("board-status"), [
    ["board", `${board.board_kind} ${board.serial}, ${board.name}`], ["address", board.address], ["status", status],
    ["array", `${board.shape[0]} × ${board.shape[1]}, clock ${board.clock_hz / 1e6} MHz`],
    ...(r?.count ? [["pulses so far", `${r.pulses}, most on a cell ${r.count.reduce((most, n) => Math.max(most, n), 0)}`]] : []),
  ]);
  pairs($("limits"), board.limits);
  const c = board.calibration, age = c && (Date.now() - Date.parse(c.created)) / 1000, left = c && (Date.parse(c.valid_until) - Date.now()) / 1000;
  pairs($("calibration-rows"), c ? [
    ["record of", c.serial], ["made", `${c.created.slice(0, 16).replace("T", " ")} UTC, ${duration(age)} ago`],
    ["holds", left > 0 ? `for another ${duration(left)}` : `no more: expired ${duration(-left)} ago`], ["by", c.methods.join(", ")],
    ["corrects", c.quantities.join(", ")],
  ] : [["record", "none: nothing is corrected"]]);
}
export function draw_journal() {
  const boards = desk.run?.journal ?? [];
  $("journal").hidden = !boards.length || Boolean(desk.run.end);
  if ($("journal").hidden) return;
  put($("journal-boards"), ...boards.map((one) => make("div", {}, make("p", { class: "small" }, `${one.board}: ${one.programs} programs done; the last records`),
    make("ol", { class: "mono" }, ...one.last.map((line) => make("li", {}, line))))));
}
export function draw_failures() {
  const failures = array()?.final?.failures ?? [], key = `${desk.run?.id} ${desk.arrayShown} ${failures.length}`;
  $("failures").hidden = !failures.length;
  if ($("failures").dataset.key === key) return;
  $("failures").dataset.key = key;
  put($("failure-list"), ...failures.map(([sl, bl, why]) => make("li", {}, make("button", { type: "button", onclick: () => select(sl, bl) }, `SL ${sl}, BL ${bl}`), ` ${why}`)));
}
