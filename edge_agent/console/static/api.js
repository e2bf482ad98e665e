// Requests to the API of the device, as the person who is logged in.

import { addressOf } from "./address.js";

/** Ask; gives the parsed answer, or throws an Error whose message is the sentence that the device answered. */
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(addressOf(path), {
      method,
      headers: {
        Accept: "application/json",
        "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]').content,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("The device is not responding. Is it switched on and connected to the network?");
  }
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(sentence(said.detail) || `The device answered with status ${answer.status}.`);
  return said;
}

function sentence(detail) {
  if (typeof detail === "string") return detail;
  // What FastAPI says of a request that it cannot read.
  return Array.isArray(detail) ? detail.map(({ msg }) => msg).join("; ") : "";
}

export const WORDS = { with_mask: "mask", without_mask: "no mask", mask_worn_incorrectly: "worn wrongly" };

export function percent(fraction) {
  return `${Math.round(fraction * 100)}%`;
}

/** Make an element with a class and text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
