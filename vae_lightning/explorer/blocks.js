"use strict";
// What the page holds: facts as JSON, arrays and libraries as gzipped base64, thumbnails as pictures.

const facts = JSON.parse(document.getElementById("facts").textContent);
const element = (id) => document.getElementById(id);

const bytesOf = (text) => Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));

async function unpacked(name) {
  const block = document.querySelector(`script.block[data-name="${name}"]`);
  if (!block) return null;
  const stream = new Blob([bytesOf(block.textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  block.remove(); // it takes memory as text, too
  return { kind: block.dataset.kind, buffer };
}

async function bytes(name) {
  const block = await unpacked(name);
  return block && new Uint8Array(block.buffer);
}

async function numbers(name) {
  const block = await unpacked(name);
  if (!block) return null;
  if (block.kind === "float16") return widened(new Uint16Array(block.buffer));
  return block.kind === "int32" ? new Int32Array(block.buffer) : new Float32Array(block.buffer);
}

// IEEE 754 binary16 to binary32; a table of all 65,536 would take longer to make than most arrays to read.
function widened(halves) {
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i], exponent = (half >> 10) & 31, fraction = half & 1023;
    const size = exponent === 0 ? fraction * 2 ** -24
      : exponent === 31 ? (fraction ? NaN : Infinity) : (1 + fraction / 1024) * 2 ** (exponent - 15);
    values[i] = half & 0x8000 ? -size : size;
  }
  return values;
}

async function library(name) {
  const url = URL.createObjectURL(new Blob([await bytes(name)], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

// Images that were encoded before: their codes, labels and thumbnails; null where the page has none.
async function encodedImages(name) {
  if (!facts[name]) return null;
  const codes = await numbers(`${name}_codes`);
  const sheet = new Image();
  sheet.src = document.querySelector(`script.sheet[data-name="${name}"]`).textContent;
  await sheet.decode();
  const { labels, cell: [width, height], columns } = facts[name], D = facts.latent_dim;
  return {
    count: codes.length / D, labels, width, height,
    code: (index) => codes.subarray(index * D, (index + 1) * D),
    draw(context, index, x, y, w, h) {
      const column = index % columns, row = Math.floor(index / columns);
      context.drawImage(sheet, column * width, row * height, width, height, x, y, w, h);
    },
  };
}

// Of a hierarchy: the first latent of a group, and the group of a latent, counted from 1 at the top.
const startOf = (group) => facts.groups.slice(0, group - 1).reduce((sum, size) => sum + size, 0);
const groupOf = (d) => facts.groups.findIndex((size, index) => d < startOf(index + 1) + size) + 1;

const tellTrouble = (error) => say(`This failed: ${error?.message ?? error}`, true);

const say = (text, isTrouble = false) => {
  element("status").textContent = text;
  element("status").classList.toggle("trouble", isTrouble);
};
