// Products beside what they should be: the error of each over its exact value. The scale is that of nearly all of them:
// one row with a cell that is stuck would hide the others.
import { $, MICRO, css, desk, redraw } from "./desk.js";
import { fixed, make, pairs, put, signed, table } from "./draw.js";

const NANO = 1e9;
const LEFT = 56, RIGHT = 14, TOP = 18, BOTTOM = 18;
const MEDIANS = 5;  // 3.4 σ of normal errors

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
  const sizes = errors.map(Math.abs).sort((a, b) => a - b);
  draw_scatter(shown.expected.map((e) => e * MICRO), errors, MEDIANS * sizes[Math.floor(sizes.length / 2)] || 1);
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
  errors.forEach((v, i) => pen.fillRect(X(exact[i]) - 1.25, Y(Math.max(-y1, Math.min(y1, v))) - 1.25, 2.5, 2.5));
  pen.globalAlpha = 1;
  pen.fillStyle = css("--muted");
  pen.font = "12px system-ui, DejaVu Sans, sans-serif";
  pen.textAlign = "right";
  pen.fillText(`≥ ${signed(y1, 0)}`, LEFT - 5, Y(y1) + 9);
  pen.fillText("0", LEFT - 5, Y(0) + 4);
  pen.fillText(`≤ ${signed(-y1, 0)}`, LEFT - 5, Y(-y1) - 1);
  pen.fillText(`${signed(x1, 1)} µA`, right, foot + 14);
  pen.textAlign = "left";
  pen.fillText(signed(-x1, 1), LEFT, foot + 14);
  pen.fillText("measured − exact (nA)", LEFT, 11);
  pen.textAlign = "center";
  pen.fillText("exact", X(0), foot + 14);
}
$("products-choice").addEventListener("change", redraw);
$("products-as-table").addEventListener("toggle", redraw);
