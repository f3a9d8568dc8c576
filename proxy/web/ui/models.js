// Every model: how its engine stands, what it takes, what it does, what failed; and what can be done to it.

import { post } from "./api.js";
import { scaleOf } from "./bands.js";
import { badge, confirmed, duration, emptyState, gib, h, keyed, plural, say, stateWord, toast } from "./dom.js";
import { store } from "./store.js";

export const title = "Models";
const ABSENT = ["stopped", "failed"];
const PATHS = { force: "stop?force=true", start: "start?wait=false" };

export function open(body) {
  const list = h("div", { class: "models" });
  const none = emptyState("No model", "The catalog names none. Its folder is in the setting 'catalog'.");
  const catalog = h("a", { class: "button", href: "ui#whatif" }, "Reload the catalog …");
  body.append(h("div", { class: "bar" }, h("p", { class: "hint" }, "A black mark is what the catalog declares, a blue one what was learned here."), catalog), none, list);
  return {
    update: (what) => {
      if (what !== "status" || !store.status) return;
      none.hidden = store.status.engines.length > 0;
      const biggest = Math.max(1, ...store.status.devices.map(scaleOf));
      keyed(list, store.status.engines, (engine) => engine.model, (engine) => new Card(engine.model).element,
        (element, engine) => element.card.update(engine, biggest));
    },
  };
}

class Card {
  #engine = null;
  #isAwaited = false; // somebody has started it here, and wants to know when it is ready

  constructor(model) {
    this.model = model;
    this.badge = h("span", { class: "badge" });
    this.since = h("span", { class: "since" });
    this.pinned = h("span", { class: "chip pinned", hidden: true }, "pinned");
    this.agents = h("p", { class: "agents" });
    this.why = h("p", { class: "reason" });
    this.figures = Object.fromEntries(["in hand", "waiting", "a minute", "tokens/s"].map((name) => [name, h("dd")]));
    this.bar = new MemoryBar();
    this.lastStart = new StartBar();
    this.notes = h("div", { class: "notes" });
    this.buttons = Object.fromEntries(
      [["start", "Start"], ["sleep", "Sleep"], ["stop", "Stop"], ["force", "Stop now"], ["pin", "Pin"], ["unpin", "Unpin"]].map(
        ([act, word]) => [act, h("button", { type: "button", class: act === "force" ? "danger" : "", onclick: () => this.#act(act) },
          word, h("span", { class: "unseen" }, ` ${model}`))]),
    );
    const heading = h("h2", {}, model);
    this.element = h("article", { class: "card model", "aria-label": model },
      h("div", { class: "head" }, heading, this.badge, this.since, this.pinned),
      this.agents, this.why,
      h("dl", { class: "figures" }, Object.entries(this.figures).map(([name, value]) => h("div", {}, h("dt", {}, name), value))),
      this.bar.element, this.lastStart.element, this.notes,
      h("div", { class: "actions" }, Object.values(this.buttons), h("a", { class: "button", href: `ui#logs/${encodeURIComponent(model)}` },
        "Log", h("span", { class: "unseen" }, ` of ${model}`))));
    this.element.card = this;
  }

  update(engine, biggest) {
    this.#engine = engine;
    const level = engine.sleep_level ? `, level ${engine.sleep_level}` : "";
    this.element.dataset.state = engine.state;
    if (this.#isAwaited && ["ready", "failed"].includes(engine.state)) {
      this.#isAwaited = false;
      toast(`${this.model} ${engine.state === "ready" ? "is ready" : `has failed: ${engine.failure}`}`, engine.state === "ready" ? "" : "bad");
    }
    this.badge.dataset.state = engine.state;
    say(this.badge, stateWord(engine.state) + level);
    say(this.since, `for ${duration(engine.in_state_s)}`);
    this.pinned.hidden = !engine.is_pinned;
    say(this.agents, engine.agent_types.length ? engine.agent_types.join(", ") : "asked by name only");
    say(this.why, engine.why);
    say(this.figures["in hand"], String(engine.leases));
    say(this.figures.waiting, engine.waiting ? `${engine.waiting}, ${duration(engine.oldest_wait_s)}` : "0");
    say(this.figures["a minute"], engine.requests_per_minute.toFixed(1));
    say(this.figures["tokens/s"], engine.tokens_per_s ? engine.tokens_per_s.toFixed(1) : "–");
    this.bar.update(engine, biggest);
    this.lastStart.update(engine.last_start);
    this.#showNotes(engine);
    this.#showButtons(engine);
  }

  #showNotes(engine) {
    const notes = [];
    const note = (kind, head, text) => notes.push({ kind, head, text });
    if (engine.failure) note("bad", !engine.is_cooling ? "Failed; the next request tries again" : engine.retry_in_s === null ? "Failed; start it when it is mended" : `Failed; tried again in ${duration(engine.retry_in_s)}`, engine.failure);
    if (engine.warnings.length) note("warn", "Cannot run here now", engine.warnings.join("\n"));
    if (engine.stopped_by) note("", "Stays stopped until somebody starts it", `stopped ${engine.stopped_by}`);
    if (engine.crashes) note("warn", `Crashed ${plural(engine.crashes, "time")}, the last ${duration(engine.last_crash_ago_s)} ago`,
      [engine.last_crash, engine.last_words].filter(Boolean).join("\n"));
    if (engine.escalations) note("warn", `Ended ${plural(engine.escalations, "time")} for a sleep or wake that failed`, engine.last_escalation ?? "");
    if (engine.starts_plainly) note("warn", "Nothing is done ahead of its starts", engine.starts_plainly);
    if (engine.at_gate_s !== null) note("", `Started by hand ${duration(engine.at_gate_s)} ago`, `waits for ${engine.waits_for}`);
    if (engine.is_outdated) note("", "Its entry has changed", "It leaves as soon as it has drained.");
    keyed(this.notes, notes, (one) => one.head.replace(/\d.*/, ""), () => h("div", { class: "note" }, h("strong"), h("pre")), (element, one) => {
      element.className = `note ${one.kind}`;
      say(element.children[0], one.head);
      say(element.children[1], one.text);
    });
  }

