// Images as the networks have them, on canvases.

// Values in [0, 1], channel by channel, as pixels: rounded as the program rounds them.
function pixelsOf(values) {
  const { channels, height, width } = facts.image, area = height * width;
  const shown = channels === 1 ? [0, 0, 0] : channels === 3 ? [0, 1, 2] : threeOf(facts.shown_channels);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = Math.round(255 * Math.min(1, Math.max(0, values[shown[c] * area + i])));
    pixels.data[4 * i + 3] = 255;
  }
  return pixels;
}

const threeOf = (channels) => (channels.length >= 3 ? channels.slice(0, 3) : [channels[0], channels[0], channels[0]]);

function show(canvas, values) {
  const { height, width } = facts.image;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(pixelsOf(values), 0, 0);
}

function clear(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

// So many times larger that the longer side has about 512 pixels, each a square.
function enlarged(canvas) {
  const factor = Math.max(1, Math.floor(512 / Math.max(canvas.width, canvas.height)));
  const large = document.createElement("canvas");
  [large.width, large.height] = [canvas.width * factor, canvas.height * factor];
  const context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, large.width, large.height);
  return large;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const fileName = (ending) => `${facts.name.replace(/[^\w.-]+/g, "_")}.${ending}`;
