// The roster: time from left to right, a lane for each device, in it a band for each engine, as high as what it holds.

import { Bands, futureOf, scaleOf, strangersOf } from "./bands.js";
import { badge, clock, duration, emptyState, gib, h, keyed, say, stateWord, zone } from "./dom.js";
import { asked } from "./planned.js";
import { Painter } from "./painter.js";
import { store } from "./store.js";

export const title = "Roster";
const RANGES = [["5 min", 300], ["15 min", 900], ["1 hour", 3600]];
const MOST_LISTED = 40;
const PAINT_MS = 600;
const SHOWN_BYTES = 2 ** 26; // of strangers: a driver's own few are always there
let rangeS = 3600;

export function open(body) {
  const view = new Roster(body);
  return { update: (what) => view.update(what), close: () => view.close() };
}

class Roster {
  #lanes = new Map(); // device id -> {element, canvas, painter, caption}
  #plan = null;
  #isAsking = false;
  #version = -1;
  #cursor = null; // the span that is looked at
  #frame = null;
  #timer = null;
  #paintedAt = 0;

  constructor(body) {
    this.ranges = h("div", { class: "segments", role: "group", "aria-label": "How much is shown" });
    for (const [word, seconds] of RANGES) {
      const button = h("button", { type: "button", "aria-pressed": String(seconds === rangeS) }, word);
      button.addEventListener("click", () => this.#setRange(seconds, button));
      this.ranges.append(button);
    }
    this.legend = h("ul", { class: "legend", "aria-label": "Colours" },
      ["starting", "ready", "draining", "falling_asleep", "asleep", "waking", "stopping"].map((state) =>
        h("li", {}, h("span", { class: "swatch", data: { state } }), stateWord(state))),
      h("li", {}, h("span", { class: "swatch", data: { state: "strangers" } }), "strangers"),
      h("li", {}, h("span", { class: "swatch", data: { state: "planned" } }), "planned"),
      h("li", {}, h("span", { class: "swatch", data: { state: "failed" } }), "failed, or a request refused"));
    this.lanes = h("div", { class: "lanes" });
    this.none = emptyState("No device", "Nothing can run here.");
    this.slider = h("div", { class: "cursor", role: "slider", tabindex: "0", "aria-label": "Changes, one by one",
      "aria-orientation": "horizontal", "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0",
      "aria-valuetext": "no change yet" });
    this.slider.addEventListener("keydown", (event) => this.#onKey(event));
    // Not around the lanes: what is in a slider is read to nobody.
    this.field = h("div", { class: "field" }, this.slider, this.lanes);
    this.field.addEventListener("pointermove", (event) => this.#onPointer(event));
    this.field.addEventListener("pointerdown", (event) => this.#onPointer(event));
    // A finger that is lifted leaves, too: what it pointed at stays shown.
    this.field.addEventListener("pointerleave", (event) => event.pointerType === "touch" || this.#look(null));
    this.card = h("div", { class: "card why" });
    this.#showHint();
    this.next = h("ul", { class: "next" });
    this.list = h("tbody");
    body.append(
      h("div", { class: "bar" }, this.ranges, this.legend),
      this.none,
      this.field,
      this.card,
      h("section", { class: "planned" }, h("h2", {}, "Next"), this.next),
      h("section", {}, h("h2", {}, "Changes"),
        h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Changes of the last hour" },
          h("table", { class: "changes" },
            h("thead", {}, h("tr", {}, ["Time", "Model", "Is now", "Why"].map((one) => h("th", { scope: "col" }, one)))),
            this.list))),
    );
    this.sizes = new ResizeObserver(() => this.#paintSoon());
    this.sizes.observe(this.lanes);
    this.onTheme = () => this.#repaint();
    window.addEventListener("theme", this.onTheme);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.onTheme);
    this.clock = setInterval(() => !document.hidden && this.#paintSoon(), 1000);
  }

  close() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.sizes.disconnect();
    window.removeEventListener("theme", this.onTheme);
    this.dark.removeEventListener("change", this.onTheme);
  }

  update(what) {
    if (!store.status) return;
    if (what === "status") {
      this.#showLanes();
      this.#askPlan();
    }
    this.#paintSoon();
  }

  #setRange(seconds, pressed) {
    rangeS = seconds;
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", String(button === pressed));
    this.#repaintAtOnce();
  }

  #showLanes() {
    this.none.hidden = store.status.devices.length > 0;
    keyed(this.lanes, store.status.devices, (device) => device.id, (device) => {
      const canvas = h("canvas");
      const caption = h("div", { class: "caption" }, h("strong"), h("span"));
      const element = h("div", { class: "lane" }, caption, canvas);
      this.#lanes.set(device.id, { canvas, caption, painter: new Painter(canvas) });
      return element;
    }, (element, device) => {
      const { caption } = this.#lanes.get(device.id);
      const others = device.strangers.bytes >= SHOWN_BYTES ? `, strangers ${gib(device.strangers.bytes)}` : "";
      say(caption.children[0], device.name);
      say(caption.children[1], `${gib(device.reserved_bytes)} of ${gib(device.capacity_bytes)} reserved${others}`);
    });
  }

  // What will happen for those who wait, and for those who start.
  async #askPlan() {
    const coming = store.status.engines.filter((one) => one.waiting || ["starting", "waking"].includes(one.state));
    if (!coming.length) {
      this.#plan = null;
      this.#showNext(coming);
      return;
    }
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      this.#plan = { at: store.now(), ...(await asked(coming.map((one) => one.model))) };
    } catch {
      this.#plan = null; // the frame says that the proxy is gone
    } finally {
      this.#isAsking = false;
    }
    this.#showNext(coming);
    this.#paintSoon();
  }

