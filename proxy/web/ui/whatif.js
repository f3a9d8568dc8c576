// What if these were up at once; and the catalog: what is wrong with it, what a reload would change.

import { post } from "./api.js";
import { scaleOf } from "./bands.js";
import { badge, confirmed, duration, gib, h, keyed, problem, say, stateWord, toast } from "./dom.js";
import { plan as planned } from "./planned.js";
import { store } from "./store.js";

export const title = "What if";
const MOST_MODELS = 8;
const ASK_EVERY_MS = 3000;

export function open(body) {
  const view = new WhatIf(body);
  return { update: (what) => what === "status" && view.update() };
}

class WhatIf {
  #chosen = new Set();
  #asked = 0;
  #askedAt = 0;
  #states = ""; // of the engines, when it was asked last

  constructor(body) {
    this.choices = h("fieldset", { class: "choices" }, h("legend", {}, "If these were up at once"));
    this.answer = h("div", { class: "answer", role: "status" });
    this.problems = h("ul", { class: "problems" });
    this.changes = h("div", { class: "changes", role: "status" });
    this.look = h("button", { type: "button", onclick: () => this.#reload(true) }, "Show pending changes");
    this.apply = h("button", { type: "button", class: "primary", hidden: true, onclick: () => this.#reload(false) }, "Reload the catalog");
    body.append(
      h("section", { class: "card" }, this.choices, this.answer),
      h("section", { class: "card" }, h("h2", {}, "The catalog"), (this.folder = h("p", { class: "hint" })), this.problems,
        (this.acts = h("div", { class: "actions" }, this.look, this.apply)), this.changes));
    this.#show(null);
  }

  update() {
    keyed(this.choices, store.status.engines, (one) => one.model, (one) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", onchange: (event) => this.#choose(one.model, event.target.checked) }), one.model, badge(one.state)),
    (element, one) => {
      element.lastChild.dataset.state = one.state;
      say(element.lastChild, stateWord(one.state));
    });
    this.#followStates();
    say(this.folder, `Read from ${store.status.proxy.catalog}`);
    this.acts.hidden = !store.isAdmin;
    const wrong = store.status.engines.flatMap((one) => one.warnings.map((text) => ({ key: `${one.model} ${text}`, text: text.startsWith(one.model) ? text : `${one.model}: ${text}` })));
    for (const one of store.status.agent_types) {
      if (one.by !== one.model) wrong.push({ key: `agent ${one.agent_type}`, text: `${one.agent_type}: ${one.by ? `${one.by} answers in place of ${one.model}` : `nobody answers, ${one.model} cannot be had`}: ${one.why_not}` });
    }
    if (store.status.proxy.catalog_problem) wrong.unshift({ key: "catalog", text: `The catalog is broken, and the last that was sound is served: ${store.status.proxy.catalog_problem}` });
    if (!wrong.length) wrong.push({ key: "", text: "Nothing is wrong with it, as far as can be seen without asking vLLM (manage_vllm.sh check does)." });
    keyed(this.problems, wrong, (one) => one.key, () => h("li"), (element, one) => say(element, one.text));
  }

  // A reload may have taken away what is chosen, and what would happen is another thing when engines have moved.
  #followStates() {
    const known = new Set(store.status.engines.map((one) => one.model));
    const gone = [...this.#chosen].filter((model) => !known.has(model));
    for (const model of gone) this.#chosen.delete(model);
    const isStale = this.#chosen.size && this.#states !== states() && performance.now() - this.#askedAt >= ASK_EVERY_MS;
    if (gone.length || isStale) this.#ask();
  }

  #choose(model, isChosen) {
    if (isChosen) this.#chosen.add(model);
    else this.#chosen.delete(model);
    this.#ask();
  }

  async #ask() {
    const models = [...this.#chosen];
    const mine = (this.#asked += 1);
    this.#askedAt = performance.now();
    this.#states = states();
    if (!models.length) return this.#show(null);
    if (models.length > MOST_MODELS) return this.answer.replaceChildren(h("p", {}, `At most ${MOST_MODELS} can be planned at once.`));
    try {
      const plan = await planned(models);
      if (mine === this.#asked) this.#show(plan);
    } catch (error) {
      if (mine === this.#asked) this.answer.replaceChildren(problem(error));
    }
  }

  #show(plan) {
    if (!plan) {
      this.answer.replaceChildren(h("p", { class: "hint" }, "Pick models: this says where they would go, who would leave, and how long that takes. Nothing is done."));
      return;
    }
    const leaving = plan.seats.flatMap((seat) => seat.leaving);
    this.answer.replaceChildren(
      h("p", { class: "verdict" }, plan.fits ? (plan.ready_in_s > 0 ? `They fit; all serve in ${duration(plan.ready_in_s)}.` : "They are all up.") : "They do not fit at once."),
      ...store.status.devices.map((device) => deviceBar(device, plan, new Set(leaving.map((one) => one.model)))),
      h("ul", { class: "seats" }, plan.seats.map((seat) => h("li", {}, seatWords(seat)))));
  }

  async #reload(isDry) {
    try {
      if (!isDry && !(await confirmed("Reload the catalog?", "The changes that are shown count then. No request is lost; engines whose launch changed restart after they have drained.", "Reload", "primary"))) return;
      const told = await post(`admin/reload${isDry ? "?dry_run=true" : ""}`);
      const lines = [...told.models.map(stepWords), ...told.routes.map((one) => `${one.agent_type}: ${one.old ?? "nobody"} → ${one.new ?? "nobody"}`), ...told.notes];
      this.changes.replaceChildren(lines.length ? h("ul", {}, lines.map((line) => h("li", {}, line))) : h("p", {}, told.is_done ? "Done; nothing had changed." : "The files say what is served: nothing would change."));
      this.apply.hidden = told.is_done || !lines.length;
      if (told.is_done) toast("The catalog was read again");
      store.refreshSoon();
    } catch (error) {
      this.apply.hidden = true;
      this.changes.replaceChildren(problem(error));
    }
  }
}

const states = () => store.status.engines.map((one) => `${one.model} ${one.state}`).join();

function stepWords(step) {
  const keys = step.keys.length ? ` (${step.keys.join(", ")})` : "";
  return `${step.model}: ${step.what}${keys}, ${step.then}${step.warnings.length ? `. ${step.warnings.join("; ")}` : ""}`;
}

function seatWords(seat) {
  if (seat.why_not) return `${seat.model}: ${seat.why_not}`;
  const where = `${gib(seat.bytes)} on ${seat.names.join(" and ")}`;
  if (!seat.ready_in_s) return `${seat.model} is ${stateWord(seat.state)}: ${where}`;
  const leaving = seat.leaving.map((one) => `${one.model} (${stateWord(one.how)}) frees ${gib(one.frees_bytes)} in ${duration(one.in_s)}`).join(", ");
  return `${seat.model}: ${where}, serves in ${duration(seat.ready_in_s)}${seat.is_learned ? "" : " (a guess: it has not happened here yet)"}${leaving ? `; ${leaving}` : ""}`;
}

// One device as it would be: who stays, who comes, what is free.
function deviceBar(device, plan, leaving) {
  const asked = new Set(plan.seats.map((seat) => seat.model));
  const parts = Object.entries(device.reservations).filter(([model]) => !asked.has(model) && !leaving.has(model)).map(([model, bytes]) => ({ model, bytes, kind: "stays" }));
  for (const seat of plan.seats.filter((one) => one.devices.includes(device.id))) parts.push({ model: seat.model, bytes: seat.bytes, kind: seat.ready_in_s > 0 ? "comes" : "there" });
  if (device.strangers.bytes) parts.push({ model: "strangers", bytes: device.strangers.bytes, kind: "strangers" });
  const bar = h("div", { class: "track wide", "aria-hidden": "true" });
  for (const part of parts) {
    const element = h("span", { class: `part ${part.kind}`, title: `${part.model}, ${gib(part.bytes)}` }, part.model);
    element.style.width = `${Math.min(100, (100 * part.bytes) / scaleOf(device))}%`;
    bar.append(element);
  }
  const words = parts.map((part) => `${part.model} ${gib(part.bytes)} ${part.kind === "strangers" ? "" : part.kind}`.trim()).join(", ") || "empty";
  return h("div", { class: "device" }, h("p", {}, h("strong", {}, device.name), ` of ${gib(device.total_bytes)}: ${words}`), bar);
}
