// Asks the proxy that has given this page: answers as JSON, streams as they come, with the key if there is one.

const KEY = "rota-key";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status; // 0: the proxy was not reached
  }
}

export const key = () => sessionStorage.getItem(KEY) ?? "";
export const useKey = (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY));

// All addresses are relative to where the page is, so that it may stand behind a path of another server.
const base = new URL(".", location.href);

export async function request(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (key()) sent.Authorization = `Bearer ${key()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(new URL(path, base), {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "the proxy does not answer");
  }
  if (!response.ok) throw new ApiError(response.status, await messageOf(response));
  return response;
}

async function messageOf(response) {
  const text = await response.text().catch(() => "");
  try {
    const told = JSON.parse(text);
    return told.error?.message ?? text;
  } catch {
    return text.slice(0, 500) || `the answer was ${response.status}`;
  }
}

export const get = async (path, options) => (await request(path, options)).json();
export const post = async (path, body, options) => (await request(path, { method: "POST", body, ...options })).json();

// The pieces of a text as they come; a read that brings nothing for `silenceS` ends with an error.
export async function* pieces(response, silenceS = Infinity) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await within(reader.read(), silenceS);
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function within(promise, seconds) {
  if (seconds === Infinity) return promise;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new ApiError(0, "the proxy is silent")), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Server-sent events (WHATWG HTML, 9.2) as {event, data, id}; a comment is {comment}.
export async function* events(response, silenceS) {
  let rest = "";
  for await (const piece of pieces(response, silenceS)) {
    rest += piece;
    let end;
    let from = 0;
    while ((end = rest.indexOf("\n\n", from)) >= 0) {
      yield eventOf(rest.slice(from, end));
      from = end + 2;
    }
    rest = rest.slice(from);
  }
}

function eventOf(block) {
  const told = { event: "message", data: "", id: null, comment: "" };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (colon === 0) told.comment += value;
    else if (line.startsWith("data")) told.data += told.data ? `\n${value}` : value;
    else if (line.startsWith("event")) told.event = value;
    else if (line.startsWith("id")) told.id = value;
  }
  return told;
}
