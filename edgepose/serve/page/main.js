// The page: one source at a time, its frames in the view, its times at the side.

import { runCamera } from "./camera.js";
import { Player } from "./player.js";
import { Problem, fetchAbout, lookAt } from "./server.js";
import { Timings } from "./timings.js";
import { View, counted } from "./view.js";

const VIDEO_NAME = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|ogv|ts|3gp)$/i;
const $ = (id) => document.getElementById(id);

let about, view, timings;
let source = new AbortController(); // aborted when another one begins

async function start() {
  about = await fetchAbout();
  view = new View(about, $("frame"), $("picture"), $("overlay"));
  timings = new Timings({
    bar: $("bar"), stages: $("stages").tBodies[0],
    people: $("people"), frameMs: $("frame-ms"), fps: $("fps"),
  });
  timings.clear();
  showNets();
  listen();
}

function showNets() {
  const nets = [["pose", about.pose], ["detector", about.detector]];
  for (const [role, net] of nets) {
    if (!net) continue;
    const title = document.createElement("dt");
    const text = document.createElement("dd");
    const small = document.createElement("small");
    title.textContent = role;
    const size = net.width ? `, ${net.width} × ${net.height}` : "";
    small.textContent = `${net.engine}, ${net.precision}${size}${net.proven ? "" : ", not proven"}`;
    text.append(net.name, small);
    const pair = document.createElement("div");
    pair.append(title, text);
    $("nets").append(pair);
  }
  const untrained = nets.filter(([, net]) => net && !net.trained).map(([, net]) => net.name);
  if (untrained.length) {
    $("untrained").textContent = `${untrained.join(" and ")}: random weights, so what is drawn means nothing.`;
    $("untrained").hidden = false;
  }
  document.title = `${about.pose.name} · edgepose`;
}

function listen() {
  $("camera").onclick = () => begin((signal) => useCamera(signal));
  $("which").onchange = () => begin((signal) => useCamera(signal, $("which").value));
  $("open").onclick = () => $("file").click();
  $("file").onchange = () => {
    if ($("file").files.length) openFile($("file").files[0]);
    $("file").value = "";
  };
  $("close").onclick = () => begin(null);
  $("error-close").onclick = () => ($("error").hidden = true);
  for (const name of ["boxes", "labels"])
    $(`show-${name}`).onchange = (event) => {
      view[name] = event.target.checked;
      view.redraw();
    };
  $("mirror").onchange = (event) => {
    view.mirrored = event.target.checked;
    view.redraw();
  };
  window.addEventListener("paste", (event) => openFile(event.clipboardData.files[0]));
  window.addEventListener("keydown", (event) => {
    const idle = event.target === document.body;
    if (event.key === "Escape" && !$("frame").hidden) begin(null);
    else if (event.key === " " && idle && !$("player").hidden) {
      event.preventDefault();
      $("play").click();
    }
  });
  listenToDrops();
}

function listenToDrops() {
  let depth = 0; // a drag enters and leaves every element on its way
  const mark = () => document.body.classList.toggle("dropping", depth > 0);
  window.addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth += 1;
    mark();
  });
  window.addEventListener("dragleave", () => {
    depth = Math.max(depth - 1, 0);
    mark();
  });
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark();
    openFile(event.dataTransfer.files[0]);
  });
}

function openFile(file) {
  if (!file) return;
  const isVideo = file.type.startsWith("video/") || (!file.type && VIDEO_NAME.test(file.name));
  begin((signal) => (isVideo ? useVideo(file, signal) : usePicture(file, signal)));
}

// Ends the source that is on, then runs `use(signal)` until it is done or replaced.
async function begin(use) {
  source.abort();
  source = new AbortController();
  const { signal } = source;
  view.clear();
  view.mirrored = false;
  timings.clear();
  busy(null);
  say("");
  $("error").hidden = true;
  $("empty").hidden = Boolean(use);
  for (const id of ["player", "mirror-label", "which-label"]) $(id).hidden = true;
  document.body.dataset.state = use ? "working" : "idle";
  if (!use) return;
  try {
    await use(signal);
    if (!signal.aborted) document.body.dataset.state = "done";
  } catch (error) {
    if (signal.aborted) return;
    await begin(null);
    document.body.dataset.state = "failed";
    showError(error);
  }
}

