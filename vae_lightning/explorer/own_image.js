// Images of the user's own, and the training images that lie nearest to wherever the page is.

const MOST_NEAREST = 8;
let own = null; // the image as it was given: its name and its values
let files = 0; // of several that come at once the last one counts

// The places of the images whose codes are nearest, nearest first.
function nearestOf(images, z, count) {
  const found = Array.from({ length: images.count }, (_, i) => {
    const code = images.code(i);
    let sum = 0;
    for (let d = 0; d < z.length; d++) sum += (code[d] - z[d]) ** 2;
    return [sum, i];
  });
  return found.sort((a, b) => a[0] - b[0]).slice(0, count).map(([, i]) => i);
}

let nearest = [];

function buildNearest() {
  const buttons = Array.from({ length: Math.min(MOST_NEAREST, training.count) }, (_, place) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [training.width, training.height];
    button.append(canvas);
    button.addEventListener("click", () => {
      const index = nearest[place], z = Float32Array.from(training.code(index));
      moveTo({ kind: "point", z, what: "A training image" }, { label: facts.training.labels?.[index] });
    });
    return button;
  });
  element("nearest").replaceChildren(...buttons);
}

function showNearest() {
  const { labels } = facts.training;
  nearest = nearestOf(training, state.z, MOST_NEAREST);
  [...element("nearest").children].forEach((button, place) => {
    const index = nearest[place];
    training.draw(button.firstChild.getContext("2d"), index, 0, 0, training.width, training.height);
    button.setAttribute("aria-label", `nearest training image ${place + 1}${labels ? `, label ${labelName(labels[index])}` : ""}`);
    button.title = labels ? labelName(labels[index]) : "";
  });
}

// A picture as the run's data are prepared: fitted to the size of its images, in as many channels, in [0, 1].
async function prepared(file) {
  const bitmap = await createImageBitmap(file);
  const { channels, height, width, fit } = facts.image;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const across = width / bitmap.width, up = height / bitmap.height;
  const factor = fit === "pad" ? Math.min(across, up) : Math.max(across, up);
  const [w, h] = fit === "stretch" ? [width, height] : [bitmap.width * factor, bitmap.height * factor];
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#fff"; // what transparency is laid on; what is beyond the picture is black
  context.fillRect((width - w) / 2, (height - h) / 2, w, h);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
  const { data } = context.getImageData(0, 0, width, height), area = width * height;
  const values = new Float32Array(channels * area);
  for (let i = 0; i < area; i++) {
    const [red, green, blue] = data.subarray(4 * i, 4 * i + 3);
    if (channels === 1) values[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue) / 255;
    else values.set([red / 255], i), values.set([green / 255], area + i), values.set([blue / 255], 2 * area + i);
  }
  const wasFitted = bitmap.width !== width || bitmap.height !== height;
  const told = wasFitted ? `, ${bitmap.width} x ${bitmap.height} pixels, ${{ pad: "padded", stretch: "stretched" }[fit] ?? "cropped"} to ${width} x ${height}` : "";
  return { values, told };
}

async function seen(values) {
  const z = await networks.encode(values, state.label), image = await networks.decode(z, state.label);
  let error = 0;
  for (let i = 0; i < values.length; i++) error += (values[i] - image[i]) ** 2;
  return { z, values, image, error };
}

const inverted = (values) => values.map((value) => 1 - value);

async function takeFile(file) {
  if (!file) return;
  if (!networks) return say("The decoder is still being started; drop it again in a moment.");
  if (!element("own")) return say(`Images of ${facts.image.channels} channels can't be dropped here.`, true);
  const mine = ++files;
  let given;
  try {
    given = { name: file.name, ...(await prepared(file)) };
  } catch {
    if (mine === files) say(`${file.name}: is no picture that this browser can read.`, true);
    return;
  }
  try {
    const asItIs = await seen(given.values), turned = await seen(inverted(given.values));
    if (mine !== files) return;
    own = given;
    const isTurned = turned.error < asItIs.error;
    element("invert").checked = isTurned;
    const asLabel = facts.num_classes === null ? "" : `; encoded as label ${labelName(state.label)}, which you may choose`;
    say(`${own.name}${own.told}${isTurned ? "; inverted, which the model reconstructs better" : ""}${asLabel}.`);
    await takeOwn(isTurned ? turned : asItIs);
  } catch (error) {
    tellTrouble(error);
  }
}

async function takeOwn({ z, values, image }) {
  element("own").hidden = false;
  show(element("own-image"), values);
  show(element("own-reconstruction"), image);
  await moveTo({ kind: "point", z, what: `The code of ${own.name}`, isOwn: true });
}

// The own image anew, where the label or its inversion is another now.
async function takeOwnAgain() {
  if (!own) return;
  const mine = ++files;
  const again = await seen(element("invert").checked ? inverted(own.values) : own.values).catch(tellTrouble);
  if (again && mine === files) await takeOwn(again);
}

// A drop is taken before the networks are there, too: the browser would leave the page for the file.
function startDrops() {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    takeFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => takeFile(event.clipboardData.files[0]));
}

function startOwnImages() {
  if (element("file")) {
    element("file").addEventListener("change", (event) => {
      takeFile(event.target.files[0]);
      event.target.value = ""; // the same file may be chosen again
    });
    element("invert").addEventListener("change", takeOwnAgain);
    labelListeners.push(() => state.base.isOwn && takeOwnAgain());
  }
  if (!training) return;
  buildNearest();
  showNearest();
  let later = null;
  listeners.push(() => {
    clearTimeout(later);
    later = setTimeout(showNearest, 120);
  });
}
