// Where in the latent space the page is: a base, of which single latents are changed. The URL's hash tells it.

const prior = { mean: null, deviation: null, pool: null };
const MOST_SEEDS = 2 ** 32 - 1;
const MOST_IN_HASH = 512; // latents of a point that has no shorter name

// base: { kind: "mean" } | { kind: "sample", seed, redrawn, below } | { kind: "image", index } | { kind: "point", z, what }
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
    sample: () => `A sample of the prior, number ${base.seed}${base.redrawn ? `, from group ${base.redrawn} down number ${base.below}` : ""}${facts.sampled_by === "pool" ? "" : `, temperature ${state.temperature.toFixed(2)}`}`,
    image: () => `Image ${base.index + 1} of ${encoded.count} ${facts.encoded.kind} images${labelText(base.index)}`,
    point: () => base.what,
  };
  const count = changes.size;
  return texts[base.kind]() + (count ? `; ${count} latent${count > 1 ? "s" : ""} changed` : "");
}

function labelText(index) {
  const { labels } = facts.encoded;
  return labels === null ? "" : `, label ${labelName(labels[index])}`;
}

const labelName = (number) => facts.class_names?.[number] ?? `${number}`;

const deviations = (d, value) => (prior.deviation[d] > 0 ? (value - prior.mean[d]) / prior.deviation[d] : 0);
const valueAt = (d, inDeviations) => prior.mean[d] + prior.deviation[d] * inDeviations;

// Move to another base; `what` of a point is told below the image.
async function moveTo(base, { label } = {}) {
  state.base = base;
  state.changes.clear();
  if (label !== undefined && facts.num_classes !== null) setLabel(label);
  await settle();
}

async function settle() {
  const z = await baseLatents();
  for (const [d, value] of state.changes) z[d] = value;
  state.z = z;
  changed();
}

// Single latents, each with its new value.
function change(...pairs) {
  for (const [d, value] of pairs) {
    state.changes.set(d, value);
    state.z[d] = value;
  }
  changed();
}

function setLabel(label) {
  state.label = label;
  if (element("label")) element("label").value = `${label}`;
}

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
      element("origin").textContent = originText();
      document.documentElement.dataset.milliseconds = (performance.now() - started).toFixed(1);
      document.documentElement.dataset.decoded = Number(document.documentElement.dataset.decoded ?? 0) + 1;
      await new Promise(requestAnimationFrame);
    }
  } finally {
    isBusy = false;
  }
}

// The hash

function asText(z) {
  const data = new Uint8Array(Float32Array.from(z).buffer);
  return btoa(String.fromCharCode(...data)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function asLatents(text) {
  const values = new Float32Array(bytesOf(text.replace(/-/g, "+").replace(/_/g, "/")).buffer);
  if (values.length !== facts.latent_dim || !values.every(Number.isFinite)) throw new Error("other latents");
  return values;
}

let written = null;
function writeHash() {
  const { base, changes, temperature, label } = state, parts = new URLSearchParams();
  if (base.kind === "sample") parts.set("sample", base.seed);
  if (base.redrawn) parts.set("redrawn", `${base.redrawn},${base.below}`);
  if (base.kind === "image") parts.set("image", base.index);
  if (base.kind === "point" && facts.latent_dim <= MOST_IN_HASH) parts.set("point", asText(base.z));
  if (temperature !== 1) parts.set("temperature", temperature);
  if (facts.num_classes !== null) parts.set("label", label);
  if (changes.size) parts.set("z", [...changes].map(([d, value]) => `${d}:${Number(value.toFixed(4))}`).join(","));
  parts.set("plane", planeWords());
  const hash = `#${parts}`.replace(/%2C/g, ",").replace(/%3A/g, ":");
  clearTimeout(written);
  written = setTimeout(() => history.replaceState(null, "", hash), 150); // browsers count such calls
}

function redrawnOf(words) {
  if (words === null) return {};
  const [redrawn, below] = words.split(",").map(Number), isWhole = Number.isInteger(redrawn) && Number.isInteger(below);
  if (!isWhole || redrawn < 2 || redrawn > facts.groups.length || below < 0 || below > MOST_SEEDS) throw new Error(`redrawn=${words}`);
  return { redrawn, below };
}

// Read once, and again when it is typed; what does not belong to this model is told, and left alone.
async function readHash() {
  const parts = new URLSearchParams(location.hash.slice(1)), D = facts.latent_dim;
  const whole = (name, least, most) => {
    const value = Number(parts.get(name));
    if (!Number.isInteger(value) || value < least || value > most) throw new Error(`${name}=${parts.get(name)}`);
    return value;
  };
  try {
    let base = { kind: "mean" }, temperature = 1, label = state.label;
    if (parts.has("sample")) base = { kind: "sample", seed: whole("sample", 0, MOST_SEEDS), ...redrawnOf(parts.get("redrawn")) };
    if (parts.has("image")) base = { kind: "image", index: whole("image", 0, (encoded?.count ?? 0) - 1) };
    if (parts.has("point")) base = { kind: "point", z: asLatents(parts.get("point")), what: "A point of the address" };
    if (parts.has("temperature")) temperature = Number(parts.get("temperature"));
    if (!(temperature >= 0 && temperature <= 1.5)) throw new Error(`temperature=${parts.get("temperature")}`);
    if (parts.has("label")) label = whole("label", 0, (facts.num_classes ?? 1) - 1);
    const changes = new Map();
    for (const item of (parts.get("z") ?? "").split(",").filter(Boolean)) {
      const [d, value] = item.split(":").map(Number);
      if (!(Number.isInteger(d) && d >= 0 && d < D && Number.isFinite(value))) throw new Error(`z=${item}`);
      changes.set(d, value);
    }
    readPlane(parts.get("plane"));
    say("");
    Object.assign(state, { base, changes, temperature });
    showTemperature();
    setLabel(label);
  } catch (error) {
    say(`The address of this page does not fit this model: ${error.message}`, true);
  }
  await settle();
}
