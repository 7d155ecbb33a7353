// A plane of the latent space: of two latents, of two principal components, or t-SNE of the encoded images.

const THUMBNAIL = 24, CLICK = 5; // pixels
const COLOURS = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0"];
const plane = { kind: "dims", x: 0, y: 0, extent: LIMIT, points: null, pca: null, tsne: null, at: null, backdrop: null };

const planeWords = () => (plane.kind === "dims" ? `${plane.x},${plane.y}` : plane.kind);

// The plane that a word tells.
function planeOf(word) {
  if ((word === "pca" && encoded) || (word === "tsne" && plane.tsne)) return { kind: word };
  const [x, y, ...more] = word.split(",");
  if (y === undefined || more.length) throw new Error(`plane=${word}`);
  return { kind: "dims", x: wholeOf("plane", x, 0, facts.latent_dim - 1), y: wholeOf("plane", y, 0, facts.latent_dim - 1) };
}

function setPlane(chosen) {
  Object.assign(plane, chosen);
  showChoices();
  layOut();
}

function projected(z) {
  const { mean, axes } = plane.pca, D = facts.latent_dim;
  return [0, 1].map((k) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += (z[d] - mean[d]) * axes[k * D + d];
    return sum;
  });
}

const placeOf = {
  dims: (z) => [deviations(plane.x, z[plane.x]), plane.x === plane.y ? 0 : deviations(plane.y, z[plane.y])],
  pca: projected,
  tsne: (z) => plane.points[nearestOf(encoded, z, 1)[0]],
};

// Where the encoded images lie, how far the plane reaches, and what is told of it.
function layOut() {
  const { kind } = plane;
  plane.points = encoded && Array.from({ length: encoded.count }, (_, i) =>
    kind === "tsne" ? [plane.tsne[2 * i], plane.tsne[2 * i + 1]] : placeOf[kind](encoded.code(i)));
  const farthest = kind === "pca" ? Math.max(...plane.points.map(([x, y]) => Math.max(Math.abs(x), Math.abs(y)))) : 0;
  plane.extent = { dims: LIMIT, pca: 1.1 * farthest || 1, tsne: 1.1 }[kind];
  plane.at = null;
  const percent = (part) => `${Math.round(100 * part)} %`;
  const images = encoded ? ` ${encoded.count} ${facts.encoded.kind} ${encoded.count === 1 ? "image lies where its code does" : "images lie where their codes do"}` : "";
  const shown = encoded ? (facts.thumbnails === "originals" ? "." : ", as the model reconstructs them.") : "";
  element("plane-note").textContent = {
    dims: () => `From −${LIMIT} to ${LIMIT} standard deviations of the prior.${images}${shown}`,
    pca: () => `${percent(facts.pca[0])} of the variance across, ${percent(facts.pca[1])} up.${images}${shown}`,
    tsne: () => `Neighbours stay neighbours; distances mean little. Between images their codes are mixed.${images}${shown}`,
  }[kind]();
  element("axes").hidden = kind !== "dims" || facts.latent_dim === 1;
  plane.backdrop = null;
  drawPlane();
}

const side = () => element("plane").clientWidth || 480;
const toPixels = ([x, y]) => [0.5 + x / plane.extent / 2, 0.5 - y / plane.extent / 2].map((part) => part * side());
const toPlace = (px, py) => [2 * px / side() - 1, 1 - 2 * py / side()].map((part) => plane.extent * Math.min(1, Math.max(-1, part)));

