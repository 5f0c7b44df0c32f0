// Shared by the pages of the templates: the configuration, requests, exact numbers, forms. The directories templates/cart/web
// and templates/prices/web have the same copy, and tests/web compares them.

/** An HTTP API ends a request after 30 seconds. */
const TIMEOUT_SECONDS = 35;
/** After this time the page says that it still waits. */
const SLOW_SECONDS = 3;

/** Why something failed: a sentence, and what to know about it. `status` is that of the answer, or 0 without one. */
export class Failure extends Error {
  constructor(title, detail = "", status = 0) {
    super(title);
    this.detail = detail;
    this.status = status;
  }
}

/** The URL of the API, from `config.json` beside the page, without a slash at its end. */
export async function apiUrl() {
  const failure = (problem) => new Failure("This page is not set up", `The file config.json ${problem}.`);
  let response, text;
  try {
    response = await fetch("config.json", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000) });
    text = await response.text();
  } catch {
    throw failure("could not be loaded");
  }
  if (!response.ok) {
    throw failure(`could not be loaded (status ${response.status})`);
  }
  // In place of a missing file, a distribution may answer with the page itself and the status 200.
  const config = parsed(text);
  if (config === undefined) {
    throw failure("is not valid JSON");
  }
  const url = config?.api_url;
  if (typeof url !== "string" || !url) {
    throw failure("has no api_url");
  }
  const address = URL.canParse(url) ? new URL(url) : null;
  if (!["http:", "https:"].includes(address?.protocol) || address.search || address.hash) {
    throw failure("has an api_url that is not the URL of an API");
  }
  return url.replace(/\/+$/, "");
}

/**
 * Reads JSON, with its numbers as text: a JavaScript number cannot hold each of them exactly. Returns undefined if the
 * text is not JSON.
 */
export function parsed(text) {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  const token = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;
  return JSON.parse(text.replace(token, (found) => (found.startsWith('"') ? found : `"${found}"`)));
}

/**
 * Sends a request and returns its answer as `parsed` reads it. `body` is JSON text. `onSlow` is called if the answer takes
 * long. Throws a Failure, or what `signal` aborts with.
 */
export async function call(method, url, { body, onSlow, signal } = {}) {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), TIMEOUT_SECONDS * 1000);
  const slow = setTimeout(() => onSlow?.(), SLOW_SECONDS * 1000);
  const ends = signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal;
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  let response, text;
  try {
    response = await fetch(url, { method, body, headers, cache: "no-store", credentials: "omit", signal: ends });
    text = await response.text();
  } catch {
    signal?.throwIfAborted();
    const advice = method === "GET" ? "Try again later." : "It is not known whether the request was carried out.";
    if (timeout.signal.aborted) {
      throw new Failure(`The API did not answer within ${TIMEOUT_SECONDS} seconds`, advice);
    }
    throw new Failure("The API could not be reached", navigator.onLine ? advice : "This device is offline.");
  } finally {
    clearTimeout(timer);
    clearTimeout(slow);
  }
  const answer = parsed(text);
  if (!response.ok) {
    // API Gateway writes `message`, and Kinesis `message` or `Message`.
    const message = answer?.message ?? answer?.Message;
    const detail = typeof message === "string" && message ? message : "The answer has no message.";
    throw new Failure(`The API answered with status ${response.status}`, detail, response.status);
  }
  return answer;
}

/** An element with attributes and children. Text is never read as HTML. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/** Shows a failure in `place`, which is a live region. */
export function showFailure(place, failure) {
  const isKnown = failure instanceof Failure;
  const title = isKnown ? failure.message : "This page failed";
  const detail = isKnown ? failure.detail : String(failure);
  place.replaceChildren(
    element("div", { class: "panel failure" }, element("strong", {}, title), element("p", {}, detail)),
  );
  place.scrollIntoView({ block: "nearest" });
}

/** Shows or removes the error of a field. Its place is the element with the id `ID-error`. */
export function setError(input, message = "") {
  document.getElementById(`${input.id}-error`).textContent = message;
  if (message) {
    input.setAttribute("aria-invalid", "true");
  } else {
    input.removeAttribute("aria-invalid");
  }
}

/**
 * Sends a form, one request at a time. `check` returns the error of each field: pairs of an input and a message, empty
 * without one. `send` gets a function that shows a text while the form waits, and returns the text to show in the end.
 * While the form waits, `form.dataset.busy` is set.
 */
export function handleSubmit(form, check, send) {
  const button = form.querySelector("button[type=submit]");
  const progress = form.querySelector(".progress");
  const alert = form.querySelector("[role=alert]");
  const label = button.textContent;
  const setBusy = (isBusy) => {
    form.toggleAttribute("data-busy", isBusy);
    // Not disabled: the button would lose the focus.
    button.setAttribute("aria-disabled", isBusy);
    button.textContent = isBusy ? button.dataset.busy : label;
  };
  form.addEventListener("input", (event) => {
    if (event.target.getAttribute("aria-invalid")) {
      setError(event.target);
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if ("busy" in form.dataset) {
      return;
    }
    setBusy(true);
    alert.replaceChildren();
    progress.textContent = "";
    try {
      const checked = await check();
      checked.forEach(([input, message]) => setError(input, message));
      const invalid = checked.find(([, message]) => message);
      if (invalid) {
        invalid[0].focus();
      } else {
        progress.textContent = (await send((text) => (progress.textContent = text))) ?? "";
      }
    } catch (failure) {
      progress.textContent = "";
      // The user ended it.
      if (failure.name !== "AbortError") {
        showFailure(alert, failure);
      }
    } finally {
      setBusy(false);
    }
  });
}
