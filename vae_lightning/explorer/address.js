// The state in the URL's hash.

function asText(z) {
  const data = new Uint8Array(Float32Array.from(z).buffer);
  return btoa(String.fromCharCode(...data)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function asLatents(name, text) {
  try {
    const values = new Float32Array(bytesOf(text.replace(/-/g, "+").replace(/_/g, "/")).buffer);
    if (values.length === facts.latent_dim && values.every(Number.isFinite)) return values;
  } catch {
    // told below
  }
  throw new Error(`${name}=${text.slice(0, 20)}`);
}

const isInHash = () => facts.latent_dim <= MOST_IN_HASH;

let written = null;
function writeHash() {
  const { base, changes, temperature, label } = state, parts = new URLSearchParams();
  if (base.kind === "sample") parts.set("sample", base.seed);
  if (base.redrawn?.length) parts.set("redrawn", base.redrawn.map((pair) => pair.join(":")).join(","));
  if (base.kind === "image") parts.set("image", base.index);
  if (base.kind === "point" && isInHash()) parts.set("point", asText(base.z));
  if (temperature !== 1) parts.set("temperature", temperature);
  if (facts.num_classes !== null) parts.set("label", label);
  if (changes.size) parts.set("z", [...changes].map(([d, value]) => `${d}:${Number(value.toPrecision(6))}`).join(","));
  if (chosenGroup()) parts.set("group", chosenGroup());
  parts.set("plane", planeWords());
  for (const name of ["from", "to"]) if (chosenEnds.has(name) && isInHash()) parts.set(name, asText(ends[name]));
  if (element("path").value !== "spherical") parts.set("path", element("path").value);
  element("address-note").hidden = base.kind !== "point" || isInHash();
  const hash = `#${parts}`.replace(/%2C/g, ",").replace(/%3A/g, ":");
  clearTimeout(written);
  written = setTimeout(() => history.replaceState(null, "", hash), 150); // browsers count such calls
}

function numberOf(name, text, isFitting) {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(Math.fround(value)) || !isFitting(value)) throw new Error(`${name}=${text}`);
  return value;
}

const wholeOf = (name, text, least, most) =>
  numberOf(name, text, (value) => Number.isInteger(value) && value >= least && value <= most);

function redrawnOf(text) {
  let above = 1;
  return text.split(",").map((pair) => {
    const [group, seed, ...more] = pair.split(":");
    if (seed === undefined || more.length) throw new Error(`redrawn=${text}`);
    above = wholeOf("redrawn", group, above + 1, facts.groups.length);
    return [above, wholeOf("redrawn", seed, 0, MOST_SEEDS)];
  });
}

// What a hash says, whole, before anything of it counts.
function parsed(hash) {
  const parts = new URLSearchParams(hash), found = { base: { kind: "mean" }, changes: new Map(), ends: {} };
  const given = (name, take) => (parts.has(name) ? take(parts.get(name)) : undefined);
  given("sample", (text) => (found.base = { kind: "sample", seed: wholeOf("sample", text, 0, MOST_SEEDS) }));
  given("redrawn", (text) => (found.base.redrawn = redrawnOf(text)));
  given("image", (text) => (found.base = { kind: "image", index: wholeOf("image", text, 0, (encoded?.count ?? 0) - 1) }));
  given("point", (text) => (found.base = { kind: "point", z: asLatents("point", text), what: "A point of the address" }));
  found.temperature = given("temperature", (text) => numberOf("temperature", text, (t) => t >= 0 && t <= HOTTEST)) ?? 1;
  found.label = given("label", (text) => wholeOf("label", text, 0, (facts.num_classes ?? 0) - 1)) ?? state.label;
  found.group = given("group", (text) => wholeOf("group", text, 1, facts.groups.length)) ?? 0;
  for (const item of (parts.get("z") ?? "").split(",").filter(Boolean)) {
    const [d, value] = item.split(":");
    found.changes.set(wholeOf("z", d, 0, facts.latent_dim - 1), numberOf("z", value ?? "", () => true));
  }
  found.plane = given("plane", planeOf);
  for (const name of ["from", "to"]) given(name, (text) => (found.ends[name] = asLatents(name, text)));
  found.path = given("path", (text) => {
    if (!["spherical", "linear"].includes(text)) throw new Error(`path=${text}`);
    return text;
  });
  return found;
}

// Read once, and again when it is typed; what does not belong to this model is told, and nothing of it counts.
async function readHash() {
  try {
    const { base, changes, temperature, label, group, plane: place, ends: given, path } = parsed(location.hash.slice(1));
    stopPlaying();
    Object.assign(state, { base, changes, temperature });
    plane.at = null;
    showTemperature();
    setLabel(label);
    chooseGroup(group);
    if (place) setPlane(place);
    if (path) element("path").value = path;
    for (const [name, z] of Object.entries(given)) await setEnd(name, z);
    say("");
  } catch (error) {
    say(`The address of this page does not fit this model: ${error.message}`, true);
  }
  await settle();
}