  #showNext(coming) {
    const engines = new Map(coming.map((one) => [one.model, one]));
    const seats = this.#plan?.seats ?? [];
    const items = coming.map((one) => seats.find((seat) => seat.model === one.model) ?? { model: one.model, leaving: [] });
    if (!items.length) items.push({ model: "", leaving: [] });
    keyed(this.next, items, (one) => one.model, () => h("li"), (element, seat) =>
      say(element, seat.model ? nextWords(seat, engines.get(seat.model)) : "Nobody waits, and nothing is under way."));
  }

  // --- drawing ---------------------------------------------------------------------------------------------------

  #repaint() {
    for (const { painter } of this.#lanes.values()) painter.readColours();
    this.#paintSoon();
  }

  #repaintAtOnce() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#paint();
    });
  }

  // However much happens, it is painted a few times a second; what a person points at, at once.
  #paintSoon() {
    this.#timer ??= setTimeout(() => this.#repaintAtOnce(), Math.max(0, this.#paintedAt + PAINT_MS - performance.now()));
  }

  #paint() {
    if (!store.status) return;
    this.#paintedAt = performance.now();
    const now = store.now();
    const isNew = this.#version !== store.version;
    this.#version = store.version;
    const failures = store.spans.filter((span) => span.state === "failed");
    for (const device of store.status.devices) {
      const lane = this.#lanes.get(device.id);
      if (!lane) continue;
      const scale = scaleOf(device);
      if (lane.laid?.capacity !== scale) lane.laid = new Bands(device.id, scale);
      const bands = lane.laid.of(store.spans);
      if (isNew || !lane.strangers) lane.strangers = strangersOf(device.id, store.strangers);
      lane.painter.paint({
        now, rangeS, capacity: scale, usable: device.capacity_bytes, bands, strangers: lane.strangers,
        gaps: store.gaps, refusals: store.refusals, failures, looked: this.#cursor,
        future: futureOf(device.id, bands, this.#plan ?? { seats: [] }, scale),
        plannedAt: this.#plan?.at ?? now,
      });
    }
    if (isNew) this.#showList();
  }

  #showList() {
    const changes = store.spans.slice(-MOST_LISTED).reverse();
    const key = (span) => `${span.model} ${span.begin} ${span.state}`;
    if (!changes.length) changes.push(null);
    keyed(this.list, changes, (span) => span ? key(span) : "", (span) => span
      ? h("tr", {}, h("td", {}, clock(span.begin)), h("th", { scope: "row" }, span.model), h("td", {}, badge(span.state)), h("td", {}, span.why))
      : h("tr", {}, h("td", { colspan: "4" }, "Nothing has changed since the proxy began.")), () => {});
  }

  // --- looking ---------------------------------------------------------------------------------------------------

  #onPointer(event) {
    for (const { canvas, painter } of this.#lanes.values()) {
      const box = canvas.getBoundingClientRect();
      if (event.clientY >= box.top && event.clientY <= box.bottom) {
        this.#look(painter.spanAt(event.clientX - box.left, event.clientY - box.top));
        return;
      }
    }
    this.#look(null);
  }

  #onKey(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 };
    const spans = store.spans;
    if (!spans.length) return;
    const here = this.#cursor ? indexOf(spans, this.#cursor) : spans.length;
    let to = null;
    if (event.key in steps) to = here + steps[event.key];
    else if (event.key === "Home") to = 0;
    else if (event.key === "End") to = spans.length - 1;
    else if (event.key === "Escape") this.#look(null);
    if (to === null) return;
    event.preventDefault();
    this.#look(spans[Math.min(spans.length - 1, Math.max(0, to))]);
  }

  #look(span) {
    if (span === this.#cursor) return;
    this.#cursor = span;
    if (!span) this.#showHint();
    else {
      const index = indexOf(store.spans, span);
      const lasted = (span.end ?? store.now()) - span.begin;
      const held = Object.entries(span.held).map(([device, bytes]) => `${gib(bytes)} of ${this.#nameOf(device)}`).join(", ");
      const words = `${clock(span.begin)}, ${span.model} ${stateWord(span.state)}`;
      this.slider.setAttribute("aria-valuemax", String(store.spans.length - 1));
      this.slider.setAttribute("aria-valuenow", String(index));
      this.slider.setAttribute("aria-valuetext", `${words}: ${span.why}`);
      this.card.replaceChildren(
        h("p", {}, h("strong", {}, span.model), " ", badge(span.state), ` ${clock(span.begin)}`,
          span.end === null ? `, for ${duration(lasted)} so far` : span.state === "stopped" ? "" : `, for ${duration(lasted)}`,
          held ? `, holds ${held}` : ""),
        h("p", {}, span.why));
    }
    this.#repaintAtOnce();
  }

  #showHint() {
    this.card.replaceChildren(h("p", { class: "hint" }, "Point at a band, or go through the changes with the arrow keys, to see why."),
      h("p", { class: "hint" }, `Times are those of ${zone}.`));
  }

  #nameOf(device) {
    return store.status.devices.find((one) => one.id === device)?.name ?? device;
  }
}

