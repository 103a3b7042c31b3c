// What the page shows now, shared by all of its parts, and when they draw: once a frame at most.
export const $ = (id) => document.getElementById(id);
export const MICRO = 1e6;

// shownRead: number of a read of the array, null for the newest. aborting: ids of runs that were asked to end.
export const desk = {
  runs: [], run: null, arrayShown: 0, view: "measured", cell: { sl: 0, bl: 0 }, shownRead: null, link: null,
  aborting: new Set(),
};
export const array = () => desk.run?.arrays[desk.arrayShown];
export function read() {
  const reads = array()?.reads;
  return reads?.[desk.shownRead === null ? reads.length - 1 : Math.min(desk.shownRead, reads.length - 1)];
}
export const isDark = () => document.documentElement.dataset.theme === "dark";
export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const painters = [];
let asked = false;
export function paint(...some) { painters.push(...some); }
export function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const draw of painters) draw();
    document.documentElement.dataset.frames = Number(document.documentElement.dataset.frames ?? 0) + 1;
  });
}
export function select(sl, bl) {
  const [rows, columns] = array()?.shape ?? [1, 1];
  desk.cell = { sl: Math.max(0, Math.min(rows - 1, sl)), bl: Math.max(0, Math.min(columns - 1, bl)) };
  redraw();
}
