// A top-down pose network in the browser: ONNX file + image -> keypoints.
//
// The steps and formulas are those of jaxpose.geometry and jaxpose.codecs, without the flip test;
// docs/deploy.md explains them. Points are (x, y) in pixels, (0, 0) is the center of the first pixel.
//
// ?network=URL&image=URL loads these files. ?ort=FOLDER takes ONNX Runtime Web from a folder of this
// server instead of the CDN.
"use strict";

// Of onnxruntime-web, and of its ort.wasm.min.js.
const VERSION = "1.30.0";
const CDN = `https://cdn.jsdelivr.net/npm/onnxruntime-web@${VERSION}/dist/`;
const DIGEST = "sha384-Bw6URI+Gvoadw0do7/QrSHUC9D1vCYYK5OSqChFyhyV5mzPL4oe2rOAFljAnS8Sq";
const MOST_PIXELS = 16777216; // of a canvas in Safari on iOS
const SHOWN = 0.2; // least score of a keypoint that is drawn
const LEFT = "rgb(64, 145, 255)", RIGHT = "rgb(255, 128, 40)", MIDDLE = "rgb(80, 220, 120)";

const element = (id) => document.getElementById(id);

// ------------------------------------------------------------------------------------- metadata

/** The fields [number, wire type, value] of a protobuf message; bytes are views, not copies. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    for (let value = 0, factor = 1; ; factor *= 128) {
      if (at >= bytes.length) throw new Error("truncated");
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint(), type = tag % 8;
    if (type === 0) yield [Math.floor(tag / 8), type, varint()];
    else {
      const length = type === 2 ? varint() : ({ 1: 8, 5: 4 }[type] ?? NaN);
      if (!(at + length <= bytes.length)) throw new Error("truncated");
      at += length;
      yield [Math.floor(tag / 8), type, bytes.subarray(at - length, at)];
    }
  }
}

/**
 * The metadata of an ONNX file: JSON values by key. ONNX Runtime Web does not return them.
 * In ModelProto, field 14 is the repeated metadata_props, of the fields key = 1 and value = 2.
 */
function readMetadata(bytes) {
  const text = new TextDecoder(), metadata = {};
  let graphs = 0;
  try {
    for (const [number, type, value] of fields(bytes)) {
      if (number === 7 && type === 2) graphs += 1;
      if (number !== 14 || type !== 2) continue;
      const entry = {};
      for (const [key, , part] of fields(value)) entry[key] = text.decode(part);
      metadata[entry[1]] = entry[2];
    }
  } catch {
    graphs = 0;
  }
  if (graphs !== 1) throw new Error("not an ONNX file, or truncated");
  if (!("jaxpose" in metadata))
    throw new Error("it has no metadata of jaxpose; write the file with `jaxpose export`");
  for (const key in metadata) metadata[key] = JSON.parse(metadata[key]);
  if (metadata.task !== "topdown")
    throw new Error(`a network of the task ${metadata.task}; this page runs top-down networks only`);
  return metadata;
}

// ------------------------------------------------------------------------------------- the crop

/** The crop of a box (x, y, w, h): crop x = zoom[0] * x + offset[0], and likewise for y. */
function cropOf(box, metadata) {
  const [height, width] = metadata.input_size, [x, y, w, h] = box;
  const aspect = width / height;
  const sides = [Math.max(w, aspect * h), Math.max(h, w / aspect)].map((side) => side * metadata.box_padding);
  const udp = metadata.codec.targets === "udp"; // lengths between pixel centers, one zoom per axis
  const lengths = udp ? [width - 1, height - 1] : [width, height];
  const zoom = [lengths[0] / sides[0], lengths[udp ? 1 : 0] / sides[udp ? 1 : 0]];
  const offset = [lengths[0] / 2 - zoom[0] * (x + w / 2), lengths[1] / 2 - zoom[1] * (y + h / 2)];
  return { zoom, offset };
}

/**
 * The network's input [3, H, W] from an ImageData: cropped as by OpenCV 5's warpAffine (bilinear,
 * black outside, rounded to whole levels), then normalized. drawImage would average differently.
 */
