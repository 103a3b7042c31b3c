// What runs told, kept as it comes: `empty_run` is a run of which nothing is known yet, `TAKE` has what each line adds.
import { desk } from "./desk.js";

export const empty_run = (id) => ({
  id, lines: 0, t: 0, begin: {}, boards: [], arrays: [], tasks: [], products: [], sampling: [], actions: new Set(),
  segments: [], end: null, journal: [],
});
// Observables by action and sampler, of all runs that were followed: a flow stands beside the HMC of the same action.
export const OBSERVED = {};
const MOST_READS = 1000;

function unpack(text, Type = Float32Array) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Type(bytes.buffer);
}
function show_array(number) {
  desk.arrayShown = number;
  desk.shownRead = null;
}

export const TAKE = {
  begin: (r, m) => { r.begin = m; },
  // A board is told of again when something about it has changed.
  board: (r, m) => {
    const known = r.boards.findIndex((b) => b.address === m.address && b.serial === m.serial);
    if (known < 0) r.boards.push(m);
    else r.boards[known] = m;
  },
  task: (r, m) => {
    let task = r.tasks.find((t) => t.name === m.name);
    if (!task) r.tasks.push((task = { name: m.name, since: m.t }));
    else if (m.total === 0) task.since = m.t;
    Object.assign(task, m);
  },
  programming: (r, m) => {
    r.arrays[m.array] = { shape: m.shape, states: m.states, target: unpack(m.target), reads: [], final: null };
    show_array(m.array);
  },
  read: (r, m) => {
    const array = r.arrays[m.array], before = array.reads.at(-1);
    const one = { ...m, g: unpack(m.g), state: unpack(m.state, Uint8Array), amplitude: unpack(m.amplitude), gate: unpack(m.gate) };
    one.count = one.amplitude.map((v, i) => (before ? before.count[i] : 0) + (Number.isFinite(v) ? 1 : 0));
    array.reads.push(one);
  },
  programmed: (r, m) => {
    const array = r.arrays[m.array], last = array.reads.at(-1);
    array.final = m;
    array.reads.push({
      ...last, g: unpack(m.g), state: unpack(m.state, Uint8Array), count: Float32Array.from(unpack(m.pulses, Int32Array)),
      amplitude: last.amplitude.map(() => NaN), final: true, t: m.t,
    });
  },
  // Reads of a measurement: nothing was asked of the cells, so they have neither targets nor states.
  conductances: (r, m) => {
    if (!r.arrays[0]) {
      r.arrays[0] = { shape: m.shape, states: null, target: new Float32Array(m.shape[0] * m.shape[1]).fill(NaN), reads: [], final: null };
      show_array(0);
    }
    const { reads, target } = r.arrays[0];
    reads.push({ ...m, cycle: m.number, g: unpack(m.g), state: null, amplitude: target, gate: target });
    if (reads.length > MOST_READS) reads.shift();
  },
  products: (r, m) => { r.products.push({ ...m, expected: unpack(m.expected), got: unpack(m.got) }); },
  sampling: (r, m) => { r.sampling.push(m); },
  segment: (r, m) => { r.segments.push(m); },
  observables: (r, m) => {
    (OBSERVED[m.action] ??= {})[m.sampler] = m.rows;
    r.actions.add(m.action);
  },
  end: (r, m) => { r.end = m; },
};
