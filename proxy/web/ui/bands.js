// Where each engine's band lies in the lane of a device: its height is the memory it holds, and it stays where it is.
// Pure: spans in, rectangles in bytes and seconds out.

const MOSTLY = 0.6;

// How many bytes the height of a lane stands for: all of the device, or where models may use only a part, that.
export const scaleOf = (device) => device.capacity_bytes < MOSTLY * device.total_bytes ? device.capacity_bytes * 1.03 : device.total_bytes;

// Rectangles of one device, one for each span that holds something of it: {span, low, high}. A band keeps its place for
// as long as it holds something; a new one takes the lowest place that is free.
export class Bands {
  #spans = null;
  #next = 0; // the first span that is not laid out yet
  #held = new Map(); // model -> its last band
  #all = [];

  constructor(device, capacity) {
    this.device = device;
    this.capacity = capacity;
  }

  // Of `spans`, in the order of their begins; of an array that has grown only what is new is laid out.
  of(spans) {
    if (spans !== this.#spans) {
      this.#spans = spans;
      this.#next = 0;
      this.#held.clear();
      this.#all = [];
    }
    for (; this.#next < spans.length; this.#next += 1) this.#add(spans[this.#next]);
    return this.#all;
  }

  #add(span) {
    for (const [model, one] of this.#held) {
      if (model !== span.model && one.span.end !== null && one.span.end <= span.begin) this.#held.delete(model);
    }
    const bytes = span.held[this.device] ?? 0;
    const mine = this.#held.get(span.model);
    this.#held.delete(span.model);
    if (!bytes || span.state === "stopped") return;
    const low = placeFor(bytes, mine?.low ?? 0, [...this.#held.values()], this.capacity);
    const band = { span, low, high: low + bytes };
    this.#held.set(span.model, band);
    this.#all.push(band);
  }
}

function placeFor(bytes, preferred, others, capacity) {
  const fits = (low) => low + bytes <= capacity && others.every((one) => low + bytes <= one.low || low >= one.high);
  if (fits(preferred)) return preferred;
  const ends = [0, ...others.map((one) => one.high)].sort((one, other) => one - other);
  return ends.find(fits) ?? Math.max(0, capacity - bytes); // what is in pieces is shown one over the other
}

// What strangers held of one device: {begin, end, bytes}; the last one has no end.
export function strangersOf(device, strangers) {
  return strangers
    .map((one, index) => ({ begin: one.begin, end: strangers[index + 1]?.begin ?? null, bytes: one.held[device] ?? 0 }))
    .filter((one) => one.bytes > 0);
}

// What is planned on one device: {model, low, high, from, to, ready}, in seconds from now; `to` null is "for good".
// `ready` is null for those that are there, of whom the ones that make room end; else when they serve.
export function futureOf(device, bands, plan, capacity) {
  const leaves = new Map(plan.seats.flatMap((seat) => seat.leaving.map((one) => [one.model, one])));
  const coming = plan.seats.filter((seat) => seat.devices.includes(device) && seat.ready_in_s > 0);
  const comes = new Set(coming.map((seat) => seat.model));
  const there = bands
    .filter(({ span }) => span.end === null && !comes.has(span.model))
    .map(({ span, low, high }) => ({ model: span.model, low, high, from: 0, to: leaves.get(span.model)?.in_s ?? null, ready: null }));
  const taken = there.filter((one) => one.to === null).map(({ low, high }) => ({ low, high }));
  for (const seat of coming) {
    const mine = bands.find(({ span }) => span.end === null && span.model === seat.model);
    const from = Math.max(0, ...seat.leaving.map((one) => one.in_s));
    const low = placeFor(seat.bytes, mine?.low ?? 0, taken, capacity);
    taken.push({ low, high: low + seat.bytes });
    there.push({ model: seat.model, low, high: low + seat.bytes, from, to: null, ready: Math.max(from, seat.ready_in_s) });
  }
  return there;
}
