// Try it: one request by an agent type, as any client would send it, with what it cost in time.

import { events, request } from "./api.js";
import { duration, h, keyed, plural, say } from "./dom.js";
import { store } from "./store.js";

export const title = "Try it";
const MOST_TURNS = 20; // the last of them are sent, in pairs
let kept = null; // the conversation goes on when the view is opened again

export function open(body) {
  kept ??= new TryIt();
  body.append(kept.turns, kept.form);
  return { update: (what) => what === "status" && kept.update() };
}

class TryIt {
  #turns = []; // what was said so far, as it is sent
  #running = null;

  constructor() {
    this.choice = h("select", { id: "who", onchange: () => this.#onChoice() });
    this.most = h("input", { id: "most", type: "number", min: "1", max: "32768", value: "256" });
    this.said = h("textarea", { id: "said", rows: "3", required: true, placeholder: "What to ask; Ctrl+Enter sends it" });
    this.said.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    this.send = h("button", { type: "submit", class: "primary" }, "Send");
    this.halt = h("button", { type: "button", hidden: true, onclick: () => this.stop() }, "Stop");
    this.anew = h("button", { type: "button", onclick: () => this.#begin() }, "New conversation");
    this.now = h("p", { class: "hint", role: "status" });
    this.turns = h("div", { class: "turns" });
    this.kind = h("p", { class: "hint" });
    this.form = h("form", { class: "card ask", onsubmit: (event) => this.#onSubmit(event) },
      h("div", { class: "bar" }, h("label", { for: "who" }, "Ask"), this.choice, h("label", { for: "most" }, "at most"), this.most, "tokens"),
      this.kind, h("label", { for: "said" }, "Text"), this.said, h("div", { class: "actions" }, this.send, this.halt, this.anew), this.now);
    this.#begin();
  }

  update() {
    const agents = store.status.agent_types.map((one) => ({ value: `agent:${one.agent_type}`, text: `${one.agent_type} → ${one.by ?? "nobody"}` }));
    const names = store.status.engines.map((one) => ({ value: `model:${one.model}`, text: one.model }));
    if (!this.groups) {
      this.groups = [h("optgroup", { label: "Agent types" }), h("optgroup", { label: "Models" })];
      this.choice.append(...this.groups);
    }
    [agents, names].forEach((items, index) => keyed(this.groups[index], items, (one) => one.value, (one) => h("option", { value: one.value }), (element, one) => say(element, one.text)));
    this.whom ??= this.choice.value;
    this.#showKind();
  }

  stop() {
    this.#running?.abort();
  }

  get #isEmbedder() {
    const [kind, name] = chosen(this.choice.value);
    const model = kind === "agent" ? store.status.agent_types.find((one) => one.agent_type === name)?.model : name;
    return Boolean(store.status.engines.find((one) => one.model === model)?.embedder);
  }

  #onChoice() {
    if (this.whom !== this.choice.value) this.#begin();
    this.whom = this.choice.value;
    this.#showKind();
  }

  #showKind() {
    say(this.kind, this.#isEmbedder ? "This one makes a vector of a text." : "");
    this.most.disabled = this.#isEmbedder;
  }

  #begin() {
    this.stop();
    this.#turns = [];
    this.turns.replaceChildren();
    say(this.now, "");
  }

  async #onSubmit(event) {
    event.preventDefault();
    const text = this.said.value.trim();
    if (!text || this.#running) return;
    this.#running = new AbortController();
    this.send.disabled = true;
    this.halt.hidden = false;
    const answer = h("p", { class: "said" });
    const cost = h("p", { class: "cost" });
    this.turns.append(h("div", { class: "turn mine" }, h("p", { class: "said" }, text)), h("div", { class: "turn" }, answer, cost));
    this.said.value = "";
    try {
      const [kind, name] = chosen(this.choice.value);
      const whom = kind === "agent" ? { agent_type: name } : { model: name };
      await (this.#isEmbedder ? this.#embed(whom, text, answer, cost) : this.#chat(whom, text, answer, cost));
    } catch (error) {
      cost.className = "cost bad";
      say(cost, error.name === "AbortError" ? "stopped" : error.message);
    } finally {
      this.#running = null;
      this.send.disabled = false;
      this.halt.hidden = true;
      say(this.now, "");
      answer.scrollIntoView({ block: "nearest" });
    }
  }

  async #embed(whom, text, answer, cost) {
    const began = performance.now();
    say(this.now, "waiting");
    const response = await request("v1/embeddings", { method: "POST", body: { ...whom, input: text }, signal: this.#running.signal });
    const told = await response.json();
    const vector = told.data[0].embedding;
    say(answer, `[${vector.slice(0, 8).map((one) => one.toFixed(4)).join(", ")}, …] ${vector.length} numbers`);
    say(cost, `${heads(response.headers)}answer after ${duration((performance.now() - began) / 1000)}, ${plural(told.usage?.prompt_tokens ?? 0, "token")}`);
  }

  async #chat(whom, text, answer, cost) {
    const asked = { role: "user", content: text };
    const body = { ...whom, messages: [...this.#turns.slice(-MOST_TURNS), asked], stream: true, stream_options: { include_usage: true }, max_tokens: Number(this.most.value) || 256 };
    const began = performance.now();
    const passed = () => (performance.now() - began) / 1000;
    say(this.now, "waiting");
    const response = await request("v1/chat/completions", { method: "POST", body, signal: this.#running.signal });
    let [firstS, tokens, usage] = [null, 0, null];
    const reply = { role: "assistant", content: "" };
    const told = new Headers(response.headers);
    for await (const one of events(response)) {
      if (one.comment.includes("X-Rota-")) takeHeads(told, one.comment);
      else if (one.comment) say(this.now, one.comment);
      if (!one.data || one.data === "[DONE]") continue;
      const event = JSON.parse(one.data);
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const piece = event.choices?.[0]?.delta;
      const thought = piece?.reasoning_content ?? piece?.reasoning ?? "";
      const more = piece?.content ?? "";
      if (!thought && !more) continue;
      if (firstS === null) {
        firstS = passed();
        say(this.now, "answering");
      }
      tokens += 1;
      if (thought) thoughts(answer).append(thought);
      if (more && !reply.content) this.#turns.push(asked, reply); // a question without an answer is not sent again
      reply.content += more;
      answer.append(more);
      say(cost, costWords(told, firstS, passed(), tokens));
    }
    say(cost, costWords(told, firstS, passed(), usage?.completion_tokens ?? tokens));
  }
}

// What a model says to itself stands before its answer, and is not sent back to it.
function thoughts(answer) {
  if (answer.firstElementChild?.className !== "thoughts") answer.prepend(h("span", { class: "thoughts" }));
  return answer.firstElementChild;
}

function chosen(value) {
  const colon = value.indexOf(":");
  return [value.slice(0, colon), value.slice(colon + 1)];
}

// Where the wait was told before the answer, what the head says of it comes in a comment: "X-Rota-Waited-S: 2.5; ...".
function takeHeads(headers, comment) {
  for (const line of comment.split(/; (?=X-)/)) {
    const [name, value] = line.split(/: (.*)/);
    if (value) headers.set(name, value);
  }
}

function heads(headers) {
  const [model, waited, swap, fallback] = ["X-Rota-Model", "X-Rota-Waited-S", "X-Rota-Swap", "X-Rota-Fallback"].map((name) => headers.get(name));
  const parts = [model];
  if (waited !== null) parts.push(`waited ${duration(Number(waited))}`);
  if (swap && swap !== "none") parts.push(`for its ${swap}`);
  if (fallback) parts.push(`in place of another: ${fallback}`);
  return parts.filter(Boolean).map((one) => `${one} · `).join("");
}

function costWords(headers, firstS, totalS, tokens) {
  const speed = tokens > 1 && totalS > firstS ? ` · ${((tokens - 1) / (totalS - firstS)).toFixed(1)} tokens/s` : "";
  return `${heads(headers)}first token after ${duration(firstS)} · ${plural(tokens, "token")} in ${duration(totalS)}${speed}`;
}
