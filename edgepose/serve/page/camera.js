// The camera's frames, one after another: the next is taken when the answer to the last is there.

import { CameraLink, Problem } from "./server.js";

const LONGEST_SIDE = 960; // the nets see less than that
const QUALITY = 0.85;

const REASONS = {
  NotAllowedError: ["The browser was not allowed to use the camera.", "Allow it beside the address, then try again."],
  NotFoundError: ["There is no camera.", "Connect one, or open a picture or video."],
  NotReadableError: ["The camera cannot be used.", "Another program may be using it."],
  OverconstrainedError: ["This camera is not there any more.", "Choose another one."],
};

// Calls `onFrame(canvas, frame, waitedMs)` until `signal` aborts; `onOpen(track)` first.
export async function runCamera(deviceId, { signal, onOpen, onFrame }) {
  const stream = await openStream(deviceId);
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  let link = null;
  const end = () => {
    stream.getTracks().forEach((track) => track.stop());
    link?.close();
  };
  signal.addEventListener("abort", end);
  try {
    if (signal.aborted) return; // while the browser asked for permission
    const track = stream.getVideoTracks()[0];
    video.srcObject = stream;
    await video.play();
    link = await CameraLink.open();
    if (signal.aborted) return;
    onOpen(track);
    while (!signal.aborted) {
      await nextFrame(video, track);
      const begun = performance.now();
      const canvas = grab(video);
      const jpeg = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
      if (signal.aborted) break;
      const frame = await link.look(jpeg);
      if (!signal.aborted) onFrame(canvas, frame, performance.now() - begun);
    }
  } finally {
    end();
  }
}

async function openStream(deviceId) {
  if (!navigator.mediaDevices)
    throw new Problem(
      "The browser gives no camera to this address, which is not encrypted.",
      "Open the page as http://127.0.0.1 on the machine itself, or through `ssh -L`.",
    );
  const wanted = { width: { ideal: 1280 }, height: { ideal: 720 } };
  if (deviceId) wanted.deviceId = { exact: deviceId };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    throw new Problem(...(REASONS[error.name] ?? [`The camera does not start: ${error.message}`]));
  }
}

// Resolves with the next frame; rejects when the camera is pulled out.
function nextFrame(video, track) {
  return new Promise((resolve, reject) => {
    track.onended = () => reject(new Problem(...REASONS.OverconstrainedError));
    if (track.readyState === "ended") track.onended();
    else if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}

function grab(video) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}
