// A top-down pose network in the browser: ONNX file + image -> keypoints.
//
// The steps and formulas are those of jaxpose.geometry and jaxpose.codecs, without the flip test;
// docs/deploy.md explains them. Points are (x, y) in pixels, (0, 0) is the center of the first pixel.
"use strict";

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
  // In units of 200 pixels and 32 bits, like jaxpose.geometry, to be the same to the bit.
  const sides = [Math.max(w, aspect * h), Math.max(h, w / aspect)].map(
    (side) => 200 * Math.fround((side / 200) * metadata.box_padding)
  );
  const center = [Math.fround(x + w / 2), Math.fround(y + h / 2)];
  const udp = metadata.codec.targets === "udp"; // lengths between pixel centers, one zoom per axis
  const lengths = udp ? [width - 1, height - 1] : [width, height];
  const zoom = [lengths[0] / sides[0], lengths[udp ? 1 : 0] / sides[udp ? 1 : 0]];
  const offset = [lengths[0] / 2 - zoom[0] * center[0], lengths[1] / 2 - zoom[1] * center[1]];
  return { zoom, offset };
}

/**
 * The network's input [3, H, W] from an ImageData: cropped as by OpenCV 5's warpAffine (bilinear,
 * black outside, rounded to whole levels), then normalized. drawImage would give other pixels.
 *
 * Like OpenCV, it computes in 32 bits and rounds ties to even: the crop is the same to the bit, and
 * the network's outputs are as near as they can be.
 */
function networkInput(image, crop, metadata) {
  const [height, width] = metadata.input_size, { data } = image, float = Math.fround;
  const input = new Float32Array(3 * height * width);
  const level = (x, y, c) =>
    x < 0 || y < 0 || x >= image.width || y >= image.height ? 0 : data[4 * (y * image.width + x) + c];
  const between = (first, second, part) => float(first + float(part * float(second - first)));
  const positions = (axis, count) => {
    const step = float(1 / crop.zoom[axis]), start = float(-crop.offset[axis] / crop.zoom[axis]);
    return Array.from({ length: count }, (_, i) => float(float(i * step) + start));
  };
  const xs = positions(0, width), ys = positions(1, height);
  for (let row = 0; row < height; row++) {
    const top = Math.floor(ys[row]), fy = float(ys[row] - top);
    for (let column = 0; column < width; column++) {
      const left = Math.floor(xs[column]), fx = float(xs[column] - left);
      for (let c = 0; c < 3; c++) {
        const upper = between(level(left, top, c), level(left + 1, top, c), fx);
        const lower = between(level(left, top + 1, c), level(left + 1, top + 1, c), fx);
        const value = roundToEven(between(upper, lower, fy));
        input[(c * height + row) * width + column] = (value - metadata.mean[c]) / metadata.std[c];
      }
    }
  }
  return input;
}

/** The nearest integer; of two, the even one, as in numpy. */
function roundToEven(value) {
  const nearest = Math.round(value);
  return Math.abs(value % 1) === 0.5 && nearest % 2 ? nearest - 1 : nearest;
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
  const kernel = Math.max(3, 2 * roundToEven((codec.sigma - 0.8) / 0.3 + 1) + 1);
  const log = logarithm(smoothed(map, score, kernel), 1e-10, Infinity);
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

// ------------------------------------------------------------------------------------ the network

/** Keypoints of the person in a box (x, y, w, h) of an ImageData, and the time of the network alone. */
async function predict({ session, metadata }, image, box = [0, 0, image.width, image.height]) {
  const [height, width] = metadata.input_size;
  const crop = cropOf(box, metadata);
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
