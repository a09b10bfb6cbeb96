// The page: reads the two files, runs the network with pose.js, draws and lists the keypoints.
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