async function usePicture(file, signal) {
  checkSize(file);
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    const drawable = await image.decode().then(() => true, () => false);
    if (drawable && !signal.aborted) {
      view.show(image, image.naturalWidth, image.naturalHeight, null);
      busy("looking …");
    }
    let seen = false;
    for await (const frame of lookAt(file, signal)) {
      if (signal.aborted) return;
      if (frame.done || seen) continue; // of a moving GIF a canvas shows the first frame
      seen = true;
      if (!drawable)
        throw new Problem("This browser cannot show this kind of picture.", "Use a JPEG or PNG file.");
      view.show(image, frame.width, frame.height, frame.people);
      timings.add(frame.stages_ms, { steady: false });
      timings.people(frame.people.length);
      say(`${file.name}: ${counted(frame.people.length)}.`);
    }
    busy(null);
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

async function useVideo(file, signal) {
  checkSize(file);
  const controls = { play: $("play"), seek: $("seek"), clock: $("clock") };
  const player = new Player(controls, file, (video, frame) => {
    if (signal.aborted) return;
    view.show(video, video.videoWidth, video.videoHeight, frame?.people ?? null);
    if (frame) timings.people(frame.people.length);
  });
  signal.addEventListener("abort", () => player.close());
  const playable = player.ready().then(() => null, (error) => error ?? true);
  let begun = false;
  for await (const frame of lookAt(file, signal)) {
    const unplayable = !begun && (await playable);
    if (signal.aborted) return;
    if (!begun) {
      if (unplayable)
        throw new Problem("This browser cannot play this video.", "Use `edgepose run … --save out.mp4` and open that.");
      $("player").hidden = false;
      player.begin();
      begun = true;
    }
    if (frame.done) {
      player.finish();
      const notes = frame.notes.map((note) => ` (${note})`).join("");
      say(`${file.name}: ${frame.frames} frames${notes}.`);
    } else {
      player.add(frame);
      timings.add(frame.stages_ms);
      busy(`looking … ${Math.min(Math.round((100 * player.known) / player.duration), 99)} %`);
    }
  }
  busy(null);
}

async function useCamera(signal, deviceId) {
  const onOpen = (track) => {
    $("mirror-label").hidden = false;
    view.mirrored = $("mirror").checked;
    listCameras(track);
    say(`${track.label || "camera"}, looked at on this machine.`);
  };
  const onFrame = (canvas, frame, waitedMs) => {
    view.show(canvas, frame.width, frame.height, frame.people);
    const server = Object.values(frame.stages_ms).reduce((sum, ms) => sum + ms, 0);
    timings.add({ ...frame.stages_ms, transfer: Math.max(waitedMs - server, 0) });
    timings.people(frame.people.length);
    document.body.dataset.frames = Number(document.body.dataset.frames ?? 0) + 1;
  };
  await runCamera(deviceId, { signal, onOpen, onFrame });
}

async function listCameras(track) {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices.filter((device) => device.kind === "videoinput");
  const used = track.getSettings().deviceId;
  const options = cameras.map(({ deviceId, label }, index) =>
    new Option(label || `camera ${index + 1}`, deviceId, false, deviceId === used));
  $("which").replaceChildren(...options);
  $("which-label").hidden = cameras.length < 2;
}

function checkSize(file) {
  if (file.size > about.max_file_bytes) {
    const limit = (about.max_file_bytes / 2 ** 30).toFixed(1).replace(".0", "");
    throw new Problem(`${file.name} is larger than ${limit} GiB.`, "Use a smaller one, or `edgepose run`.");
  }
}

function busy(text) {
  $("busy").hidden = text === null;
  $("busy-text").textContent = text ?? "";
}

const say = (text) => ($("status").textContent = text);

function showError(error) {
  if (!(error instanceof Problem)) console.error(error);
  $("error-text").textContent = error.message;
  $("error-hint").textContent = error.hint ?? "";
  $("error").hidden = false;
}

start().catch(showError);
