// Colours of data: perceptual scales, and one colour and one mark for each state of a cell.

// 17 stops of viridis, of RdBu reversed (its middle is light) and of berlin (its middle is dark).
const STOPS = {
  viridis: "44015448186a472d7b4240863b528b33638d2c728e26828e21918c1fa08828ae803fbc735ec96284d44baddc30d8e219fde725",
  light: "0530611752902a71b23f8ec06bacd19bc9e0c2ddece0ecf3f7f6f6fbe5d8fbccb4f5aa89e48066d05548ba2832930e2667001f",
  dark: "9eb0ff79abed519fd33685ad2868861d4b6114303e111a20190c092b0e014112015b1d087d341e9e513fbe6f63df8f89ffadad",
};
// Okabe and Ito; each state has a mark of its own as well, for eyes that see no colours.
export const STATE_COLOURS = ["#8a9199", "#e69f00", "#0072b2", "#d55e00", "#cc79a7", "#f0e442", "#56b4e9", "#009e73", "#111111"];
export const STATE_MARKS = ["", "", "", "×", "+", "○", "△", "~", "?"];
export const ramps = {};
for (const [name, stops] of Object.entries(STOPS)) {
  const at = (i, c) => parseInt(stops.slice(6 * i + 2 * c, 6 * i + 2 * c + 2), 16);
  ramps[name] = Array.from({ length: 256 }, (_, k) => {
    const x = (k / 255) * 16, i = Math.min(15, Math.floor(x));
    return [0, 1, 2].map((c) => Math.round(at(i, c) + (x - i) * (at(i + 1, c) - at(i, c))));
  });
}
const isDark = () => document.documentElement.dataset.theme === "dark";