function networkInput(image, crop, metadata) {
  const [height, width] = metadata.input_size, { data } = image;
  const input = new Float32Array(3 * height * width);
  const level = (x, y, c) =>
    x < 0 || y < 0 || x >= image.width || y >= image.height ? 0 : data[4 * (y * image.width + x) + c];
  for (let row = 0; row < height; row++) {
    const y = (row - crop.offset[1]) / crop.zoom[1], top = Math.floor(y), fy = y - top;
    for (let column = 0; column < width; column++) {
      const x = (column - crop.offset[0]) / crop.zoom[0], left = Math.floor(x), fx = x - left;
      for (let c = 0; c < 3; c++) {
        const upper = level(left, top, c) * (1 - fx) + level(left + 1, top, c) * fx;
        const lower = level(left, top + 1, c) * (1 - fx) + level(left + 1, top + 1, c) * fx;
        const value = Math.round(upper * (1 - fy) + lower * fy);
        input[(c * height + row) * width + column] = (value - metadata.mean[c]) / metadata.std[c];
      }
    }
  }
  return input;
}

// ----------------------------------------------------------------------------------- the decoder

/** Keypoints { x, y, score } in image pixels from heatmaps [K, h, w]. */
function decode(heatmaps, [count, height, width], crop, metadata) {
  const { codec } = metadata, [inputHeight, inputWidth] = metadata.input_size;
  const udp = codec.targets === "udp";
  const refine = { quarter, dark, udp: udpOffset }[codec.decode];
  if (!refine) throw new Error(`this page cannot decode ${codec.decode}`);
  const stride = udp
    ? [(inputWidth - 1) / (width - 1), (inputHeight - 1) / (height - 1)]
    : [inputWidth / width, inputHeight / height];
  const people = [];
  for (let k = 0; k < count; k++) {
    const map = { values: heatmaps.subarray(k * height * width, (k + 1) * height * width), height, width };
    let best = 0;
    for (let i = 1; i < map.values.length; i++) if (map.values[i] > map.values[best]) best = i;
    const score = map.values[best];
    if (score <= 0) best = 0;
    const x = best % width, y = Math.floor(best / width);
    const [dx, dy] = refine(map, x, y, score, codec);
    people.push({
      x: ((x + dx) * stride[0] - crop.offset[0]) / crop.zoom[0],
      y: ((y + dy) * stride[1] - crop.offset[1]) / crop.zoom[1],
      score,
    });
  }
  return people;
}

/** The value at a pixel; the border repeats. */
function at(map, x, y) {
  const clip = (value, last) => Math.min(Math.max(value, 0), last);
  return map.values[clip(y, map.height - 1) * map.width + clip(x, map.width - 1)];
}

/** A quarter pixel toward the higher neighbor. */
function quarter(map, x, y) {
  if (!(x > 1 && x < map.width - 1 && y > 1 && y < map.height - 1)) return [0, 0];
  return [
    0.25 * Math.sign(at(map, x + 1, y) - at(map, x - 1, y)),
    0.25 * Math.sign(at(map, x, y + 1) - at(map, x, y - 1)),
  ];
}

/** The step of DARK, with differences over two pixels. */
function dark(map, x, y, score, codec) {
  if (!(x > 1 && x < map.width - 2 && y > 1 && y < map.height - 2)) return [0, 0];
  const half = (codec.sigma - 0.8) / 0.3 + 1, even = 2 * Math.round(half / 2);
  const whole = Math.abs(half % 1) === 0.5 ? even : Math.round(half); // ties to even, as in Python
  const log = logarithm(smoothed(map, score, Math.max(3, 2 * whole + 1)), 1e-10, Infinity);
  const L = (dx, dy) => at(log, x + dx, y + dy), middle = L(0, 0);
  const gx = 0.5 * (L(1, 0) - L(-1, 0)), gy = 0.5 * (L(0, 1) - L(0, -1));
  const hxx = 0.25 * (L(2, 0) - 2 * middle + L(-2, 0)), hyy = 0.25 * (L(0, 2) - 2 * middle + L(0, -2));
  const hxy = 0.25 * (L(1, 1) - L(-1, 1) - L(1, -1) + L(-1, -1));
  const determinant = hxx * hyy - hxy ** 2;
  if (!(determinant > 0 && hxx < 0)) return [0, 0];
  return [(hxy * gy - hyy * gx) / determinant, (hxy * gx - hxx * gy) / determinant].map((step) =>
    Math.min(Math.max(step, -2), 2)
  );
}

