// The page of the templates cart and cart-direct: sends an event of a shopping cart, and shows where Kinesis stored it.

import { Failure, apiUrl, call, element, handleSubmit, showFailure } from "./common.js";

// As cart-api limits them.
const MAX_USER_DIGITS = 38;
const MAX_PRODUCTS = 1000;
const MAX_PRODUCT_CHARACTERS = 128;

const form = document.getElementById("cart");
const user = document.getElementById("user");
const products = document.getElementById("products");
const result = document.getElementById("result");

const api = apiUrl();
api.catch((failure) => showFailure(document.getElementById("setup"), failure));

/** The digits of a user ID as JSON writes a number: without leading zeros. */
function userId() {
  return user.value.trim().replace(/^0+(?=\d)/, "");
}

function productIds() {
  const ids = products.value.split(",").map((id) => id.trim());
  return ids.filter((id) => id);
}

function userError() {
  const digits = userId();
  if (!digits) {
    return "Enter a user ID.";
  }
  if (!/^\d+$/.test(digits)) {
    return "A user ID has digits only, such as 12345.";
  }
  return digits.length > MAX_USER_DIGITS ? `A user ID has at most ${MAX_USER_DIGITS} digits.` : "";
}

function productsError() {
  if (products.value && !/^[A-Za-z0-9,\s]+$/.test(products.value)) {
    return "Product IDs have letters, digits and spaces, with commas between them.";
  }
  const ids = productIds();
  if (ids.length > MAX_PRODUCTS) {
    return `An event has at most ${MAX_PRODUCTS} products.`;
  }
  const isLong = ids.some((id) => id.length > MAX_PRODUCT_CHARACTERS);
  return isLong ? `A product ID has at most ${MAX_PRODUCT_CHARACTERS} characters.` : "";
}

/** The body of a submission. A JavaScript number cannot hold every user ID, so the digits are written as they are. */
function submission(id, event) {
  const rest = JSON.stringify({
    product_ids: productIds(),
    event,
    timestamp: new Date().toISOString(),
    source: "web-app",
  });
  return `{"user_id":${id},${rest.slice(1)}`;
}

/** Where Kinesis stored the event. The ID of a record is its sequence number. */
function receipt(answer) {
  const { record_id: record, shard_id: shard } = answer ?? {};
  if (typeof record !== "string" || typeof shard !== "string") {
    throw new Failure("The answer of the API is not valid", "It does not say where the event was stored.");
  }
  return { record, shard };
}

function recommendationRow(recommendation) {
  const { product_id: id, product_name: name, department, aisle, probability } = recommendation ?? {};
  const cell = (label, text) => element("td", { role: "cell", "data-label": label }, text ?? "–");
  const percent = (Number(probability) * 100).toFixed(1);
  const product = element("th", { role: "rowheader", scope: "row" }, name ?? id ?? "–");
  if (name) {
    product.append(element("span", { class: "id" }, id));
  }
  return element(
    "tr",
    { role: "row" },
    product,
    cell("Department", department),
    cell("Aisle", aisle),
    cell("Probability", `${percent}\u00a0%`),
  );
}

/** The roles keep it a table for assistive technology where the style of a narrow screen shows its cells as blocks. */
function recommendationTable(recommendations) {
  const heading = (text) => element("th", { role: "columnheader", scope: "col" }, text);
  const head = ["Product", "Department", "Aisle", "Probability"].map(heading);
  return element(
    "table",
    { role: "table", class: "stack", "aria-labelledby": "recommended" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...recommendations.map(recommendationRow)),
  );
}

function show(answer, id, event) {
  const { record, shard } = receipt(answer);
  const entry = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  const details = element(
    "dl",
    {},
    entry("Event", event),
    entry("User ID", id),
    entry("Record ID", record),
    entry("Shard", shard),
  );
  const parts = [element("h2", {}, answer.message ?? "The event was sent"), details];
  const { recommendations } = answer;
  if (Array.isArray(recommendations)) {
    parts.push(
      element("h3", { id: "recommended" }, "Recommended products"),
      recommendations.length
        ? recommendationTable(recommendations)
        : element("p", {}, "There are no recommendations for this user."),
    );
  }
  result.replaceChildren(element("div", { class: "panel success" }, ...parts));
  result.scrollIntoView({ block: "nearest" });
}

handleSubmit(
  form,
  () => [
    [user, userError()],
    [products, productsError()],
  ],
  async (progress) => {
    result.replaceChildren();
    // The fields may change while this waits.
    const [id, event] = [userId(), form.elements.event.value];
    const onSlow = () => progress("The API has not answered yet. This page still waits.");
    progress("Sending the event.");
    const body = submission(id, event);
    const answer = await call("POST", `${await api}/submit`, { body, onSlow });
    show(answer, id, event);
    return "The event was sent.";
  },
);
