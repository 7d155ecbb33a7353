// The way between two points.

const FRAMES = 32, FRAME_MS = 60, SECONDS = 2.5;
const ends = { from: null, to: null };
let playing = null;

// The direction turns at a constant rate and the norm changes linearly, as in the program's `spherical`.
function spherical(start, end, t) {
  const norm = (v) => Math.hypot(...v), [a, b] = [norm(start), norm(end)];
  if (start.length === 1 || a === 0 || b === 0) return linear(start, end, t);
  const cosine = Math.min(1, Math.max(-1, start.reduce((sum, value, d) => sum + (value / a) * (end[d] / b), 0)));
  const angle = Math.acos(cosine), sine = Math.sin(angle);
  if (sine < 1e-4) return linear(start, end, t);
  const size = (1 - t) * a + t * b, [p, q] = [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
  return start.map((value, d) => size * ((p * value) / a + (q * end[d]) / b));
}

const linear = (start, end, t) => start.map((value, d) => (1 - t) * value + t * end[d]);
const between = (t) => (element("path").value === "linear" ? linear : spherical)(ends.from, ends.to, t);

async function setEnd(name, z) {
  ends[name] = Float32Array.from(z);
  show(element(name), await networks.decode(ends[name], state.label));
}

async function goAlong() {
  const t = Number(element("way").value);
  plane.at = null;
  await moveTo({ kind: "point", z: between(t), what: `${Math.round(100 * t)} % of the way from A to B` });
}

function stopPlaying() {
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
  const button = element("gif");
  button.disabled = true;
  try {
    gifenc ??= await library("gifenc");
    const encoder = gifenc.GIFEncoder(), canvas = document.createElement("canvas"), frames = [];
    for (let i = 0; i < FRAMES; i++) {
      show(canvas, await networks.decode(between(i / (FRAMES - 1)), state.label));
      const large = enlarged(canvas), { data } = large.getContext("2d").getImageData(0, 0, large.width, large.height);
      frames.push({ ...withPalette(data), width: large.width, height: large.height });
      say(`The GIF is being made: ${Math.round((100 * (i + 1)) / FRAMES)} %`);
      await new Promise(requestAnimationFrame);
    }
    const back = frames.slice(1, -1).reverse();
    for (const { indices, palette, width, height } of [...frames, ...back]) {
      encoder.writeFrame(indices, width, height, { palette, delay: FRAME_MS });
    }
    encoder.finish();
    save(new Blob([encoder.bytes()], { type: "image/gif" }), fileName("gif"));
    say("The GIF is saved.");
  } finally {
    button.disabled = false;
  }
}
let gifenc = null;

async function startMorph() {
  await setEnd("from", encoded ? encoded.code(0) : await networks.sample({ seed: 1 }, 1));
  await setEnd("to", encoded ? encoded.code(Math.min(1, encoded.count - 1)) : await networks.sample({ seed: 2 }, 1));
  for (const name of ["from", "to"]) element(`set-${name}`).addEventListener("click", () => setEnd(name, state.z));
  element("way").addEventListener("input", () => {
    if (playing !== null) stopPlaying();
    goAlong();
  });
  element("play").addEventListener("click", play);
  element("gif").addEventListener("click", saveGIF);
  element("path").addEventListener("change", goAlong);
}
