// The networks, which onnxruntime-web computes in this page, on one thread.

class Networks {
  static async start() {
    const [ort, wasm] = await Promise.all([library("ort"), bytes("wasm")]);
    ort.env.wasm.wasmBinary = wasm.buffer;
    ort.env.wasm.numThreads = 1; // more need headers that a file from the disk can't have
    const networks = new Networks();
    networks.ort = ort;
    for (const name of ["decoder", "encoder", "prior"]) {
      const model = await bytes(name);
      networks[name] = model && (await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }));
    }
    networks.line = Promise.resolve();
    return networks;
  }

  // One after another, for a session takes one call at a time.
  run(session, feeds) {
    const result = this.line.then(() => session.run(feeds));
    this.line = result.catch(() => {});
    return result;
  }

  floats(values, ...shape) {
    return new this.ort.Tensor("float32", Float32Array.from(values), shape);
  }

  labelled(feeds, label, count) {
    if (facts.num_classes === null) return feeds;
    return { ...feeds, labels: new this.ort.Tensor("int64", new BigInt64Array(count).fill(BigInt(label)), [count]) };
  }

  // Latents to the values of an image in [0, 1], channel by channel.
  async decode(z, label) {
    const found = await this.run(this.decoder, this.labelled({ z: this.floats(z, 1, z.length) }, label, 1));
    return found.images.data;
  }

  async encode(image, label) {
    const { channels, height, width } = facts.image;
    const feeds = { images: this.floats(image, 1, channels, height, width) };
    return Float32Array.from((await this.run(this.encoder, this.labelled(feeds, label, 1))).mean.data);
  }

  // A sample of the prior, whose noise the temperature multiplies.
  async sample({ seed, redrawn }, temperature) {
    const uniform = mulberry(seed);
    const D = facts.latent_dim, normals = Float32Array.from({ length: D }, () => temperature * normal(uniform));
    for (const [group, below] of redrawn ?? []) {
      const other = mulberry(below);
      for (let d = startOf(group); d < D; d++) normals[d] = temperature * normal(other);
    }
    if (facts.sampled_by === "pool") return pooled(seed);
    if (facts.sampled_by === "moments") return normals.map((e, d) => prior.mean[d] + prior.deviation[d] * e);
    const feeds = { normals: this.floats(normals, 1, D) };
    if (this.prior.inputNames.includes("uniforms")) {
      const shape = this.prior.inputMetadata[this.prior.inputNames.indexOf("uniforms")].shape;
      feeds.uniforms = this.floats(Array.from({ length: shape[1] }, uniform), 1, shape[1]);
    }
    return Float32Array.from((await this.run(this.prior, feeds)).z.data);
  }
}

// One of the samples that were drawn before, of a prior that takes the page too long.
function pooled(seed) {
  const D = facts.latent_dim, index = seed % (prior.pool.length / D);
  return prior.pool.slice(index * D, (index + 1) * D);
}

// Tommy Ettinger's mulberry32: small, and the same in every browser.
function mulberry(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Box and Muller's.
function normal(uniform) {
  return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
