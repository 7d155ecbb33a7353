// The page's beginning, and its buttons.

let networks = null, encoded = null, training = null;

function showTemperature() {
  element("temperature").value = state.temperature;
  element("temperature-value").textContent = state.temperature.toFixed(2);
}

function startButtons() {
  const random = () => Math.floor(Math.random() * 1_000_000);
  element("random").addEventListener("click", () => {
    if (!mayRedraw()) return moveTo({ kind: "sample", seed: random() });
    const { seed, redrawn } = state.base, above = (redrawn ?? []).filter(([group]) => group < chosenGroup());
    return moveTo({ kind: "sample", seed, redrawn: [...above, [chosenGroup(), random()]] });
  });
  element("mean").addEventListener("click", () => moveTo({ kind: "mean" }));
  element("png").addEventListener("click", () =>
    enlarged(element("image")).toBlob((blob) => save(blob, fileName("png"))));
  element("temperature").addEventListener("input", (event) => {
    state.temperature = Number(event.target.value);
    showTemperature();
    if (state.base.kind === "sample") settle();
    else writeHash();
  });
  element("label")?.addEventListener("change", (event) => {
    setLabel(Number(event.target.value));
    if (!state.base.isOwn) changed();
  });
  window.addEventListener("hashchange", readHash);
  // On a narrow page the image stays in sight while one moves what changes it.
  new IntersectionObserver(([frame]) => element("image").classList.toggle("small", !frame.isIntersecting)).observe(element("frame"));
}

async function start() {
  const began = performance.now();
  [prior.mean, prior.deviation, prior.pool] = [await numbers("prior_mean"), await numbers("prior_deviation"), await numbers("pool")];
  [rates, order] = [await numbers("rates"), await numbers("order")];
  encoded = await encodedImages("encoded");
  training = await encodedImages("training");
  if (encoded) {
    plane.pca = { mean: await numbers("pca_mean"), axes: await numbers("pca_axes") };
    plane.tsne = await numbers("tsne");
    if (!plane.tsne) element("plane-kind").querySelector("[value=tsne]").remove();
  }
  networks = await Networks.start();
  state.z = Float32Array.from(prior.mean);
  startSliders();
  startPlane();
  startOwnImages();
  startButtons();
  await startMorph();
  say("");
  await readHash();
  document.documentElement.dataset.ready = Math.round(performance.now() - began);
}

startDrops();
start().catch((error) => {
  say(`The page could not start: ${error.message ?? error}`, true);
  throw error;
});