  #showButtons(engine) {
    const isUp = !ABSENT.includes(engine.state) && engine.state !== "stopping";
    const shown = {
      start: !isUp || ["asleep", "falling_asleep", "parked"].includes(engine.state),
      sleep: engine.state === "ready" && engine.sleep_levels.length > 0,
      stop: isUp && engine.state !== "draining",
      force: engine.state === "draining",
      pin: !engine.is_pinned,
      unpin: engine.is_pinned,
    };
    for (const [act, button] of Object.entries(this.buttons)) button.hidden = !store.isAdmin || !shown[act];
  }

  async #act(act) {
    const path = `admin/engines/${encodeURIComponent(this.model)}`;
    if (act === "stop" || act === "force") await store.refresh().catch(() => {}); // how many it is answering now
    const engine = this.#engine;
    if (act === "stop" && !(await confirmed(`Stop ${this.model}?`, stopText(engine), "Drain and stop", "danger"))) return;
    if (act === "force" && !(await confirmed(`Stop ${this.model} now?`,
      `${plural(engine.leases, "request")} that it is answering break off in the middle.`, "Break off and stop"))) return;
    const button = this.buttons[act];
    button.disabled = true;
    try {
      const told = await post(`${path}/${PATHS[act] ?? act}${act === "sleep" ? `?level=${engine.sleep_levels[0]}` : ""}`);
      this.#isAwaited = act === "start";
      toast(act === "start" ? `${this.model} is starting: the page shows when it is ready` : act.endsWith("pin") ? `${this.model} is ${told.is_pinned ? "" : "not "}pinned` : `${this.model}: ${stateWord(told.state)}`);
    } catch (error) {
      toast(`${this.model}: ${error.message}`, "bad");
    } finally {
      button.disabled = false;
      store.refreshSoon();
    }
  }
}

function stopText(engine) {
  const first = engine.leases ? `It first finishes ${plural(engine.leases, "request")}.` : "It is idle.";
  return `${first} It then stays stopped, and requests for it are refused, until somebody starts it.`;
}

// What it reserves now, beside what was declared and what was learned, on the scale of the largest device.
class MemoryBar {
  constructor() {
    this.fill = h("span", { class: "fill" });
    this.declared = h("span", { class: "tick declared" });
    this.learned = h("span", { class: "tick learned" });
    this.words = h("p", { class: "hint" });
    this.element = h("div", { class: "memory" }, h("div", { class: "track", "aria-hidden": "true" }, this.fill, this.declared, this.learned), this.words);
  }

  update(engine, biggest) {
    const { declared, learned, reserves } = engine.memory;
    const share = (bytes) => `${Math.min(100, (100 * bytes) / biggest)}%`;
    this.fill.style.width = share(engine.reserved_bytes);
    this.fill.dataset.state = engine.state;
    this.declared.style.left = share(declared.awake_bytes);
    this.learned.hidden = !learned.awake_bytes;
    this.learned.style.left = share(learned.awake_bytes ?? 0);
    const where = engine.devices.map((id) => store.status.devices.find((one) => one.id === id)?.name ?? id).join(" and ");
    const known = learned.awake_bytes ? `learned ${gib(learned.awake_bytes)}` : "not learned yet";
    const now = engine.reserved_bytes ? `reserves ${gib(engine.reserved_bytes)}${where ? ` on ${where}` : ""}, holds ${gib(engine.held_bytes)}` : `will take ${gib(reserves.awake_bytes)}`;
    const ofHost = engine.pinned_bytes || engine.parked_bytes;
    const host = ofHost ? `, and ${engine.parked_bytes ? "holds " : ""}${gib(ofHost)} of the host` : "";
    say(this.words, `${now}${host}; declared ${gib(declared.awake_bytes)}, ${known}`);
  }
}

// Where the time of its last start went, phase by phase.
class StartBar {
  constructor() {
    this.track = h("div", { class: "track phases", "aria-hidden": "true" });
    this.words = h("p", { class: "hint" });
    this.element = h("div", { class: "last-start", hidden: true }, this.track, this.words);
  }

  update(took) {
    const phases = Object.entries(took);
    const total = phases.reduce((sum, [, seconds]) => sum + seconds, 0);
    this.element.hidden = !total;
    if (!total) return;
    keyed(this.track, phases, ([phase]) => phase, () => h("span"), (element, [, seconds]) => {
      element.style.width = `${(100 * seconds) / total}%`;
    });
    say(this.words, `its last start took ${total.toFixed(1)} s: ${phases.map(([phase, seconds]) => `${phase} ${seconds.toFixed(1)}`).join(", ")}`);
  }
}
