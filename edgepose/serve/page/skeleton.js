// Skeletons on a canvas, in the manner of edgepose/pose/draw.py.

const RIM = "rgb(24, 28, 40)";
const RIM_OPACITY = 0.55;
const LEAST_OPACITY = 0.4; // of a point that is just sure enough to be drawn
const SURE = 0.4; // this much above the threshold a point is drawn fully
const DETAILS = 0.3; // how wide fingers and lips are beside limbs

// `context` has a pixel of the picture as its unit, `pixel` of them make one of the screen.
// `place` maps [x, y, score]: a mirrored picture mirrors its points, but not its labels.
export function drawPeople(context, people, about, { pixel, place, boxes, labels }) {
  const nearerLast = people.map((person) => seen(person, about, place)).filter(Boolean);
  nearerLast.sort((one, other) => one.area - other.area);
  for (const person of nearerLast) {
    if (boxes) drawBox(context, person, about, pixel);
    drawStrokes(context, person, about);
  }
  if (labels) for (const person of nearerLast) drawLabel(context, person, pixel);
  context.globalAlpha = 1;
}

// Where a person's points are and how opaque; null where none is sure enough.
function seen(person, about, place) {
  const { threshold } = about;
  const points = person.points.map((point) => {
    const [x, y] = place(point);
    const score = point[2];
    const shown = point[0] !== null && score !== null && score > 0 && score >= threshold;
    const sure = Math.min(Math.max((score - threshold) / SURE, 0), 1);
    return { x, y, alpha: shown ? LEAST_OPACITY + (1 - LEAST_OPACITY) * sure : 0 };
  });
  const shown = points.filter((point) => point.alpha);
  if (!shown.length) return null;
  const [x1, y1, x2, y2] = person.box;
  const area = (x2 - x1) * (y2 - y1);
  const spread = (axis) => Math.max(...shown.map((p) => p[axis])) - Math.min(...shown.map((p) => p[axis]));
  const extent = Math.max(Math.hypot(spread("x"), spread("y")), 0.7 * Math.sqrt(area));
  const width = Math.min(Math.max(0.017 * extent, 1.6), 12);
  const corners = [place([x1, y1]), place([x2, y2])];
  return { id: person.id, points, shown, area, width, corners };
}

// All rims first, so that the limbs of one body join; then limbs, then joints.
function drawStrokes(context, { points, width }, about) {
  const scales = points.map((_, index) => (index < about.details_from ? 1 : DETAILS) * width);
  const rim = (scale) => Math.max(0.8, 0.25 * scale);
  const widest = points.map(() => 0);
  const limbs = [];
  for (const [start, end, side] of about.limbs) {
    const [from, to] = [points[start], points[end]];
    const alpha = Math.min(from.alpha, to.alpha);
    if (!alpha) continue;
    const length = Math.hypot(to.x - from.x, to.y - from.y);
    const most = Math.min(scales[start], scales[end]);
    const thick = Math.max(Math.min(Math.max(0.22 * length, 0.4 * most), most), 1);
    for (const index of [start, end]) widest[index] = Math.max(widest[index], thick);
    limbs.push({ from, to, thick, rim: rim(most), alpha, color: about.colours[side] });
  }
  const joints = points.flatMap((point, index) => {
    if (!point.alpha) return [];
    const most = widest[index] ? 0.62 * widest[index] : Infinity;
    const radius = Math.max(Math.min(0.55 * scales[index], most), 0.6);
    const color = `color-mix(in srgb, ${about.colours[about.sides[index]]} 35%, white)`;
    return [{ ...point, radius, rim: rim(scales[index]), color }];
  });
  context.lineCap = "round";
  for (const limb of limbs) line(context, limb, limb.thick + 2 * limb.rim, RIM, RIM_OPACITY);
  for (const joint of joints) dot(context, joint, joint.radius + joint.rim, RIM, RIM_OPACITY);
  for (const limb of limbs) line(context, limb, limb.thick, limb.color, 1);
  for (const joint of joints) dot(context, joint, joint.radius, joint.color, 1);
}

function line(context, { from, to, alpha }, width, color, opacity) {
  context.globalAlpha = alpha * opacity;
  context.strokeStyle = color;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x, to.y);
  context.stroke();
}

function dot(context, { x, y, alpha }, radius, color, opacity) {
  context.globalAlpha = alpha * opacity;
  context.fillStyle = color;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function drawBox(context, { corners, width }, about, pixel) {
  const [[x1, y1], [x2, y2]] = corners;
  const left = Math.min(x1, x2);
  context.globalAlpha = 0.6;
  context.strokeStyle = about.colours.centre;
  context.lineWidth = Math.max(pixel, 0.4 * width);
  context.beginPath();
  context.roundRect(left, y1, Math.abs(x2 - x1), y2 - y1, 5 * pixel);
  context.stroke();
}

// The person's number on a pill above the head, of one size on every screen.
function drawLabel(context, { id, shown, corners, width }, pixel) {
  if (id === null) return;
  const top = shown.reduce((best, point) => (point.y < best.y ? point : best));
  const size = 13 * pixel;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(String(id)).width + size;
  const y = Math.max(Math.min(top.y, corners[0][1] + size) - size - 2 * width, size);
  context.globalAlpha = 0.8;
  context.fillStyle = RIM;
  context.beginPath();
  context.roundRect(top.x - wide / 2, y - 0.75 * size, wide, 1.5 * size, 0.75 * size);
  context.fill();
  context.globalAlpha = 1;
  context.fillStyle = "#fff";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(String(id), top.x, y + 0.06 * size);
}
