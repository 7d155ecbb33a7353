// Images of the user's own, and the training images that lie nearest to wherever the page is.

const MOST_NEAREST = 8;
let own = null; // the values of the image, as it was given

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

function showNearest() {
  const names = nearestOf(training, state.z, MOST_NEAREST).map((index) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [training.width, training.height];
    training.draw(canvas.getContext("2d"), index, 0, 0, training.width, training.height);
    const { labels } = facts.training;
    button.setAttribute("aria-label", `training image${labels ? ` of label ${labelName(labels[index])}` : ""}`);
    button.title = labels ? labelName(labels[index]) : "";
    button.append(canvas);
    button.addEventListener("click", () =>
      moveTo({ kind: "point", z: Float32Array.from(training.code(index)), what: "A training image" }, { label: labels?.[index] }));
    return button;
  });
  element("nearest").replaceChildren(...names);
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
  if (facts.image.channels !== 1 && facts.image.channels !== 3) return;
  try {
    own = { name: file.name, ...(await prepared(file)) };
  } catch {
    own = null;
    say(`${file.name}: is no picture that this browser can read.`, true);
    return;
  }
  const asItIs = await seen(own.values), turned = await seen(inverted(own.values));
  const isTurned = turned.error < asItIs.error;
  element("invert").checked = isTurned;
  say(`${own.name}${own.told}${isTurned ? "; inverted, which the model reconstructs better" : ""}.`);
  await takeOwn(isTurned ? turned : asItIs);
}

async function takeOwn({ z, values, image }) {
  element("own").hidden = false;
  show(element("own-image"), values);
  show(element("own-reconstruction"), image);
  plane.at = null;
  await moveTo({ kind: "point", z, what: `The code of ${own.name}` });
}

function startOwnImages() {
  if (element("file")) {
    element("file").addEventListener("change", (event) => {
      takeFile(event.target.files[0]);
      event.target.value = ""; // the same file may be chosen again
    });
    element("invert").addEventListener("change", async (event) =>
      own && takeOwn(await seen(event.target.checked ? inverted(own.values) : own.values)));
  }
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    takeFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => takeFile(event.clipboardData.files[0]));
  if (!training) return;
  let later = null;
  listeners.push(() => {
    clearTimeout(later);
    later = setTimeout(showNearest, 120);
  });
}