function drawPlane() {
  const canvas = element("plane"), ratio = window.devicePixelRatio || 1, size = side();
  if (canvas.width !== Math.round(size * ratio)) {
    canvas.width = canvas.height = Math.round(size * ratio);
    plane.backdrop = null;
  }
  plane.backdrop ??= backdrop(size, ratio);
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(plane.backdrop, 0, 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (!state.z) return;
  canvas.setAttribute("aria-label", `plane of the latent space at ${placeText()}: drag, or move with the arrow keys`);
  const [x, y] = toPixels(plane.at ?? placeOf[plane.kind](state.z)).map((p) => Math.min(size - 2, Math.max(2, p)));
  for (const [width, colour] of [[5, "#fff"], [2.5, "#d4351c"]]) {
    Object.assign(context, { lineWidth: width, strokeStyle: colour });
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.stroke();
  }
}

function placeText() {
  const [x, y] = plane.at ?? placeOf[plane.kind](state.z);
  return plane.kind === "tsne" ? "a place of t-SNE" : `${x.toFixed(1)} across, ${y.toFixed(1)} up`;
}

// All that stays while one drags: axes, a dot for each image, and thumbnails where there is room for them.
function backdrop(size, ratio) {
  const canvas = document.createElement("canvas"), style = getComputedStyle(document.documentElement);
  canvas.width = canvas.height = Math.round(size * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = style.getPropertyValue("--paper");
  context.fillRect(0, 0, size, size);
  context.fillStyle = style.getPropertyValue("--line");
  if (plane.kind !== "tsne") {
    context.fillRect(size / 2 - 0.5, 0, 1, size);
    context.fillRect(0, size / 2 - 0.5, size, 1);
  }
  if (!plane.points) return canvas;
  const { labels } = facts.encoded, taken = [];
  const [w, h] = [encoded.width, encoded.height].map((length) => THUMBNAIL * length / Math.max(encoded.width, encoded.height));
  const pixels = plane.points.map(toPixels);
  pixels.forEach(([x, y], i) => {
    context.fillStyle = labels ? COLOURS[labels[i] % COLOURS.length] : "#8a8f98";
    context.beginPath();
    context.arc(x, y, 2.5, 0, 2 * Math.PI);
    context.fill();
  });
  pixels.forEach(([x, y], i) => {
    if (x < w / 2 || y < h / 2 || x > size - w / 2 || y > size - h / 2) return;
    if (taken.some(([a, b]) => Math.abs(a - x) < w + 3 && Math.abs(b - y) < h + 3)) return;
    taken.push([x, y]);
    if (labels) {
      context.fillStyle = COLOURS[labels[i] % COLOURS.length];
      context.fillRect(x - w / 2 - 1.5, y - h / 2 - 1.5, w + 3, h + 3);
    }
    encoded.draw(context, i, x - w / 2, y - h / 2, w, h);
  });
  return canvas;
}

// Latents for a place on the plane.
function takePlace(place) {
  if (plane.kind === "dims") {
    const across = [plane.x, valueAt(plane.x, place[0])];
    change(...(plane.x === plane.y ? [across] : [across, [plane.y, valueAt(plane.y, place[1])]]));
    return;
  }
  const z = plane.kind === "pca" ? fromPCA(place) : mixed(place);
  moveTo({ kind: "point", z, what: `A point of the plane of ${plane.kind === "pca" ? "PCA" : "t-SNE"}` }, { at: plane.kind === "tsne" ? place : null });
}

function fromPCA([x, y]) {
  const { mean, axes } = plane.pca, D = facts.latent_dim;
  return Float32Array.from(mean, (m, d) => m + x * axes[d] + y * axes[D + d]);
}

// The codes of the four nearest images, each weighted by the inverse of its squared distance.
function mixed([x, y]) {
  const D = facts.latent_dim, z = new Float32Array(D);
  const near = plane.points.map(([a, b], i) => [(a - x) ** 2 + (b - y) ** 2 + 1e-9, i]).sort((a, b) => a[0] - b[0]).slice(0, 4);
  const total = near.reduce((sum, [distance]) => sum + 1 / distance, 0);
  for (const [distance, i] of near) {
    const code = encoded.code(i), weight = 1 / distance / total;
    for (let d = 0; d < D; d++) z[d] += weight * code[d];
  }
  return z;
}

function imageAt(px, py) {
  if (!plane.points) return -1;
  const distances = plane.points.map((point) => {
    const [x, y] = toPixels(point);
    return Math.max(Math.abs(x - px), Math.abs(y - py));
  });
  const index = distances.indexOf(Math.min(...distances));
  return distances[index] <= THUMBNAIL / 2 ? index : -1;
}

function startPlane() {
  const canvas = element("plane");
  const options = () => Array.from(order, (d) => new Option(`${nameOf(d)}${rates ? `, ${rateText(d)}` : ""}`, d)).slice(0, 100);
  for (const axis of ["x", "y"]) {
    element(`axis-${axis}`).replaceChildren(...options());
    element(`axis-${axis}`).addEventListener("change", (event) => {
      const chosen = Number(event.target.value), other = axis === "x" ? "y" : "x";
      if (chosen === plane[other]) plane[other] = plane[axis]; // they change places
      plane[axis] = chosen;
      showChoices();
      layOut();
      writeHash();
    });
  }
  [plane.x, plane.y] = [order[0], order[Math.min(1, order.length - 1)]];
  element("plane-kind").addEventListener("change", (event) => {
    plane.kind = event.target.value;
    layOut();
    writeHash();
  });
  let pressed = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = { from: at(event), isDrag: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!pressed) return;
    const [x, y] = at(event);
    pressed.isDrag ||= Math.hypot(x - pressed.from[0], y - pressed.from[1]) > CLICK;
    if (pressed.isDrag) takePlace(toPlace(x, y));
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!pressed) return;
    const [x, y] = at(event), index = pressed.isDrag ? -1 : imageAt(x, y);
    if (index >= 0) goToImage(index);
    else takePlace(toPlace(x, y));
    pressed = null;
  });
  canvas.addEventListener("pointercancel", () => (pressed = null));
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!steps) return;
    event.preventDefault();
    const place = plane.at ?? placeOf[plane.kind](state.z), step = plane.extent / (event.shiftKey ? 8 : 40);
    takePlace(place.map((value, k) => Math.min(plane.extent, Math.max(-plane.extent, value + step * steps[k]))));
  });
  new ResizeObserver(drawPlane).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    plane.backdrop = null;
    drawPlane();
  });
  listeners.push(drawPlane);
  showChoices();
  showLegend();
  layOut();
}

// The colours of the labels, of as many as have one of their own.
function showLegend() {
  const labels = [...new Set(facts.encoded?.labels ?? [])].sort((a, b) => a - b);
  if (!labels.length || labels.at(-1) >= COLOURS.length) return;
  element("legend").replaceChildren(...labels.map((label) => {
    const entry = document.createElement("span"), swatch = document.createElement("i");
    swatch.style.background = COLOURS[label];
    entry.append(swatch, labelName(label));
    return entry;
  }));
}

function showChoices() {
  element("plane-kind").value = plane.kind;
  element("axis-x").value = plane.x;
  element("axis-y").value = plane.y;
}

function goToImage(index) {
  const label = facts.encoded.labels?.[index], at = plane.kind === "tsne" ? plane.points[index] : null;
  return moveTo({ kind: "image", index }, { label, at });
}