/** The step of UDP, with differences over one pixel. */
function udpOffset(map, x, y, score, codec) {
  const log = logarithm(smoothed(map, score, codec.kernel), 0.001, 50);
  const L = (dx, dy) => at(log, x + dx, y + dy), middle = L(0, 0), epsilon = 2 ** -23;
  const gx = 0.5 * (L(1, 0) - L(-1, 0)), gy = 0.5 * (L(0, 1) - L(0, -1));
  const hxx = L(1, 0) - 2 * middle + L(-1, 0) + epsilon, hyy = L(0, 1) - 2 * middle + L(0, -1) + epsilon;
  const hxy = 0.5 * (L(1, 1) - L(1, 0) - L(0, 1) + 2 * middle - L(-1, 0) - L(0, -1) + L(-1, -1));
  const determinant = hxx * hyy - hxy ** 2;
  if (!(score > 0 && determinant !== 0)) return [0, 0];
  return [(hxy * gy - hyy * gx) / determinant, (hxy * gx - hxx * gy) / determinant];
}

/** A heatmap after a Gaussian blur with zeros outside, scaled to its former maximum. */
function smoothed(map, score, kernel) {
  const { values, height, width } = map, reach = (kernel - 1) / 2, sigma = 0.3 * (reach - 1) + 0.8;
  const taps = Array.from({ length: kernel }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)));
  const sum = taps.reduce((a, b) => a + b);
  const blur = (source, step, length, positionOf) =>
    source.map((_, i) => {
      let total = 0;
      for (let d = -reach; d <= reach; d++) {
        const position = positionOf(i) + d;
        if (position >= 0 && position < length) total += (taps[d + reach] / sum) * source[i + d * step];
      }
      return total;
    });
  const rows = blur(Float64Array.from(values), 1, width, (i) => i % width);
  const both = blur(rows, width, height, (i) => Math.floor(i / width));
  const top = both.reduce((a, b) => Math.max(a, b));
  return { values: both.map((value) => value * (score / (top > 0 ? top : 1))), height, width };
}

function logarithm(map, low, high) {
  return { ...map, values: map.values.map((value) => Math.log(Math.min(Math.max(value, low), high))) };
}

// -------------------------------------------------------------------------------------- the page

const chosen = { network: null, image: null };
const turns = { network: 0, image: 0 }; // how often each was chosen

