// Requests to the device's API in the current session.

import { urlOf } from "./url.js";

const MOST_TRIES = 3;
const LONGEST_PAUSE_SECONDS = 2;

/**
 * Send an idempotent request; returns the parsed response, or throws an Error with the device's error message. A device
 * that is too busy is asked again.
 */
export async function request(method, path, body) {
  const options = {
    method,
    headers: {
      Accept: "application/json",
      "X-CSRF-Token": document.querySelector('meta[name="csrf-token"]').content,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  };
  let response;
  for (let tries = 1; ; tries += 1) {
    try {
      response = await fetch(urlOf(path), options);
    } catch {
      throw new Error("The device is not responding. Is it switched on and connected to the network?");
    }
    // Without the agent it takes longer: say so at once.
    const pauseSeconds = Number(response.headers.get("Retry-After"));
    if (response.status !== 503 || !pauseSeconds || pauseSeconds > LONGEST_PAUSE_SECONDS || tries === MOST_TRIES) break;
    await new Promise((resolve) => setTimeout(resolve, pauseSeconds * 1000));
  }
  if (response.status === 204) return null;
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(sentence(content.detail) || `The device answered with status ${response.status}.`);
  return content;
}

function sentence(detail) {
  if (typeof detail === "string") return detail;
  // FastAPI's format for validation errors.
  return Array.isArray(detail) ? detail.map(({ msg }) => msg).join("; ") : "";
}

export const WORDS = { with_mask: "mask", without_mask: "no mask", mask_worn_incorrectly: "worn incorrectly" };

export function percent(fraction) {
  return `${Math.round(fraction * 100)}%`;
}

/** Create an element with a class and text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
