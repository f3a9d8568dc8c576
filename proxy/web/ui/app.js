// The frame around the views: which one is shown, whether the proxy answers, the key, the theme.

import { key, useKey } from "./api.js";
import { h, say } from "./dom.js";
import { store } from "./store.js";
import * as audit from "./audit.js";
import * as logs from "./logs.js";
import * as models from "./models.js";
import * as queue from "./queue.js";
import * as roster from "./roster.js";
import * as tryit from "./tryit.js";
import * as whatif from "./whatif.js";

const VIEWS = { roster, models, queue, logs, try: tryit, whatif, audit };
const place = document.getElementById("view");
let shown = null; // {name, update, close}

function wanted() {
  const [name, ...rest] = decoded(location.hash.slice(1)).split("/");
  return { name: Object.hasOwn(VIEWS, name) ? name : "roster", argument: rest.join("/") };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // typed by hand: no view has such a name
  }
}

// Focus goes to what was gone to. A page that has just come leaves it where its reader is.
function show({ hasFocus = true } = {}) {
  const { name, argument } = wanted();
  shown?.close?.();
  const view = VIEWS[name];
  const heading = h("h1", { tabindex: "-1" }, view.title);
  const body = h("div", { class: `view view-${name}` });
  place.replaceChildren(heading, body);
  document.title = `${view.title} – Rota`;
  for (const link of document.querySelectorAll("#nav a")) {
    const isHere = link.hash === `#${name}`;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (isHere) link.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  shown = { name, ...view.open(body, argument) };
  shown.update?.("status");
  if (hasFocus) heading.focus({ preventScroll: true });
}

function showLock() {
  shown?.close?.();
  shown = null;
  const input = h("input", { id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: false });
  const form = h(
    "form",
    {
      class: "lock",
      onsubmit: (event) => {
        event.preventDefault();
        useKey(input.value.trim());
        place.replaceChildren(h("p", { class: "loading" }, "Loading …"));
        place.focus();
        store.unlock();
      },
    },
    h("label", { for: "key" }, "Key"),
    input,
    h("p", { class: "hint" }, "An admin's key shows and does all; a monitor's key shows all but the audit. ",
      "It is kept in this tab only. ", h("code", {}, "bin/manage_vllm.sh keys make NAME --role admin"), " makes one."),
    h("button", { type: "submit", class: "primary" }, "Open"),
  );
  place.replaceChildren(
    h("h1", {}, "This Rota has keys"),
    key() ? h("p", { class: "problem", role: "alert" }, `This key does not open it: ${store.why}`) : "",
    form,
  );
  document.title = "Key – Rota";
  input.focus();
}

const LINK_WORDS = { connecting: "connecting", live: "live", lost: "not connected", locked: "locked" };

function onChange({ detail }) {
  if (detail === "link") {
    const link = document.getElementById("link");
    link.dataset.link = store.link;
    say(link, store.link === "lost" ? `not connected: ${store.why}` : LINK_WORDS[store.link]);
    document.body.dataset.link = store.link;
    document.getElementById("forget").hidden = !key();
    if (store.link === "locked") showLock();
    else if (store.link === "live" && shown === null) show({ hasFocus: document.activeElement === place });
    else if (store.link === "lost" && shown === null) showLost();
  }
  if (detail === "status") {
    const waiting = store.status.queue.reduce((sum, one) => sum + one.waiting, 0);
    const count = document.getElementById("queue-count");
    count.hidden = waiting === 0;
    say(count, waiting ? `${waiting}` : "");
    count.setAttribute("aria-label", `${waiting} waiting`);
    document.body.dataset.role = store.status.caller.role;
  }
  if (store.link !== "locked") shown?.update?.(detail);
}

function showLost() {
  place.replaceChildren(
    h("h1", {}, "The proxy does not answer"),
    h("p", {}, "It is tried again every few seconds; this page goes on by itself when it is back."),
    h("p", {}, "On the machine: ", h("code", {}, "bin/manage_vllm.sh status"), " says what is wrong."),
  );
}

function theme() {
  const button = document.getElementById("theme");
  const apply = (name) => {
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    window.dispatchEvent(new Event("theme"));
  };
  let now = localStorage.getItem("rota-theme") ?? "auto";
  apply(now);
  button.addEventListener("click", () => {
    now = { auto: "light", light: "dark", dark: "auto" }[now];
    localStorage.setItem("rota-theme", now);
    apply(now);
  });
}

theme();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address would be another view
  (place.querySelector("h1") ?? place).focus();
});
document.getElementById("forget").addEventListener("click", () => {
  useKey("");
  location.reload();
});
window.addEventListener("hashchange", () => store.status && store.link !== "locked" && show());
store.addEventListener("change", onChange);
store.keepFresh();
store.run();