/** Loads ONNX Runtime Web once. One thread: more would need headers that many servers do not send. */
let runtime = null;
function loadRuntime() {
  runtime ??= new Promise((resolve, reject) => {
    const folder = new URLSearchParams(location.search).get("ort");
    const base = folder ? new URL(folder.replace(/\/*$/, "/"), location.href) : new URL(CDN);
    if (folder && base.origin !== location.origin) throw new Error("ort must be a folder of this server");
    const script = document.createElement("script");
    script.src = new URL("ort.wasm.min.js", base);
    if (!folder) Object.assign(script, { crossOrigin: "anonymous", integrity: DIGEST });
    script.onload = () => {
      ort.env.wasm.wasmPaths = base.href;
      ort.env.wasm.numThreads = 1;
      ort.env.logLevel = "error";
      resolve(ort);
    };
    script.onerror = () => {
      runtime = null;
      reject(new Error(`ONNX Runtime Web cannot be loaded from ${base}`));
    };
    document.head.append(script);
  });
  return runtime;
}

async function openNetwork(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const metadata = readMetadata(bytes);
  const { InferenceSession } = await loadRuntime();
  return { metadata, session: await InferenceSession.create(bytes, { executionProviders: ["wasm"] }) };
}

async function openImage(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("the browser cannot read this image");
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS)
    throw new Error(`${width} x ${height} pixels are too many; choose an image of at most 16 megapixels`);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { canvas, data: context.getImageData(0, 0, width, height) };
}

async function predict({ session, metadata }, image) {
  const [height, width] = metadata.input_size;
  const crop = cropOf([0, 0, image.width, image.height], metadata);
  const input = networkInput(image, crop, metadata);
  const fixed = session.inputMetadata[0].shape[0]; // a number in a file for one batch size
  const batch = typeof fixed === "number" ? fixed : 1;
  const images = new Float32Array(batch * input.length);
  images.set(input);
  const feeds = { [session.inputNames[0]]: new ort.Tensor("float32", images, [batch, 3, height, width]) };
  const start = performance.now();
  const outputs = await session.run(feeds);
  const milliseconds = performance.now() - start;
  const heatmaps = outputs[session.outputNames[0]];
  return { keypoints: decode(heatmaps.data, heatmaps.dims.slice(1), crop, metadata), milliseconds };
}

function colorOf(names) {
  const left = names.some((name) => /left/i.test(name)), right = names.some((name) => /right/i.test(name));
  return left === right ? MIDDLE : left ? LEFT : RIGHT;
}

function draw(picture, keypoints, { joints, limbs }) {
  const canvas = element("drawing"), context = canvas.getContext("2d");
  // Small images are enlarged, so that lines are smooth; large ones are reduced.
  const scale = 1200 / Math.max(picture.width, picture.height);
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const shown = keypoints.map(({ score }) => score >= SHOWN);
  const place = ({ x, y }) => [(x + 0.5) * scale, (y + 0.5) * scale];
  const places = keypoints.filter((_, k) => shown[k]).map(place);
  const extent = Math.max(0, ...[0, 1].map((axis) => {
    const values = places.map((point) => point[axis]);
    return Math.max(...values) - Math.min(...values);
  }));
  const thick = Math.min(Math.max(extent / 110, 3), 10);
  context.lineCap = "round";
  for (const outline of [true, false]) {
    for (const [a, b] of limbs) {
      if (!shown[a] || !shown[b]) continue;
      context.beginPath();
      context.moveTo(...place(keypoints[a]));
      context.lineTo(...place(keypoints[b]));
      context.lineWidth = thick + (outline ? 4 : 0);
      context.strokeStyle = outline ? "rgb(20, 20, 20)" : colorOf([joints[a], joints[b]]);
      context.stroke();
    }
  }
  keypoints.forEach((keypoint, k) => {
    if (!shown[k]) return;
    context.beginPath();
    context.arc(...place(keypoint), thick, 0, 2 * Math.PI);
    context.fillStyle = colorOf([joints[k]]);
    context.fill();
    context.lineWidth = 2;
    context.strokeStyle = "rgb(20, 20, 20)";
    context.stroke();
  });
}

function list(keypoints, { joints }) {
  const rows = keypoints.map(({ x, y, score }, k) => {
    const row = document.createElement("tr");
    row.className = score >= SHOWN ? "" : "weak";
    row.dataset.x = x;
    row.dataset.y = y;
    row.dataset.score = score;
    for (const text of [joints[k], x.toFixed(1), y.toFixed(1), score.toFixed(2)])
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    return row;
  });
  element("keypoints").replaceChildren(...rows);
}

function report(text, error = false) {
  element("status").textContent = text.split("\n")[0];
  element("status").className = error ? "error" : "";
}

async function update() {
  element("result").hidden = true;
  const { network, image } = chosen;
  if (!network || !image) {
    const missing = network ? "an image" : image ? "a network" : "a network and an image";
    return report(`Waiting for ${missing}.`);
  }
  report("Running the network.");
  try {
    const { keypoints, milliseconds } = await predict(network, image.data);
    if (chosen.network !== network || chosen.image !== image) return;
    draw(image.canvas, keypoints, network.metadata.skeleton);
    list(keypoints, network.metadata.skeleton);
    element("result").hidden = false;
    report(`${network.metadata.model}: ${milliseconds.toFixed(0)} ms on one thread.`);
  } catch (error) {
    report(`${network.name}: ${error.message ?? error}`, true);
  }
}

async function choose(kind, name, getBlob) {
  const open = { network: openNetwork, image: openImage }[kind];
  const turn = ++turns[kind];
  chosen[kind] = null;
  element("result").hidden = true;
  element(`${kind}-name`).textContent = name;
  report(`Reading ${name}.`);
  let file = null, problem = null;
  try {
    file = await open(await getBlob());
  } catch (error) {
    problem = `${name}: ${error.message ?? error}`;
  }
  if (turn !== turns[kind]) return; // another file was chosen meanwhile
  if (problem) return report(problem, true);
  chosen[kind] = { name, ...file };
  await update();
}

async function download(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`cannot be loaded (${response.status} ${response.statusText})`);
  return response.blob();
}

async function start() {
  for (const kind of ["network", "image"])
    element(kind).addEventListener("change", ({ target: { files } }) => {
      if (files.length) choose(kind, files[0].name, async () => files[0]);
    });
  const query = new URLSearchParams(location.search);
  for (const kind of ["network", "image"]) {
    const url = query.get(kind);
    if (url) await choose(kind, url.split("/").pop(), () => download(url));
    if (element("status").className === "error") return;
  }
}

start();
