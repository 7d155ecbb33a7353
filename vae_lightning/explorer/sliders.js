// A slider for each of the latents with the most KL.

const LIMIT = 4; // standard deviations of the prior
let numShown = facts.num_sliders, rates = null, order = null;
const rows = new Map(); // by latent: its slider and the value beside it

const chosenGroup = () => Number(element("group")?.value || 0); // 0 for all

function chosenLatents() {
  const group = chosenGroup();
  return group ? Array.from(order).filter((d) => groupOf(d) === group) : Array.from(order);
}

const nameOf = (d) => `z ${d}`;
const rateText = (d) => (rates ? `${rates[d] >= 9.995 ? rates[d].toFixed(1) : rates[d].toFixed(2)} nats` : "");

function buildSliders() {
  const dims = chosenLatents(), shown = dims.slice(0, numShown);
  rows.clear();
  element("sliders").replaceChildren(...shown.map(sliderRow));
  const next = Math.min(dims.length - shown.length, facts.num_sliders);
  element("more").hidden = next <= 0;
  element("more").textContent = `${next} more`;
  const of = dims.length === 1 ? "The one latent" : dims.length > shown.length ? `${shown.length} of ${dims.length} latents` : `All ${dims.length} latents`;
  const inOrder = rates && dims.length > 1 ? ", those with the most KL first" : "";
  element("latents-note").textContent = `${of}${inOrder}, in standard deviations of the prior.`;
  showSliders();
}

function sliderRow(d) {
  const row = document.createElement("label"), name = document.createElement("span");
  const slider = document.createElement("input"), value = document.createElement("span");
  row.className = "slider";
  const group = facts.groups.length > 1 && !chosenGroup() ? `group ${groupOf(d)}${rates ? ", " : ""}` : "";
  name.innerHTML = `<b>${nameOf(d)}</b> <small>${group}${rateText(d)}</small>`;
  Object.assign(slider, { type: "range", min: -LIMIT, max: LIMIT, step: 0.01 });
  slider.setAttribute("aria-label", `latent ${d}${rates ? `, ${rateText(d)}` : ""}`);
  slider.dataset.latent = d;
  slider.addEventListener("input", () => change([d, valueAt(d, Number(slider.value))]));
  value.setAttribute("aria-hidden", "true"); // the slider tells it
  row.append(name, slider, value);
  rows.set(d, { slider, value });
  return row;
}

function showSliders() {
  for (const [d, { slider, value }] of rows) {
    const at = deviations(d, state.z[d]);
    if (document.activeElement !== slider || Math.abs(Number(slider.value) - at) > 0.011) slider.value = at;
    value.textContent = at.toFixed(2).replace("-", "−");
    slider.setAttribute("aria-valuetext", `${at.toFixed(2)} standard deviations`);
  }
  element("undo").setAttribute("aria-disabled", `${state.changes.size === 0}`);
}

function chooseGroup(group) {
  if (!element("group") || chosenGroup() === group) return;
  element("group").value = group ? `${group}` : "";
  numShown = facts.num_sliders;
  buildSliders();
  showRandom();
}

// A sample may be drawn anew from the chosen group on, with those above as they are.
const mayRedraw = () => state.base.kind === "sample" && chosenGroup() > 1;

function showRandom() {
  element("random").textContent = mayRedraw() ? `Random from group ${chosenGroup()} down` : "Random";
}

function startSliders() {
  element("more").addEventListener("click", () => {
    numShown += facts.num_sliders;
    buildSliders();
  });
  element("undo").addEventListener("click", () => {
    state.changes.clear();
    settle();
  });
  element("group")?.addEventListener("change", () => {
    numShown = facts.num_sliders;
    buildSliders();
    showRandom();
    writeHash();
  });
  buildSliders();
  listeners.push(showSliders, showRandom);
}
