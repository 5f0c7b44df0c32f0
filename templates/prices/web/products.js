// The page of the template prices: lists products, adds and deletes them, edits prices, and opens the dialog of images.

import { Failure, apiUrl, call, element, handleSubmit, setError, showFailure } from "./common.js";
import { openImages } from "./images.js";

const PAGE_SIZE = 50;
/** Significant digits of a DynamoDB number. */
const MAX_DIGITS = 38;
const MAX_PRICE_CHARACTERS = 100;
/** As products-api limits it: the category is the key of an index. */
const MAX_CATEGORY_BYTES = 1024;

const get = (id) => document.getElementById(id);
const api = apiUrl();
const order = new Intl.Collator("en", { numeric: true });

/** The products of `category` or, if it is empty, all. */
let products = [];
let category = "";
let page = 0;
/** The latest request for a list. The answer to an earlier one does not count. */
let turn = 0;
/** The buttons of the products that are shown, by action and ID. */
const buttons = new Map();

/** The text of a value that a product has. Other clients may store other types. */
function textOf(value) {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function titleOf(product) {
  return textOf(product.name ?? "") || product.id;
}

function say(text) {
  get("status").textContent = text;
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** A price as JSON writes a number, never as a binary one: `7.50` for `07.50`. Undefined if the text is no price. */
function priceOf(text) {
  const [, whole, fraction = ""] = /^(\d*)(?:\.(\d*))?$/.exec(text.trim()) ?? [];
  if (!(whole || fraction)) {
    return undefined;
  }
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return fraction ? `${digits}.${fraction}` : digits;
}

function priceError(text) {
  if (!text.trim()) {
    return "Enter a price.";
  }
  const price = priceOf(text);
  if (price === undefined) {
    return "A price has digits and at most one point, such as 29.99.";
  }
  const significant = price.replace(".", "").replace(/^0+|0+$/g, "");
  const isLong = significant.length > MAX_DIGITS || price.length > MAX_PRICE_CHARACTERS;
  return isLong ? `A price has at most ${MAX_DIGITS} digits.` : "";
}

function productUrl(base, product) {
  return `${base}/products/${encodeURIComponent(product.id)}`;
}

function checkedProduct(answer) {
  if (typeof answer?.id !== "string") {
    throw new Failure("The answer of the API is not valid", "It is not a product.");
  }
  return answer;
}

// The list

function actionButton(action, label, product, open) {
  const title = element("span", { class: "hidden" }, ` ${titleOf(product)}`);
  const button = element("button", { type: "button" }, label, title);
  button.addEventListener("click", () => open(product));
  buttons.set(`${action} ${product.id}`, button);
  return button;
}

function row(product) {
  const heading = element("th", { role: "rowheader", scope: "row" }, titleOf(product));
  if (titleOf(product) !== product.id) {
    heading.append(element("span", { class: "id" }, product.id));
  }
  const cell = (label, name) => {
    const text = textOf(product[name] ?? "–");
    return element("td", { role: "cell", class: name, "data-label": label }, text);
  };
  return element(
    "tr",
    { role: "row" },
    heading,
    cell("Category", "category"),
    cell("Price", "price"),
    element(
      "td",
      { role: "cell", class: "buttons" },
      actionButton("price", "Edit price", product, editPrice),
      actionButton("image", "Image", product, openImage),
      actionButton("delete", "Delete", product, confirmDelete),
    ),
  );
}

function table(shown) {
  const heading = (text) => element("th", { role: "columnheader", scope: "col", class: text.toLowerCase() }, text);
  const head = ["Product", "Category", "Price", "Actions"].map(heading);
  return element(
    "table",
    { role: "table", class: "panel stack", "aria-label": "Products" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...shown.map(row)),
  );
}

/** The products that the search finds. */
function found() {
  const wanted = get("search").value.trim().toLowerCase();
  const fits = (product) => `${titleOf(product)}\n${product.id}`.toLowerCase().includes(wanted);
  return wanted ? products.filter(fits) : products;
}

function emptyText() {
  if (products.length) {
    return "No product has this name or ID.";
  }
  return category
    ? "There are no products in this category."
    : "There are no products yet. Add one, or load samples with: streamctl sample load prices";
}

function render() {
  const all = found();
  const last = Math.max(0, Math.ceil(all.length / PAGE_SIZE) - 1);
  page = Math.min(page, last);
  const start = page * PAGE_SIZE;
  const shown = all.slice(start, start + PAGE_SIZE);
  buttons.clear();
  get("list").replaceChildren(shown.length ? table(shown) : element("p", { class: "panel" }, emptyText()));
  get("pages").hidden = last === 0;
  const [from, to, total] = [start + 1, start + shown.length, all.length].map((one) => one.toLocaleString("en"));
  get("range").textContent = `${from}–${to} of ${total}`;
  get("previous").disabled = page === 0;
  get("next").disabled = page === last;
}

/** Adds a category to the filter and to the suggestions. */
function offer(name) {
  const options = [...get("category").options];
  if (typeof name !== "string" || !name || options.some((option) => option.value === name)) {
    return;
  }
  const after = options.find((option) => option.value && order.compare(option.value, name) > 0);
  get("category").add(element("option", { value: name }, name), after ?? null);
  get("categories").append(element("option", { value: name }));
}

function sort() {
  products.sort((one, other) => order.compare(titleOf(one), titleOf(other)) || order.compare(one.id, other.id));
}

/** Gets the list. The service reads all pages of the table. */
async function load(onSlow) {
  const mine = ++turn;
  const query = category ? `?${new URLSearchParams({ category })}` : "";
  const answer = await call("GET", `${await api}/products${query}`, { onSlow });
  if (mine !== turn) {
    return;
  }
  if (!Array.isArray(answer)) {
    throw new Failure("The answer of the API is not valid", "It is not a list of products.");
  }
  products = answer.map(checkedProduct);
  sort();
  new Set(products.map((product) => product.category)).forEach(offer);
  get("too-many").hidden = true;
  render();
  say(count(products.length, "product"));
}

async function refresh() {
  get("alert").replaceChildren();
  say("Loading the products.");
  const mine = turn + 1;
  try {
    await load(() => say("The API has not answered yet. This page still waits."));
  } catch (failure) {
    if (mine !== turn) {
      return;
    }
    say("");
    if (failure.status === 413) {
      get("too-many").hidden = false;
      get("one").focus();
    } else {
      showFailure(get("alert"), failure);
    }
  }
}

function turnPage(step) {
  page += step;
  render();
  get("list").focus();
  get("list").scrollIntoView();
  say(`Products ${get("range").textContent}`);
}

// Dialogs

/** Opens a dialog with its form as new, unless it still sends. */
function openDialog(dialog) {
  const form = dialog.querySelector("form");
  if (!("busy" in form.dataset)) {
    form.reset();
    form.querySelector("[role=alert]").replaceChildren();
    form.querySelectorAll("[aria-invalid]").forEach((input) => setError(input));
  }
  dialog.showModal();
}

/** Closes the dialog of a finished change, and moves the focus to a button that exists. */
function finish(dialog, text, focused) {
  dialog.close();
  render();
  (focused ?? get("list")).focus();
  say(text);
}

let current;

function editPrice(product) {
  current = product;
  openDialog(get("price-dialog"));
  get("price-product").textContent = titleOf(product);
  get("price").value = textOf(product.price ?? "");
  get("price").select();
}

function confirmDelete(product) {
  current = product;
  openDialog(get("delete-dialog"));
  get("delete-product").textContent = `${titleOf(product)} will be deleted. This cannot be undone.`;
}

async function openImage(product) {
  openImages(await api, product, titleOf(product), replace);
  // The button that had the focus may have been replaced.
  get("image-dialog").addEventListener("close", () => buttons.get(`image ${product.id}`)?.focus(), { once: true });
}

/** Puts a product in the place of the one with its ID. */
function replace(product) {
  products = products.map((one) => (one.id === product.id ? product : one));
  render();
}

async function add() {
  const name = JSON.stringify(get("new-name").value.trim());
  const group = get("new-category").value.trim();
  const price = priceOf(get("new-price").value);
  const rest = group ? `,"category":${JSON.stringify(group)}` : "";
  const body = `{"name":${name}${rest},"price":${price}}`;
  const product = checkedProduct(await call("POST", `${await api}/products`, { body }));
  offer(product.category);
  if (!category || category === product.category) {
    products.push(product);
    sort();
    get("search").value = "";
    page = Math.floor(products.indexOf(product) / PAGE_SIZE);
  }
  finish(get("add-dialog"), `${titleOf(product)} is added.`, get("add"));
}

async function save() {
  const product = current;
  const body = `{"price":${priceOf(get("price").value)}}`;
  const changed = checkedProduct(await call("PUT", productUrl(await api, product), { body }));
  replace(changed);
  const text = `The price of ${titleOf(changed)} is ${textOf(changed.price)}.`;
  finish(get("price-dialog"), text);
  buttons.get(`price ${changed.id}`)?.focus();
}

async function remove() {
  const product = current;
  try {
    await call("DELETE", productUrl(await api, product));
  } catch (failure) {
    // Someone else deleted it.
    if (failure.status !== 404) {
      throw failure;
    }
  }
  products = products.filter((one) => one !== product && one.id !== product.id);
  finish(get("delete-dialog"), `${titleOf(product)} is deleted.`);
}

function newErrors() {
  const [name, group, price] = [get("new-name"), get("new-category"), get("new-price")];
  const isLong = new TextEncoder().encode(group.value.trim()).length > MAX_CATEGORY_BYTES;
  return [
    [name, name.value.trim() ? "" : "Enter a name."],
    [group, isLong ? `A category has at most ${MAX_CATEGORY_BYTES} bytes.` : ""],
    [price, priceError(price.value)],
  ];
}

handleSubmit(get("add-dialog").querySelector("form"), newErrors, add);
handleSubmit(get("price-dialog").querySelector("form"), () => [[get("price"), priceError(get("price").value)]], save);
handleSubmit(get("delete-dialog").querySelector("form"), () => [], remove);
handleSubmit(
  get("too-many"),
  () => [[get("one"), get("one").value.trim() ? "" : "Enter a category."]],
  async () => {
    category = get("one").value.trim();
    offer(category);
    get("category").value = category;
    await load();
    get("list").focus();
  },
);

document.querySelectorAll("dialog").forEach((dialog) => {
  const form = dialog.querySelector("form");
  // A change that is being sent cannot be taken back. An upload can.
  const isHeld = () => "busy" in form.dataset && dialog.id !== "image-dialog";
  dialog.addEventListener("cancel", (event) => isHeld() && event.preventDefault());
  dialog.querySelector("[data-close]").addEventListener("click", () => isHeld() || dialog.close());
});
get("add").addEventListener("click", () => openDialog(get("add-dialog")));
get("refresh").addEventListener("click", refresh);
get("previous").addEventListener("click", () => turnPage(-1));
get("next").addEventListener("click", () => turnPage(1));
get("search").addEventListener("input", () => {
  page = 0;
  render();
  say(count(found().length, "product"));
});
get("category").addEventListener("change", () => {
  category = get("category").value;
  products = [];
  page = 0;
  get("list").replaceChildren();
  get("pages").hidden = true;
  refresh();
});
refresh();
