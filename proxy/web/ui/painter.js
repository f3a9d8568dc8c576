// Paints one lane of the roster on a canvas, and says what lies under a point of it.

import { LANE_PX, layPaper } from "./paper.js";

const FOOT_PX = 18; // the times, and marks of requests that were refused
const FUTURE = 0.14; // of the width
const NARROWEST_PX = 0.5;
const HATCHED_PX = 3; // in less no line can be seen, and thousands of them cost most of the painting
const CROSS_PX = 4;

export class Painter {
  #drawn = []; // {x0, x1, y0, y1, span}

  constructor(canvas) {
    this.canvas = canvas;
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    const states = ["starting", "ready", "draining", "falling_asleep", "asleep", "waking", "stopping", "parked", "failed"];
    this.colours = Object.fromEntries(states.map((state) => [state, of(`--state-${state}`)]));
    this.lane = of("--lane");
    this.line = of("--line");
    this.grid = of("--grid");
    this.text = of("--muted");
    this.ink = of("--ink");
    this.bad = of("--bad");
    this.font = `11px ${of("--sans")}`;
    this.bold = `600 12px ${of("--sans")}`;
  }

  spanAt(x, y) {
    for (let index = this.#drawn.length - 1; index >= 0; index -= 1) {
      const one = this.#drawn[index];
      if (x >= one.x0 - 1 && x <= one.x1 + 1 && y >= one.y0 && y <= one.y1) return one.span;
    }
    return null;
  }

  // Times are seconds since 1970, sizes bytes.
  paint(told) {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = LANE_PX + FOOT_PX;
    if (!width) return;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.pen = pen;
    this.width = width;
    this.told = told;
    this.perS = (width * (1 - FUTURE)) / told.rangeS;
    this.nowX = width * (1 - FUTURE);
    this.#drawn = [];
    layPaper(this);
    this.#strangers();
    this.#bands();
    this.#future();
    this.#gaps();
    this.#now();
    this.#faults();
  }

  x(at) {
    return this.nowX + (at - this.told.now) * this.perS;
  }

  y(bytes) {
    return LANE_PX * (1 - Math.min(1, bytes / this.told.capacity));
  }

