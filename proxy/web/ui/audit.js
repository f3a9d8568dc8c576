// The audit: which requests there were, by time, key, agent type; whether all of it is still there. Never any text.

import { post } from "./api.js";
import { duration, emptyState, h, problem, say } from "./dom.js";
import { store } from "./store.js";

export const title = "Audit";
const FIELDS = [["key", "Key", "text"], ["agent_type", "Agent type", "text"], ["model", "Model", "text"], ["id", "Request id", "text"],
  ["since", "From (UTC)", "datetime-local"], ["until", "Until (UTC)", "datetime-local"]];
const HEADS = ["Time (UTC)", "Key", "Agent type", "Model", "Endpoint", "Outcome", "Waited", "In all", "Tokens"];

export function open(body) {
  const inputs = Object.fromEntries(FIELDS.map(([name, , type]) => [name, h("input", { id: `audit-${name}`, type, autocomplete: "off" })]));
  const text = h("textarea", { id: "audit-text", rows: "2" });
  const results = h("div", { class: "results" });
  const verdict = h("div", { class: "verdict", role: "status" });
  const state = h("p", { class: "hint", role: "status" });
  const find = h("button", { type: "submit", class: "primary" }, "Search");
  const verify = h("button", { type: "button", onclick: () => check(verify, verdict) }, "Verify all of it");
  const form = h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); search(); } },
    h("div", { class: "fields" }, FIELDS.map(([name, word]) => h("div", {}, h("label", { for: `audit-${name}` }, word), inputs[name])),
      h("div", { class: "whole" }, h("label", { for: "audit-text" }, "Exactly this was said (only its hash is compared)"), text)),
    h("div", { class: "actions" }, find, verify), verdict);
  const denied = h("p", {}, "Only an admin's key may read the audit.");
  body.append(form, denied, state, results);

  async function search() {
    find.disabled = true;
    say(state, "Searching …");
    const wanted = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value));
    if (text.value) wanted.text = text.value;
    try {
      const { requests } = await post("admin/audit/find", wanted);
      say(state, requests.length ? `The last ${requests.length} of them, the newest first` : "");
      results.replaceChildren(requests.length ? table(requests) : emptyState("Nothing found", "No request in the audit is like that."));
    } catch (error) {
      say(state, "");
      results.replaceChildren(problem(error));
    } finally {
      find.disabled = false;
    }
  }

  const show = () => {
    form.hidden = !store.isAdmin;
    denied.hidden = store.isAdmin;
  };
  show();
  results.replaceChildren(emptyState("Which requests?", "Search without words shows the last 200. All of the audit is read for it, which takes a while where it is long."));
  return { update: show };
}

async function check(button, verdict) {
  button.disabled = true;
  verdict.replaceChildren(h("p", { class: "hint" }, "Reading all of it …"));
  try {
    const told = await post("admin/audit/verify");
    verdict.replaceChildren(h("div", { class: `note ${told.is_whole ? "good" : "bad"}` }, told.said.map((line) => h("p", {}, line))));
  } catch (error) {
    verdict.replaceChildren(problem(error));
  } finally {
    button.disabled = false;
  }
}

function table(requests) {
  return h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Requests found" },
    h("table", {}, h("thead", {}, h("tr", {}, HEADS.map((head) => h("th", { scope: "col" }, head)))), h("tbody", {}, requests.map(row))));
}

function row(one) {
  const tokens = one.prompt_tokens === undefined ? "–" : `${one.prompt_tokens} + ${one.answer_tokens}`;
  const outcome = one.outcome === "unknown" ? "no end is noted (yet)" : `${one.outcome}${one.status ? ` ${one.status}` : ""}${one.error ? `, ${one.error}` : ""}`;
  const cells = [one.key || "–", one.agent_type || "–", one.model || "–", one.endpoint, outcome, duration(one.waited_s), duration(one.total_s), tokens];
  const rest = Object.entries(one).filter(([, value]) => value !== "" && value !== null);
  return h("tr", {}, h("th", { scope: "row" },
    h("details", {}, h("summary", {}, one.at.replace("T", " ").slice(0, 19)),
      h("dl", { class: "whole" }, rest.map(([name, value]) => [h("dt", {}, name), h("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))])))),
  cells.map((cell) => h("td", {}, cell)));
}
