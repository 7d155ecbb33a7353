// The way between two points.

const FRAMES = 32, FRAME_MS = 60, SECONDS = 2.5;
const ends = { from: null, to: null };
const chosenEnds = new Set(); // those that are not where the page began
let playing = null;

const dot = (a, b) => a.reduce((sum, value, d) => sum + value * b[d], 0);
const norm = (v) => Math.sqrt(dot(v, v));
const scaled = (v, factor) => v.map((value) => factor * value);
const sum = (a, b) => a.map((value, d) => value + b[d]);
const unit = (v) => scaled(v, 1 / norm(v));
const orthogonal = (v, to) => sum(v, scaled(to, -dot(v, to)));

// The direction turns at a constant rate and the norm changes linearly; exactly opposite points are joined through one
// perpendicular direction. As vae_lightning.latents.paths.spherical.
function spherical(from, to, t) {
  const start = Array.from(from), end = Array.from(to), [a, b] = [norm(start), norm(end)];
  if (start.length === 1 || a === 0 || b === 0) return linear(from, to, t);
  const [u, v] = [scaled(start, 1 / a), scaled(end, 1 / b)];
  const angle = 2 * Math.atan2(norm(sum(v, scaled(u, -1))), norm(sum(v, u)));
  let towards = orthogonal(v, u);
  if (norm(towards) < 1e-6) { // what is left is rounding
    const least = u.reduce((best, value, d) => (Math.abs(value) < Math.abs(u[best]) ? d : best), 0);
    towards = orthogonal(u.map((_, d) => (d === least ? 1 : 0)), u);
  }
  const perpendicular = unit(orthogonal(unit(towards), u)), size = (1 - t) * a + t * b;
  return Float32Array.from(u, (value, d) => size * (Math.cos(t * angle) * value + Math.sin(t * angle) * perpendicular[d]));
}

const linear = (from, to, t) => Float32Array.from(from, (value, d) => (1 - t) * value + t * to[d]);
const PATHS = { spherical, linear };

async function setEnd(name, z) {
  ends[name] = Float32Array.from(z);
  chosenEnds.add(name);
  await showEnd(name);
}

async function showEnd(name) {
  try {
    show(element(name), await networks.decode(ends[name], state.label));
  } catch (error) {
    tellTrouble(error);
  }
}

async function goAlong() {
  const t = Number(element("way").value), z = PATHS[element("path").value](ends.from, ends.to, t);
  await moveTo({ kind: "point", z, what: `${Math.round(100 * t)} % of the way from A to B` }, { isMorph: true });
}

function stopPlaying() {
  if (playing === null) return;
  cancelAnimationFrame(playing);
  playing = null;
  element("play").textContent = "Play";
  element("play").setAttribute("aria-pressed", "false");
}

function play() {
  if (playing !== null) return stopPlaying();
  const started = performance.now() - Number(element("way").value) * SECONDS * 1000;
  element("play").textContent = "Stop";
  element("play").setAttribute("aria-pressed", "true");
  const step = (now) => {
    const phase = ((now - started) / 1000 / SECONDS) % 2;
    element("way").value = phase < 1 ? phase : 2 - phase;
    goAlong();
    playing = requestAnimationFrame(step);
  };
  playing = requestAnimationFrame(step);
}

const GREYS = Array.from({ length: 256 }, (_, level) => [level, level, level]);

// At most 256 colours: of a grey picture all it has.
function withPalette(data) {
  if (facts.image.channels === 1) return { palette: GREYS, indices: data.filter((_, i) => i % 4 === 0) };
  const palette = gifenc.quantize(data, 256);
  return { palette, indices: gifenc.applyPalette(data, palette) };
}

// There and back, with a palette of its own for each frame.
async function saveGIF() {
  const button = element("gif"), { from, to } = ends, along = PATHS[element("path").value], { label } = state;
  button.disabled = true;
  try {
    say("The GIF is being made …");
    gifenc ??= await library("gifenc");
    const encoder = gifenc.GIFEncoder(), canvas = document.createElement("canvas"), frames = [];
    for (let i = 0; i < FRAMES; i++) {
      show(canvas, await networks.decode(along(from, to, i / (FRAMES - 1)), label));
      const large = enlarged(canvas), { data } = large.getContext("2d").getImageData(0, 0, large.width, large.height);
      frames.push({ ...withPalette(data), width: large.width, height: large.height });
      button.textContent = `${Math.round((100 * (i + 1)) / FRAMES)} %`;
      await new Promise(requestAnimationFrame);
    }
    const back = frames.slice(1, -1).reverse();
    for (const { indices, palette, width, height } of [...frames, ...back]) {
      encoder.writeFrame(indices, width, height, { palette, delay: FRAME_MS });
    }
    encoder.finish();
    save(new Blob([encoder.bytes()], { type: "image/gif" }), fileName("gif"));
    say("The GIF is saved.");
  } catch (error) {
    tellTrouble(error);
  } finally {
    button.textContent = "Save GIF";
    button.disabled = false;
  }
}
let gifenc = null;

async function startMorph() {
  ends.from = Float32Array.from(encoded ? encoded.code(0) : await networks.sample({ seed: 1 }, 1));
  ends.to = Float32Array.from(encoded ? encoded.code(Math.min(1, encoded.count - 1)) : await networks.sample({ seed: 2 }, 1));
  for (const name of ["from", "to"]) {
    element(`set-${name}`).addEventListener("click", () => {
      setEnd(name, state.z);
      writeHash();
    });
    await showEnd(name);
    labelListeners.push(() => showEnd(name));
  }
  element("way").addEventListener("input", () => {
    stopPlaying();
    goAlong();
  });
  element("play").addEventListener("click", play);
  element("gif").addEventListener("click", saveGIF);
  element("path").addEventListener("change", goAlong);
}