// Spans are made anew when the history is read again: then it is the one that says the same.
function indexOf(spans, span) {
  const index = spans.indexOf(span);
  return index >= 0 ? index : spans.findIndex((one) => one.model === span.model && one.begin === span.begin && one.state === span.state);
}

function nextWords(seat, engine) {
  const waits = engine.waiting ? `${engine.waiting} wait, the oldest for ${duration(engine.oldest_wait_s)}` : "nobody waits";
  const begin = `${seat.model} is ${stateWord(engine.state)} (${waits})`;
  if (engine.waits_for) return `${begin}: a process at the gate waits for ${engine.waits_for}`;
  if (seat.why_not) return `${begin}: ${seat.why_not}`;
  if (seat.ready_in_s === undefined) return begin;
  const guess = seat.is_learned ? "about" : "perhaps";
  const leaving = seat.leaving.map((one) => `${one.model} (${stateWord(one.how)}, in ${duration(one.in_s)})`).join(", ");
  const where = `on ${seat.names.join(" and ")}`;
  const soon = engine.state === "ready" ? `serves ${where}` : `is to serve ${where} at any moment`; // it takes longer than before
  const when = seat.ready_in_s > 0 ? `serves ${where} in ${guess} ${duration(seat.ready_in_s)}` : soon;
  return `${begin}: ${when}${leaving ? `, after room is made by ${leaving}` : ""}`;
}
