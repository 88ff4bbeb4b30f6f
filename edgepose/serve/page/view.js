// The picture and the skeletons above it, on two canvases of the screen's own resolution.

import { drawPeople } from "./skeleton.js";

const MOST_ENLARGED = 2.5;

export class View {
  mirrored = false;
  boxes = false;
  labels = true;
  #about; #frame; #picture; #overlay; #shown = null;

  constructor(about, frame, picture, overlay) {
    this.#about = about;
    this.#frame = frame;
    this.#picture = picture;
    this.#overlay = overlay;
    new ResizeObserver(() => this.redraw()).observe(frame);
  }

  // `source`: whatever a canvas can draw, of `width` by `height` pixels; `people` may be null.
  show(source, width, height, people) {
    this.#shown = { source, width, height, people };
    this.#frame.hidden = false;
    this.#frame.style.setProperty("--ratio", width / height);
    this.#frame.style.setProperty("--most", `${width * MOST_ENLARGED}px`);
    this.redraw();
  }

  clear() {
    this.#shown = null;
    this.#frame.hidden = true;
  }

  redraw() {
    const shown = this.#shown;
    const wide = this.#frame.clientWidth;
    if (!shown || !wide) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const scale = (wide * ratio) / shown.width;
    const [picture, overlay] = [this.#picture, this.#overlay].map((canvas) => {
      const size = [Math.round(wide * ratio), Math.round(shown.height * scale)];
      if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
      return canvas.getContext("2d");
    });
    picture.setTransform(scale, 0, 0, scale, 0, 0);
    picture.imageSmoothingQuality = "high";
    if (this.mirrored) picture.transform(-1, 0, 0, 1, shown.width, 0);
    picture.drawImage(shown.source, 0, 0, shown.width, shown.height);
    overlay.setTransform(scale, 0, 0, scale, 0, 0);
    overlay.clearRect(0, 0, shown.width, shown.height);
    const place = ([x, y]) => [this.mirrored ? shown.width - x : x, y];
    const people = shown.people ?? [];
    const { boxes, labels } = this;
    drawPeople(overlay, people, this.#about, { pixel: ratio / scale, place, boxes, labels });
    this.#overlay.setAttribute("aria-label", counted(people.length));
  }
}

export const counted = (count) => (count === 1 ? "1 person" : `${count} people`);
