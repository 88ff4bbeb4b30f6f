// How long each stage takes, averaged over about a second.

const LABELS = {
  read: "read the picture",
  preprocess: "preprocess",
  detector: "detector",
  network: "pose net",
  decode: "decode",
  track: "track",
  transfer: "browser, waiting",
};
const WINDOW_MS = 1500;

export class Timings {
  #elements; #frames = []; #rows = new Map();

  constructor(elements) {
    this.#elements = elements;
    for (const [stage, label] of Object.entries(LABELS)) {
      const part = document.createElement("i");
      part.style.cssText = `background: var(--${stage}); flex: 1 1 0`;
      elements.bar.append(part);
      const row = elements.stages.insertRow();
      const key = document.createElement("i");
      key.style.background = `var(--${stage})`;
      row.insertCell().append(key, label);
      row.dataset.stage = stage;
      part.hidden = row.hidden = true;
      this.#rows.set(stage, { part, row, ms: row.insertCell(), share: row.insertCell() });
    }
  }

  clear() {
    this.#frames = [];
    for (const { part, row } of this.#rows.values()) {
      part.hidden = row.hidden = true;
    }
    for (const name of ["people", "frameMs", "fps"]) this.#elements[name].textContent = "–";
  }

  people(count) {
    this.#elements.people.textContent = count;
  }

  // The stages of one frame; `steady` is false for a single picture, which has no rate.
  add(stages, { steady = true } = {}) {
    const now = performance.now();
    this.#frames.push({ now, stages });
    while (this.#frames.length > 2 && now - this.#frames[0].now > WINDOW_MS) this.#frames.shift();
    const frames = this.#frames;
    const mean = {};
    for (const stage of this.#rows.keys()) {
      const sum = frames.reduce((total, frame) => total + (frame.stages[stage] ?? 0), 0);
      mean[stage] = sum / frames.length;
    }
    const total = Object.values(mean).reduce((sum, ms) => sum + ms, 0);
    for (const [stage, { part, row, ms, share }] of this.#rows) {
      part.hidden = row.hidden = !mean[stage];
      part.style.flexGrow = (100 * mean[stage]) / total;
      ms.textContent = mean[stage].toFixed(mean[stage] < 10 ? 2 : 1);
      share.textContent = `${Math.round((100 * mean[stage]) / total)} %`;
    }
    this.#elements.frameMs.textContent = total.toFixed(total < 100 ? 1 : 0);
    const span = now - frames[0].now;
    if (steady && span > 300)
      this.#elements.fps.textContent = (((frames.length - 1) * 1000) / span).toFixed(1);
  }
}
