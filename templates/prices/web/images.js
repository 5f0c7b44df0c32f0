// The dialog of a product's image: uploads a file with a presigned URL, waits until its sizes are made, and shows them.

import { Failure, call, element, handleSubmit, showFailure } from "./common.js";

/** What image-processor makes, in pixels. */
const SIZES = [
  ["small", 192, 108],
  ["medium", 1280, 720],
  ["large", 1920, 1080],
];
const MAX_UPLOAD_BYTES = 32 * 2 ** 20;
/** An upload that makes no progress for this time is given up. */
const STALL_SECONDS = 60;
/** How long to wait for the sizes, and between two looks. */
const SIZES_SECONDS = 60;
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 5000;
const UNREACHABLE = "The bucket could not be reached, or its CORS rules do not allow this page.";

const dialog = document.getElementById("image-dialog");
const form = dialog.querySelector("form");
const alert = form.querySelector("[role=alert]");
const file = document.getElementById("file");
const bar = document.getElementById("uploaded");
const place = document.getElementById("sizes");

/** Ends what the dialog does when it is closed. */
let closing = new AbortController();
/** The URL of the API, the product of the dialog and its name, and what to call when it has a new image. */
let current;

function hasSizes(product) {
  const main = product.images?.main;
  return Array.isArray(main) && SIZES.every(([name]) => main.includes(name));
}

async function fileError() {
  const chosen = file.files[0];
  if (!chosen) {
    return "Choose a file.";
  }
  if (chosen.size > MAX_UPLOAD_BYTES) {
    return "The file is larger than 32 MiB.";
  }
  let head;
  try {
    head = String.fromCharCode(...new Uint8Array(await chosen.slice(0, 12).arrayBuffer()));
  } catch {
    return "The file cannot be read.";
  }
  const isImage = /^(\xff\xd8\xff|\x89PNG|RIFF[^]{4}WEBP)/.test(head);
  return isImage ? "" : "The file is not a JPEG, PNG or WebP image.";
}

function imagesUrl(size) {
  const query = new URLSearchParams(size ? { type: "main", size } : { type: "main" });
  return `${current.api}/products/${encodeURIComponent(current.product.id)}/images?${query}`;
}

/** The failure of a request to S3, which answers in XML. */
function storageFailure(title, status, text) {
  const [, message] = /<Message>([^<]+)/.exec(text) ?? [];
  return new Failure(`${title} (status ${status})`, message ?? "The answer has no message.", status);
}

/** Puts a file to a presigned URL. Not by fetch, which tells no progress. */
function put(url, body, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let timer;
    const isAlive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        reject(new Failure("The upload stopped", `It made no progress for ${STALL_SECONDS} seconds.`));
        request.abort();
      }, STALL_SECONDS * 1000);
    };
    request.upload.addEventListener("progress", (event) => {
      isAlive();
      bar.value = event.total ? event.loaded / event.total : 0;
    });
    request.addEventListener("load", () => {
      if (request.status === 200) {
        resolve();
      } else {
        reject(storageFailure("The bucket refused the image", request.status, request.responseText));
      }
    });
    request.addEventListener("error", () => reject(new Failure("The image could not be uploaded", UNREACHABLE)));
    request.addEventListener("loadend", () => clearTimeout(timer));
    signal.addEventListener("abort", () => {
      reject(signal.reason);
      request.abort();
    });
    request.open("PUT", url);
    // The URL is signed for this type. image-processor looks at the content.
    request.setRequestHeader("Content-Type", "image/jpeg");
    isAlive();
    request.send(body);
  });
}

/** A size of the image, with the time of its last change. */
async function download(size, signal) {
  const { download_url: url } = (await call("GET", imagesUrl(size), { signal })) ?? {};
  let response, blob;
  try {
    response = await fetch(url, { cache: "no-store", credentials: "omit", signal });
    blob = await response.blob();
  } catch {
    signal.throwIfAborted();
    throw new Failure("The image could not be loaded", UNREACHABLE);
  }
  if (!response.ok) {
    throw storageFailure("The image could not be loaded", response.status, await blob.text());
  }
  return { blob, modified: response.headers.get("Last-Modified") };
}