  #hatch(x0, y0, x1, y1, colour, step = 6) {
    const { pen } = this;
    pen.save();
    pen.beginPath();
    pen.rect(x0, y0, x1 - x0, y1 - y0);
    pen.clip();
    pen.strokeStyle = colour;
    pen.beginPath();
    for (let x = x0 - (y1 - y0) - ((x0 - (y1 - y0)) % step); x < x1; x += step) {
      pen.moveTo(x, y1);
      pen.lineTo(x + (y1 - y0), y0);
    }
    pen.stroke();
    pen.restore();
  }

  // From the top: they take away from what is there for all.
  #strangers() {
    for (const one of this.told.strangers) {
      const x0 = Math.max(0, this.x(one.begin));
      const x1 = one.end === null ? this.nowX : this.x(one.end);
      const high = (one.bytes / this.told.capacity) * LANE_PX;
      if (x1 > x0 && high >= 1) this.#hatch(x0, 0, x1, high, this.text);
    }
  }

  #bands() {
    const { pen } = this;
    const lastX = new Map();
    for (const { span, low, high } of this.told.bands) {
      const x1 = span.end === null ? this.nowX : this.x(span.end);
      const x0 = Math.max(0, this.x(span.begin));
      if (x1 <= 0 || x1 - (lastX.get(span.model) ?? -1) < NARROWEST_PX) continue;
      lastX.set(span.model, x1);
      const y0 = this.y(high);
      const y1 = this.y(low);
      const wide = Math.max(NARROWEST_PX, x1 - x0);
      pen.fillStyle = this.colours[span.state] ?? this.text;
      pen.fillRect(x0, y0 + 1, wide, Math.max(1, y1 - y0 - 1));
      if (wide >= HATCHED_PX && (span.state === "draining" || span.state === "stopping")) this.#hatch(x0, y0 + 1, x0 + wide, y1, "#ffffff55", 5);
      this.#drawn.push({ x0, x1: x0 + wide, y0, y1, span });
      if (span === this.told.looked) {
        pen.strokeStyle = this.ink;
        pen.lineWidth = 2;
        pen.strokeRect(x0 + 1, y0 + 2, Math.max(1, wide - 2), Math.max(1, y1 - y0 - 3));
        pen.lineWidth = 1;
      }
    }
    this.#names();
  }

  // A name where there is room for it: over all that an engine did in a row, not once for each state.
  #names() {
    const { pen } = this;
    pen.font = this.bold;
    pen.fillStyle = "#fff";
    pen.textBaseline = "middle";
    const runs = new Map();
    const flush = (run) => {
      const text = run.model;
      const high = run.y1 - run.y0;
      if (high >= 15 && run.x1 - run.x0 >= pen.measureText(text).width + 12) {
        pen.fillText(text, run.x0 + 6, (run.y0 + run.y1) / 2 + 1);
      }
    };
    for (const one of this.#drawn) {
      const run = runs.get(one.span.model);
      if (run && one.x0 - run.x1 < 1 && run.y0 === one.y0 && run.y1 === one.y1) run.x1 = one.x1;
      else {
        if (run) flush(run);
        runs.set(one.span.model, { model: one.span.model, x0: one.x0, x1: one.x1, y0: one.y0, y1: one.y1 });
      }
    }
    for (const run of runs.values()) flush(run);
  }

  // Behind "now": who stays, paler; who makes room, until then; who comes, dashed until it serves.
  #future() {
    const { pen } = this;
    const right = this.width - 1;
    for (const one of this.told.future) {
      const x = (after) => Math.min(right, Math.max(this.nowX + 1, this.x(this.told.plannedAt + after)));
      const x0 = x(one.from);
      const x1 = one.to === null ? right : x(one.to);
      const y0 = this.y(one.high) + 1;
      const y1 = Math.max(y0 + 2, this.y(one.low));
      if (one.ready === null) {
        pen.globalAlpha = 0.16;
        pen.fillStyle = this.text;
        pen.fillRect(x0, y0, x1 - x0, y1 - y0);
        pen.globalAlpha = 1;
        continue;
      }
      const readyX = x(one.ready);
      this.#hatch(x0, y0, readyX, y1, this.colours.starting, 5);
      pen.globalAlpha = 0.4;
      pen.fillStyle = this.colours.ready;
      pen.fillRect(readyX, y0, right - readyX, y1 - y0);
      pen.globalAlpha = 1;
      pen.strokeStyle = this.colours.ready;
      pen.setLineDash([4, 3]);
      pen.strokeRect(x0 + 0.5, y0 + 0.5, right - x0 - 1, y1 - y0 - 1);
      pen.setLineDash([]);
      this.#futureName(one.model, x0, right, y0, y1);
    }
  }

  #futureName(text, x0, x1, y0, y1) {
    const { pen } = this;
    if (x1 - x0 < 40 || y1 - y0 < 14) return;
    pen.save();
    pen.beginPath();
    pen.rect(x0, y0, x1 - x0 - 3, y1 - y0);
    pen.clip();
    pen.fillStyle = this.ink;
    pen.font = this.font;
    pen.textBaseline = "middle";
    pen.fillText(text, x0 + 4, (y0 + y1) / 2);
    pen.restore();
  }

  #gaps() {
    for (const gap of this.told.gaps) {
      const x0 = Math.max(0, this.x(gap.begin));
      const x1 = Math.max(x0 + 1, this.x(gap.end));
      if (x1 > 0) this.#hatch(x0, 0, x1, LANE_PX, this.grid, 4);
    }
  }

  #now() {
    const { pen } = this;
    pen.font = this.font;
    pen.textBaseline = "top";
    pen.strokeStyle = this.ink;
    pen.beginPath();
    pen.moveTo(Math.round(this.nowX) + 0.5, 0);
    pen.lineTo(Math.round(this.nowX) + 0.5, LANE_PX + 3);
    pen.stroke();
    pen.fillStyle = this.ink;
    pen.fillText("now", this.nowX - 11, LANE_PX + 4);
  }

  // Below the bands: a small line is a request that was refused, a cross an engine that has failed.
  #faults() {
    const { pen } = this;
    pen.fillStyle = pen.strokeStyle = this.bad;
    let last = -1;
    for (const one of this.told.refusals) {
      const x = this.x(one.at);
      if (x < 0 || x - last < 1) continue;
      last = x;
      pen.fillRect(x - 1, LANE_PX, 2, 5);
    }
    pen.lineWidth = 2;
    for (const span of this.told.failures) {
      const x = this.x(span.begin);
      if (x < CROSS_PX) continue;
      pen.beginPath();
      for (const side of [-CROSS_PX, CROSS_PX]) {
        pen.moveTo(x - side, LANE_PX - 4 - CROSS_PX);
        pen.lineTo(x + side, LANE_PX - 4 + CROSS_PX);
      }
      pen.stroke();
      this.#drawn.push({ x0: x - CROSS_PX, x1: x + CROSS_PX, y0: LANE_PX - 4 - CROSS_PX, y1: LANE_PX + FOOT_PX, span });
    }
    pen.lineWidth = 1;
  }
}
