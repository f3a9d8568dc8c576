// What is known of the proxy: its status, the last hour, whether it answers. Views look at it and are told of changes.
// It follows /events, and asks for /status when something has happened, or a few seconds have passed.

import { ApiError, events, get, request } from "./api.js";

const STATUS_EVERY_MS = 2000;
const STATUS_SOON_MS = 400;
const SILENCE_S = 40; // the proxy says something every 15 s
const MOST_SPANS = 10000;
const FORGET_EVERY_S = 30;
const KILLED_S = 5; // a proxy that goes away in peace keeps what it has seen until then
const KINDS = "move,refusal,strangers";

class Store extends EventTarget {
  status = null;
  lastHeard = 0;
  link = "connecting"; // connecting, live, lost, locked
  why = "";
  spans = []; // {model, state, begin, end, held, why, cause}, by their begins
  strangers = []; // {begin, held}
  refusals = []; // {at, model, code, why}
  gaps = []; // {begin, end}: nothing is known of these times
  version = 0; // of what the roster is laid out from: spans, strangers, refusals, gaps
  #lasting = new Map();
  #ahead = 0; // of the proxy's clock before this one's, s
  #lastId = null;
  #kept = 3600;
  #timer = null;
  #askedAt = 0;
  #waking = null;
  #stream = new AbortController();
  #forgotAt = 0;
  #heardUntil = 0; // when the link was lost, or now; of the proxy before there is no news since

  now() {
    return Date.now() / 1000 + this.#ahead;
  }

  get isAdmin() {
    return this.status?.caller?.role === "admin";
  }

  #changed(what) {
    if (what === "history") this.version += 1;
    this.dispatchEvent(new CustomEvent("change", { detail: what }));
  }

  #setLink(link, why = "") {
    if (this.link === link && this.why === why) return;
    this.link = link;
    this.why = why;
    this.#changed("link");
  }

  // Never ends. A key that is refused waits for another one; a proxy that is gone is tried again and again.
  async run() {
    let pauseS = 0.5;
    for (;;) {
      try {
        await this.#follow(() => (pauseS = 0.5));
        pauseS = 0.5;
      } catch (error) {
        if (!(error instanceof ApiError) && error.name !== "AbortError") console.error(error);
        if (error.status === 401 || error.status === 403) {
          this.#setLink("locked", error.message);
          await new Promise((resolve) => (this.#waking = resolve));
          this.#waking = null;
          continue;
        }
        this.#setLink("lost", error.message);
      }
      await new Promise((resolve) => setTimeout(resolve, pauseS * 1000));
      pauseS = Math.min(5, pauseS * 1.6);
    }
  }

  // With another key.
  unlock() {
    this.#lastId = null;
    this.#setLink("connecting"); // what is said of the next key is news, also if it is the same
    this.#waking?.();
  }

  async #follow(onLive) {
    this.#heardUntil = this.lastHeard;
    if (this.#lastId === null) await this.#loadHistory();
    await this.refresh();
    this.#stream = new AbortController();
    const response = await request(`events?kinds=${KINDS}`, { headers: { "Last-Event-ID": this.#lastId }, signal: this.#stream.signal });
    this.#setLink("live");
    onLive();
    for await (const one of events(response, SILENCE_S)) {
      if (one.event === "missed") {
        await this.#loadHistory();
        this.refreshSoon();
        continue;
      }
      if (one.id) {
        if (this.#isOld(one.id)) continue; // after 'missed' all comes that is kept; the history has it
        this.#lastId = one.id;
      }
      if (one.data) this.#take(one.event, JSON.parse(one.data));
    }
    throw new ApiError(0, "the proxy has gone away");
  }

  #isOld(id) {
    const [life, n] = id.split("-");
    const [ownLife, ownN] = this.#lastId.split("-");
    return life === ownLife && Number(n) <= Number(ownN);
  }

  async #loadHistory() {
    const told = await get("history");
    this.#ahead = told.now - Date.now() / 1000;
    this.#kept = told.kept_s;
    const life = this.#lastId?.split("-")[0];
    const knownUntil = told.gaps.at(-1)?.begin ?? 0;
    if (life !== undefined && life !== told.life && knownUntil < this.#heardUntil - KILLED_S) this.#gap(told);
    else [this.spans, this.strangers, this.gaps, this.refusals] = [told.spans, told.strangers, told.gaps, told.refusals];
    this.#lastId = `${told.life}-${told.n}`;
    this.#lasting = new Map(this.spans.filter((span) => span.end === null).map((span) => [span.model, span]));
    this.spans.sort((one, other) => one.begin - other.begin);
    this.#changed("history");
  }

  // The proxy before was killed, and told this one nothing: what was seen of it here is kept.
  #gap(told) {
    const from = told.gaps.at(-1)?.end ?? Math.min(this.now(), ...told.spans.map((span) => span.begin));
    for (const span of this.spans) span.end ??= this.#heardUntil;
    this.gaps.push({ begin: this.#heardUntil, end: from });
    this.spans = [...this.spans, ...told.spans.filter((span) => span.begin >= from)];
    this.strangers = [...this.strangers, ...told.strangers.filter((one) => one.begin >= from)];
    this.refusals = [...this.refusals, ...told.refusals.filter((one) => one.at >= from)];
  }

  #take(kind, told) {
    const at = Date.parse(told.at) / 1000;
    if (kind === "move") this.#move(told, at);
    else if (kind === "strangers") this.strangers.push({ begin: at, held: told.held });
    else if (kind === "refusal") this.refusals.push({ at, model: told.model, code: told.code, why: told.why });
    this.#forget();
    this.#changed("history");
    this.refreshSoon();
  }

  #move(told, at) {
    const before = this.#lasting.get(told.model);
    if (before) before.end = at;
    this.#lasting.delete(told.model);
    if (told.new === "stopped") {
      this.spans.push({ model: told.model, state: "stopped", begin: at, end: at, held: {}, why: told.why, cause: told.cause });
      return;
    }
    const span = { model: told.model, state: told.new, begin: at, end: null, held: told.held, why: told.why, cause: told.cause };
    this.#lasting.set(told.model, span);
    this.spans.push(span);
  }

  #forget() {
    const before = this.now() - this.#kept;
    if (this.spans.length > 1.1 * MOST_SPANS || this.now() - this.#forgotAt > FORGET_EVERY_S) {
      this.#forgotAt = this.now();
      this.spans = this.spans.filter((span) => span.end === null || span.end >= before).slice(-MOST_SPANS);
    }
    while (this.strangers.length > 1 && this.strangers[1].begin < before) this.strangers.shift();
    while (this.refusals.length && (this.refusals[0].at < before || this.refusals.length > 1000)) this.refusals.shift();
    while (this.gaps.length && this.gaps[0].end < before) this.gaps.shift();
  }

  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#askedAt = Date.now();
    this.status = await get("status");
    this.lastHeard = this.now();
    this.#changed("status");
  }

  // At most about once a second, however much happens.
  refreshSoon() {
    if (this.#timer !== null) return;
    const wait = Math.max(STATUS_SOON_MS, 1000 - (Date.now() - this.#askedAt));
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.refresh().catch((error) => {
        if ([401, 403].includes(error.status)) this.#stream.abort(); // else the stream of events says what is wrong
      });
    }, wait);
  }

  keepFresh() {
    setInterval(() => {
      if (this.link === "live" && !document.hidden && Date.now() - this.#askedAt >= STATUS_EVERY_MS) this.refreshSoon();
    }, 1000);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.link === "live") this.refreshSoon();
    });
  }
}

export const store = new Store();
