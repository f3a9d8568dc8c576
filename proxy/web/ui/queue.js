// Who waits: for which model, since when, how much longer.

import { badge, duration, emptyState, h, keyed, plural, say, stateWord } from "./dom.js";
import { store } from "./store.js";

export const title = "Queue";

export function open(body) {
  const list = h("div", { class: "queues" });
  const nobody = emptyState("Nobody waits", "Every request has had its engine at once, or has been answered.");
  body.append(nobody, list);
  return {
    update: (what) => {
      if (what !== "status" || !store.status) return;
      nobody.hidden = store.status.queue.length > 0;
      const engines = new Map(store.status.engines.map((one) => [one.model, one]));
      keyed(list, store.status.queue, (one) => one.model, create, (element, one) => update(element, one, engines.get(one.model)));
    },
  };
}

const HEADS = ["", "Agent type", "Key", "Has waited", "Its turn in", "Given up in", "Priority"];

function create({ model }) {
  const state = h("span", { class: "badge" });
  const words = h("p", { class: "reason" });
  const rows = h("tbody");
  const more = h("p", { class: "hint" });
  const element = h("section", { class: "card queue" }, h("div", { class: "head" }, h("h2", {}, model), state), words,
    h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Who waits for ${model}` }, h("table", {}, h("thead", {}, h("tr", {}, HEADS.map((head) => head ? h("th", { scope: "col" }, head) : h("td")))), rows)), more);
  return Object.assign(element, { parts: { state, words, rows, more } });
}

function update(element, queue, engine) {
  const { state, words, rows, more } = element.parts;
  state.dataset.state = engine.state;
  say(state, stateWord(engine.state));
  say(words, `${plural(queue.waiting, "request waits", "requests wait")}. ${engine.state === "ready" ? `It serves ${engine.leases} at once.` : `It is ${stateWord(engine.state)}: ${engine.why}.`}`);
  keyed(rows, queue.first.map((one, index) => ({ ...one, index })), (one) => one.index, () => h("tr", {}, HEADS.map((_, index) => h(index ? "td" : "th", index ? {} : { scope: "row" }))),
    (row, one) => {
      const cells = [one.index + 1, one.is_by_hand ? "started by hand" : one.agent_type || "by its name", one.key || "–", duration(one.waited_s),
        one.served_in_s === null ? "not known yet" : `about ${duration(one.served_in_s)}`, duration(one.expires_in_s), one.priority];
      cells.forEach((text, index) => say(row.children[index], String(text)));
    });
  const rest = queue.waiting - queue.first.length;
  say(more, rest > 0 ? `and ${rest} more` : "");
}
