// What the bands of a lane lie on: its ground, the memory from bottom to top, the times from left to right.

import { GIB, clock } from "./dom.js";

export const LANE_PX = 132;
const STEPS_S = [30, 60, 120, 300, 600, 900];
const STEPS_GIB = [0.5, 1, 2, 4, 5, 10, 20, 40, 80, 160];
const FEWEST_PX = 64; // between two times

export function layPaper(painter) {
  const { pen, width } = painter;
  pen.fillStyle = painter.lane;
  pen.fillRect(0, 0, width, LANE_PX);
  const { usable, capacity } = painter.told;
  pen.font = painter.font;
  scale(painter);
  times(painter);
  if (usable >= capacity) return;
  pen.setLineDash([3, 3]); // above it is what is left for others
  line(pen, 0, painter.y(usable), width, painter.line);
  pen.setLineDash([]);
}

function line(pen, x, y, to, colour) {
  pen.strokeStyle = colour;
  pen.beginPath();
  pen.moveTo(x, Math.round(y) + 0.5);
  pen.lineTo(to, Math.round(y) + 0.5);
  pen.stroke();
}

// At the right, since the bands come from the left.
function scale(painter) {
  const { pen, width } = painter;
  const { capacity } = painter.told;
  const step = STEPS_GIB.map((one) => one * GIB).find((one) => capacity / one <= 3.5) ?? capacity;
  pen.textBaseline = "bottom";
  pen.textAlign = "right";
  pen.fillStyle = painter.text;
  for (let bytes = step; bytes < capacity * 0.97; bytes += step) {
    const y = painter.y(bytes);
    line(pen, 0, y, width, painter.grid);
    if (y > 14) pen.fillText(`${bytes / GIB} GiB`, width - 4, y);
  }
  pen.textAlign = "start";
}

// A line and a time at round moments.
function times(painter) {
  const { pen } = painter;
  const step = STEPS_S.find((one) => one * painter.perS >= FEWEST_PX) ?? STEPS_S.at(-1);
  const first = painter.told.now - painter.nowX / painter.perS;
  pen.textBaseline = "top";
  pen.textAlign = "center";
  pen.strokeStyle = painter.grid;
  pen.fillStyle = painter.text;
  for (let at = Math.ceil(first / step) * step; painter.x(at) < painter.nowX - 36; at += step) {
    const x = Math.round(painter.x(at)) + 0.5;
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, LANE_PX);
    pen.stroke();
    if (x > 24) pen.fillText(clock(at, { seconds: step < 60 }), x, LANE_PX + 4);
  }
  pen.textAlign = "start";
}
