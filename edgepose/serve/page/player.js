// A video, played beside its analysis: never further than what has been looked at.

export class Player {
  known = 0; // seconds of it looked at
  complete = false;
  #elements; #video; #frames = []; #onFrame; #held = false; #address; #tick = 0; #begun = 0;

  // `elements`: play, seek, clock; `onFrame(video, frame or null)` for each one shown.
  constructor(elements, file, onFrame) {
    this.#elements = elements;
    this.#onFrame = onFrame;
    this.#address = URL.createObjectURL(file);
    this.#video = Object.assign(document.createElement("video"), {
      src: this.#address, muted: true, playsInline: true, preload: "auto",
    });
    this.#video.onplay = this.#video.onpause = () => this.#label();
    this.#video.onseeked = () => this.#show(this.#video.currentTime);
    elements.play.onclick = () => this.toggle();
    elements.seek.oninput = () => {
      this.#video.currentTime = Number(elements.seek.value) * this.duration;
    };
    this.#label();
  }

  // Resolves when the first picture can be drawn, rejects where the browser cannot decode it.
  ready() {
    return new Promise((resolve, reject) => {
      this.#video.onerror = () => reject(this.#video.error);
      // Of a film whose pictures it cannot decode, a browser plays the sound.
      const loaded = () => (this.#video.videoWidth ? resolve() : reject());
      if (this.#video.readyState >= 2) loaded();
      this.#video.onloadeddata = loaded;
    });
  }

  get duration() {
    return Number.isFinite(this.#video.duration) ? this.#video.duration : Math.max(this.known, 0.01);
  }

  begin() {
    this.#begun = performance.now();
    this.#watch();
    this.play();
  }

  play() {
    if (this.#video.ended) this.#video.currentTime = 0;
    this.#video.play().catch(() => this.#label());
  }

  pause() {
    this.#held = false;
    this.#video.pause();
    this.#label();
  }

  toggle() {
    if (this.#video.paused && !this.#held) this.play();
    else this.pause();
  }

  add(frame) {
    this.#frames.push(frame);
    this.known = Math.max(this.known, frame.time_s);
    // As slow as the analysis, rather than by fits and starts.
    const pace = (1000 * this.known) / Math.max(performance.now() - this.#begun, 1);
    this.#video.playbackRate = Math.min(Math.max(pace, 0.1), 1);
    this.#release();
  }

  finish() {
    this.complete = true;
    this.known = this.duration;
    this.#video.playbackRate = 1;
    this.#release();
  }

  close() {
    this.complete = true;
    cancelAnimationFrame(this.#tick);
    this.#video.onplay = this.#video.onpause = this.#video.onseeked = null;
    this.#video.pause();
    this.#video.removeAttribute("src");
    this.#video.load(); // only this lets go of the film
    URL.revokeObjectURL(this.#address);
  }

  #watch() {
    const again = () => this.#watch();
    const shown = (_, picture) => {
      this.#show(picture.mediaTime);
      again();
    };
    if (this.#video.requestVideoFrameCallback) this.#video.requestVideoFrameCallback(shown);
    else this.#tick = requestAnimationFrame(() => shown(0, { mediaTime: this.#video.currentTime }));
  }

  #show(time) {
    const ahead = !this.complete && time > this.known + 0.001;
    if (ahead && !this.#video.paused) {
      this.#held = true;
      this.#video.pause();
    }
    this.#onFrame(this.#video, ahead ? null : this.#at(time));
    this.#progress();
  }

  // A little ahead, so that it does not stop at every frame.
  #release() {
    const enough = this.complete || this.known > this.#video.currentTime + 0.3;
    if (this.#held && enough) {
      this.#held = false;
      this.play();
    } else if (this.#video.paused && this.#video.readyState >= 2) {
      this.#show(this.#video.currentTime);
    }
    this.#progress();
  }

  // The last frame that is not after `time`, by bisection.
  #at(time) {
    let [low, high] = [0, this.#frames.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#frames[middle].time_s <= time + 0.001) low = middle + 1;
      else high = middle;
    }
    return this.#frames[Math.max(low - 1, 0)] ?? null;
  }

  #progress() {
    const { seek, clock } = this.#elements;
    const played = this.#video.currentTime / this.duration;
    if (document.activeElement !== seek || !this.#video.paused) seek.value = played;
    seek.style.setProperty("--played", `${100 * Math.min(played, 1)}%`);
    seek.style.setProperty("--known", `${100 * Math.min(this.known / this.duration, 1)}%`);
    seek.setAttribute("aria-valuetext", minutes(this.#video.currentTime));
    clock.textContent = `${minutes(this.#video.currentTime)} / ${minutes(this.duration)}`;
  }

  #label() {
    const stopped = this.#video.paused && !this.#held;
    this.#elements.play.setAttribute("aria-label", stopped ? "Play" : "Pause");
  }
}

function minutes(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