/** The small size as it is, or undefined without one. It is made last. */
async function smallest(signal) {
  try {
    const { blob, modified } = await download("small", signal);
    return `${modified} ${new Uint8Array(await blob.arrayBuffer())}`;
  } catch (failure) {
    signal.throwIfAborted();
    if (failure.status === 404 || failure.status === 403) {
      // Without the permission to list the bucket, S3 answers 403 for an object that does not exist.
      return undefined;
    }
    throw failure;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** Waits until the product has sizes of the new image. `former` is the small size of the one before. */
async function untilSized(former, signal) {
  const deadline = performance.now() + SIZES_SECONDS * 1000;
  let wait = FIRST_PAUSE_MS;
  let reason = "image-processor may have refused the image: its log says why.";
  while (performance.now() < deadline) {
    await pause(wait, signal);
    wait = Math.min(wait * 1.5, MAX_PAUSE_MS);
    try {
      const product = await call("GET", `${current.api}/products/${encodeURIComponent(current.product.id)}`, { signal });
      if (hasSizes(product) && (former === undefined || (await smallest(signal)) !== former)) {
        return product;
      }
    } catch (failure) {
      signal.throwIfAborted();
      if (failure.status === 404) {
        throw failure;
      }
      reason = `${failure.message}: ${failure.detail}`;
    }
  }
  throw new Failure(`The sizes did not appear within ${SIZES_SECONDS} seconds`, `The image is uploaded. ${reason}`);
}

async function figure([size, width, height], signal) {
  const caption = element("figcaption", {}, `${size[0].toUpperCase()}${size.slice(1)}, ${width} × ${height}`);
  try {
    const { blob } = await download(size, signal);
    const alt = `${current.title}, ${size} image`;
    const image = element("img", { src: URL.createObjectURL(blob), alt, width, height });
    await image.decode();
    return element("figure", {}, image, caption);
  } catch (failure) {
    signal.throwIfAborted();
    const problem = failure instanceof Failure ? `${failure.message}: ${failure.detail}` : "The image is damaged.";
    return element("figure", {}, element("p", { class: "error" }, problem), caption);
  }
}

function clearSizes() {
  place.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
  place.replaceChildren();
}

async function showSizes(signal) {
  const figures = await Promise.all(SIZES.map((size) => figure(size, signal)));
  // Meanwhile the dialog may show another product.
  signal.throwIfAborted();
  clearSizes();
  place.append(...figures);
}

async function upload(progress) {
  const { signal } = closing;
  const target = current;
  progress("Preparing the upload.");
  const former = hasSizes(target.product) ? await smallest(signal) : undefined;
  const { url } = (await call("POST", imagesUrl(), { signal })) ?? {};
  if (typeof url !== "string" || !URL.canParse(url)) {
    throw new Failure("The answer of the API is not valid", "It has no URL for the upload.");
  }
  progress("Uploading the image.");
  bar.value = 0;
  bar.hidden = false;
  try {
    await put(url, file.files[0], signal);
  } finally {
    bar.hidden = true;
  }
  clearSizes();
  progress("The image is uploaded. Waiting for its three sizes.");
  target.product = await untilSized(former, signal);
  target.onImage(target.product);
  await showSizes(signal);
  file.value = "";
  return "The three sizes are ready.";
}

/** Shows the dialog for a product, which has the name `title`. */
export async function openImages(api, product, title, onImage) {
  closing = new AbortController();
  const { signal } = closing;
  current = { api, product, title, onImage };
  form.reset();
  alert.replaceChildren();
  document.getElementById("image-product").textContent = title;
  dialog.showModal();
  if (!hasSizes(product)) {
    place.replaceChildren(element("p", { class: "hint" }, "This product has no image yet."));
    return;
  }
  place.replaceChildren(element("p", { class: "hint" }, "Loading the image."));
  try {
    await showSizes(signal);
  } catch (failure) {
    if (!signal.aborted) {
      showFailure(alert, failure);
    }
  }
}

handleSubmit(form, async () => [[file, await fileError()]], upload);

dialog.addEventListener("close", () => {
  closing.abort();
  clearSizes();
});
