// Products beside what they should be: the error of each over its exact value.
import { $, MICRO, css, desk, redraw } from "./desk.js";
import { fixed, make, pairs, put, signed, table } from "./draw.js";

const NANO = 1e9;
const LEFT = 46, RIGHT = 10, TOP = 8, BOTTOM = 30;

export function draw_products() {
  const all = desk.run?.products ?? [], choice = $("products-choice");
  $("products").hidden = !all.length;
  if (!all.length) return;
  if (choice.options.length !== all.length) {
    put(choice, ...all.map((one, i) => make("option", { value: i }, one.title)));
    choice.value = all.length - 1;
  }
  choice.hidden = all.length < 2;
  const shown = all[choice.value], errors = shown.got.map((g, i) => (g - shown.expected[i]) * NANO);
  $("products-title").textContent = all.length < 2 ? `Products: ${shown.title}` : "Products";
  const worst = errors.reduce((most, e) => Math.max(most, Math.abs(e)), 0);
  pairs($("product-numbers"), [["rms error", fixed(shown.rms_a * NANO, 1), "nA"], ["largest shown", fixed(worst, 1), "nA"], ["products", `${shown.count}`]]);
  draw_scatter(shown.expected.map((e) => e * MICRO), errors, worst || 1);
  if ($("products-as-table").open) {
    table($("product-values"), `${errors.length} of ${shown.count} products`, ["product", "exact (µA)", "measured (µA)", "error (nA)"],
      Array.from(errors, (e, i) => [String(i), fixed(shown.expected[i] * MICRO, 3), fixed(shown.got[i] * MICRO, 3), signed(e, 1)]));
  }
}
function draw_scatter(exact, errors, y1) {
  const canvas = $("scatter"), scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d"), right = width - RIGHT, foot = height - BOTTOM;
  pen.scale(scale, scale);
  const x1 = exact.reduce((most, e) => Math.max(most, Math.abs(e)), 0) || 1;
  const X = (v) => LEFT + ((v / x1 + 1) / 2) * (right - LEFT), Y = (v) => TOP + ((1 - v / y1) / 2) * (foot - TOP);
  pen.strokeStyle = css("--line");
  pen.strokeRect(LEFT, TOP, right - LEFT, foot - TOP);
  pen.beginPath();
  pen.moveTo(LEFT, Y(0));
  pen.lineTo(right, Y(0));
  pen.stroke();
  pen.fillStyle = css("--accent");
  pen.globalAlpha = 0.5;
  errors.forEach((v, i) => pen.fillRect(X(exact[i]) - 1.25, Y(v) - 1.25, 2.5, 2.5));
  pen.globalAlpha = 1;
  pen.fillStyle = css("--muted");
  pen.font = "12px system-ui, DejaVu Sans, sans-serif";
  pen.textAlign = "right";
  for (const v of [y1, 0, -y1]) pen.fillText(signed(v, 0), LEFT - 5, Y(v) + (v > 0 ? 10 : v < 0 ? -2 : 4));
  pen.textAlign = "center";
  for (const v of [-x1, 0, x1]) pen.fillText(signed(v, 1), Math.min(width - 22, Math.max(LEFT + 14, X(v))), foot + 13);
  pen.fillText("exact product (µA); upwards: measured − exact (nA)", (LEFT + width) / 2, height - 3);
}
$("products-choice").addEventListener("change", redraw);
$("products-as-table").addEventListener("toggle", redraw);
