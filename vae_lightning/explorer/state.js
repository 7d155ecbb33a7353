// Where in the latent space the page is: a base, of which single latents are changed. The URL's hash tells it.

const prior = { mean: null, deviation: null, pool: null };
const MOST_SEEDS = 2 ** 32 - 1, HOTTEST = 1.5;
const MOST_IN_HASH = 512; // latents of a point that has no shorter name

// base: { kind: "mean" } | { kind: "sample", seed, redrawn } | { kind: "image", index } | { kind: "point", z, what }
// `redrawn` has pairs: from this group of a hierarchy down, the noise of that seed; lower groups come later.
const state = { base: { kind: "mean" }, changes: new Map(), temperature: 1, label: 0, z: null };
const listeners = [];

async function baseLatents() {
  const { base, temperature } = state;
  if (base.kind === "sample") return networks.sample(base, temperature);
  if (base.kind === "image") return Float32Array.from(encoded.code(base.index));
  return Float32Array.from(base.kind === "point" ? base.z : prior.mean);
}

function originText() {
  const { base, changes } = state;
  const texts = {
    mean: () => "The mean of the prior",
    sample: () => `A sample of the prior, number ${base.seed}${redrawnText(base)}${temperatureText()}`,
    image: () => `Image ${base.index + 1} of ${encoded.count} ${facts.encoded.kind} images${labelText(base.index)}`,
    point: () => base.what,
  };
  const count = changes.size;
  return texts[base.kind]() + (count ? `; ${count} latent${count > 1 ? "s" : ""} changed` : "");
}

const redrawnText = ({ redrawn }) => (redrawn ?? []).map(([group, seed]) => `, from group ${group} down number ${seed}`).join("");
const temperatureText = () => (facts.sampled_by === "pool" ? "" : `, temperature ${state.temperature.toFixed(2)}`);

function labelText(index) {
  const { labels } = facts.encoded;
  return labels === null ? "" : `, label ${labelName(labels[index])}`;
}

const labelName = (number) => facts.class_names?.[number] ?? `${number}`;

const deviations = (d, value) => (prior.deviation[d] > 0 ? (value - prior.mean[d]) / prior.deviation[d] : 0);
const valueAt = (d, inDeviations) => prior.mean[d] + prior.deviation[d] * inDeviations;

// Move to another base. The place on the plane of t-SNE, which a code does not tell, is given with it.
async function moveTo(base, { label, at = null, isMorph = false } = {}) {
  if (!isMorph) stopPlaying();
  state.base = base;
  state.changes.clear();
  plane.at = at;
  if (label !== undefined && facts.num_classes !== null) setLabel(label);
  await settle();
}

// Of several moves at once the last one counts, however long the latents of the others take.
let moves = 0;
async function settle() {
  const mine = ++moves;
  try {
    const z = await baseLatents();
    if (mine !== moves) return;
    for (const [d, value] of state.changes) z[d] = value;
    state.z = z;
    changed();
  } catch (error) {
    tellTrouble(error);
  }
}

// Single latents, each with its new value.
function change(...pairs) {
  stopPlaying();
  plane.at = null;
  for (const [d, value] of pairs) {
    state.changes.set(d, value);
    state.z[d] = value;
  }
  changed();
}

function setLabel(label) {
  const isOther = label !== state.label;
  state.label = label;
  if (element("label")) element("label").value = `${label}`;
  if (isOther) for (const listener of labelListeners) listener();
}
const labelListeners = [];

function changed() {
  for (const listener of listeners) listener();
  refresh();
  writeHash();
}

// The image of the latest latents: while one is computed, others may come and go.
let isWanted = false, isBusy = false;
async function refresh() {
  isWanted = true;
  if (isBusy) return;
  isBusy = true;
  try {
    while (isWanted) {
      isWanted = false;
      const started = performance.now();
      const values = await networks.decode(state.z, state.label);
      show(element("image"), values);
      const origin = originText();
      if (element("origin").textContent !== origin) element("origin").textContent = origin;
      document.documentElement.dataset.milliseconds = (performance.now() - started).toFixed(1);
      document.documentElement.dataset.decoded = Number(document.documentElement.dataset.decoded ?? 0) + 1;
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    tellTrouble(error);
  } finally {
    isBusy = false;
  }
}
