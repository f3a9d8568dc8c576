// Builds elements, keeps lists of them, and puts figures into words. Nothing here knows what Rota is.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Sets the text only where it has changed, so that what a reader has selected or hears is not disturbed.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// One element for each item, by its key; elements stay what and where they are, and with them the focus.
export function keyed(container, items, keyOf, create, update) {
  const known = (container.known ??= new Map());
  const wanted = new Set(items.map(keyOf));
  for (const [key, element] of known) {
    if (!wanted.has(key)) {
      element.remove();
      known.delete(key);
    }
  }
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    let element = known.get(key);
    if (!element) known.set(key, (element = create(item)));
    update(element, item);
    const next = before ? before.nextSibling : container.firstChild;
    if (element !== next) container.insertBefore(element, next);
    before = element;
  }
}

export const GIB = 2 ** 30;

export const gib = (bytes) => `${(bytes / GIB).toFixed(bytes >= 100 * GIB ? 0 : bytes >= 10 * GIB ? 1 : 2)} GiB`;

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.max(0, seconds);
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(unix, { seconds = true } = {}) {
  const at = new Date(unix * 1000);
  return `${two(at.getHours())}:${two(at.getMinutes())}${seconds ? `:${two(at.getSeconds())}` : ""}`;
}

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

export const stateWord = (state) => state.replaceAll("_", " ");

export const badge = (state) => h("span", { class: "badge", data: { state } }, stateWord(state));

let hideToast;
export function toast(text, kind = "") {
  const place = document.getElementById("toast");
  place.replaceChildren(h("p", { class: `note ${kind}` }, text));
  clearTimeout(hideToast);
  hideToast = setTimeout(() => place.replaceChildren(), kind === "bad" ? 12000 : 5000);
}

// Asks before something that cannot be undone; answers whether it was confirmed.
export function confirmed(title, text, verb, kind = "danger") {
  const dialog = document.getElementById("dialog");
  return new Promise((resolve) => {
    const done = (answer) => {
      dialog.onclose = null;
      dialog.close();
      resolve(answer);
    };
    dialog.replaceChildren(
      h("h2", { id: "dialog-title" }, title),
      ...[text].flat().map((one) => (typeof one === "string" ? h("p", {}, one) : one)),
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", onclick: () => done(false) }, "Cancel"),
        verb && h("button", { type: "button", class: kind, onclick: () => done(true) }, verb),
      ),
    );
    dialog.onclose = () => resolve(false);
    dialog.showModal();
  });
}

export const emptyState = (title, text) => h("div", { class: "empty" }, h("p", { class: "big" }, title), h("p", {}, text));

export const problem = (error) => h("div", { class: "problem", role: "alert" }, h("p", {}, error.message ?? String(error)));
