// Small things to draw with. Text is set as text, never as markup: no name of a run can be more than a name.
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
export function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
export function put(parent, ...children) { parent.replaceChildren(...children); }
export function pairs(parent, rows) {
  const wrap = parent.classList.contains("numbers");
  put(parent, ...rows.flatMap(([name, value, unit]) => {
    const dd = make("dd", {}, value);
    if (unit) dd.append(make("small", {}, unit));
    return wrap ? [make("div", {}, make("dt", {}, name), dd)] : [make("dt", {}, name), dd];
  }));
}
export function table(element, caption, head, rows) {
  put(element, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head.map((h) => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((value, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, value))))));
}
export const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace("-", "−") : "–");
export const signed = (value, digits = 2) => (value > 0 ? "+" : "") + fixed(value, digits);
export function duration(s) {
  if (!Number.isFinite(s)) return "–";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return s < 172800 ? `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min` : `${(s / 86400).toFixed(1)} days`;
}
export function with_error(value, error) {
  if (!Number.isFinite(value)) return "–";
  if (!(error > 0)) return value.toPrecision(6);
  let digits = Math.max(0, 1 - Math.floor(Math.log10(error))), scaled = Math.round(error * 10 ** digits);
  if (digits && scaled === 100) { digits--; scaled = 10; }
  return `${fixed(value, digits)}(${digits ? scaled : fixed(error, 0)})`;
}
