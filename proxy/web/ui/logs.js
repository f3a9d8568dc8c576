// The logs of the proxy and of each engine, as they grow, over restarts; searched here.

import { pieces, request } from "./api.js";
import { h, keyed, plural, say } from "./dom.js";
import { store } from "./store.js";

export const title = "Logs";
const MOST_LINES = 5000; // are searched, so that all of them are fetched
const MOST_SHOWN = 2000;
const PAINT_MS = 200;
const NO_USE = [400, 401, 403, 404]; // to ask again

export function open(body, argument) {
  const view = new Logs(body, argument || "proxy");
  return { update: (what) => view.update(what), close: () => view.close() };
}

class Logs {
  #lines = [];
  #rest = "";
  #stream = new AbortController();
  #timer = null;
  #isClosed = false;

  constructor(body, program) {
    this.program = program;
    this.choice = h("select", { id: "program", onchange: () => (location.hash = `#logs/${encodeURIComponent(this.choice.value)}`) });
    this.search = h("input", { id: "search", type: "search", placeholder: "words that a line has", autocomplete: "off", oninput: () => this.#paintSoon() });
    this.follow = h("input", { id: "follow", type: "checkbox", checked: true, onchange: () => this.#paintSoon() });
    this.count = h("p", { class: "hint" }, "Loading …");
    this.text = h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": `Log of ${program}` });
    this.text.addEventListener("scroll", () => {
      const isAtEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 24;
      if (!isAtEnd && this.follow.checked && this.text.matches(":hover, :focus")) this.follow.checked = false;
    });
    body.append(
      h("div", { class: "bar" },
        h("label", { for: "program" }, "Log of"), this.choice,
        h("label", { for: "search" }, "Search"), this.search,
        h("label", { class: "check" }, this.follow, "Follow")),
      this.count, this.text);
    this.#run();
  }

  update(what) {
    if (what === "link" && store.link === "lost") this.#stream.abort(); // a connection that is dead says nothing
    if (!store.status) return;
    const programs = ["proxy", ...store.status.engines.map((one) => one.model)];
    if (!programs.includes(this.program)) programs.push(this.program);
    keyed(this.choice, programs, (one) => one, (one) => h("option", { value: one }, one), () => {});
    if (this.choice.value !== this.program) this.choice.value = this.program;
  }

  close() {
    this.#isClosed = true;
    this.#stream.abort();
    clearTimeout(this.#timer);
  }

  // Until the view is closed: when the proxy has gone away and is back, it begins anew with the last lines.
  async #run() {
    const path = this.program === "proxy" ? "log" : `engines/${encodeURIComponent(this.program)}/log`;
    while (!this.#isClosed) {
      try {
        this.#stream = new AbortController();
        const response = await request(`${path}?follow=true&lines=${MOST_LINES}`, { signal: this.#stream.signal });
        this.#lines = [];
        this.#rest = "";
        this.#paintSoon();
        for await (const piece of pieces(response)) this.#take(piece);
        this.note = "the proxy has gone away; tried again";
      } catch (error) {
        this.note = error.name === "AbortError" ? "the proxy does not answer; tried again" : error.message;
        if (NO_USE.includes(error.status)) {
          say(this.count, error.message);
          return;
        }
      }
      if (this.#isClosed) return;
      say(this.count, this.note);
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }

  #take(piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop();
    this.#lines.push(...lines);
    if (this.#lines.length > MOST_LINES) this.#lines.splice(0, this.#lines.length - MOST_LINES);
    this.#paintSoon();
  }

  #paintSoon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (!document.hidden && !this.#isSelecting()) this.#paint();
      else this.#paintSoon();
    }, PAINT_MS);
  }

  // Somebody marks what he wants to copy: it stays as it is until he is done.
  #isSelecting() {
    const selection = getSelection();
    return !selection.isCollapsed && this.text.contains(selection.anchorNode);
  }

  #paint() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length ? this.#lines.filter((line) => words.every((word) => line.toLowerCase().includes(word))) : this.#lines;
    const shown = found.slice(-MOST_SHOWN);
    say(this.count, words.length ? `${plural(found.length, "line")} of ${this.#lines.length} with these words` : this.#lines.length ? `the last ${plural(shown.length, "line")}` : "nothing has been written yet");
    say(this.text, shown.join("\n"));
    mark(this.text, words);
    if (this.follow.checked) this.text.scrollTop = this.text.scrollHeight;
  }
}

// Where the browser can: the words that were searched for are marked, without an element for each of them.
function mark(element, words) {
  if (!CSS.highlights) return;
  CSS.highlights.delete("found");
  const text = element.firstChild;
  if (!words.length || !text) return;
  const lower = text.data.toLowerCase();
  const ranges = [];
  for (const word of words) {
    for (let at = lower.indexOf(word); at >= 0 && ranges.length < 2000; at = lower.indexOf(word, at + word.length)) {
      const range = new Range();
      range.setStart(text, at);
      range.setEnd(text, at + word.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}
