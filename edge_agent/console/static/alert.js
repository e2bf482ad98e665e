// The page of one alert: review it or delete it.

import { urlOf } from "./url.js";
import { request } from "./api.js";
import { enableButtons } from "./ready.js";

const { alert: id } = document.querySelector("[data-alert]").dataset;
const form = document.getElementById("review");
const none = document.getElementById("review-none");
const message = document.getElementById("review-message");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  saveReview(new FormData(form).get("review"));
});
none.addEventListener("click", () => saveReview(""));

// Keyboard shortcuts: a digit saves the review it stands for, a letter opens another alert.
const places = { j: "older", k: "newer", u: "next-unreviewed" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key in places) document.getElementById(places[event.key])?.click();
  const choice = form.elements.review[Number(event.key) - 1];
  if (!choice) return;
  choice.checked = true;
  saveReview(choice.value);
});

async function saveReview(review) {
  try {
    await request("PUT", `/api/v1/alerts/${id}/review`, { review });
  } catch (error) {
    message.textContent = error.message;
    return;
  }
  // The other kind of violation is not a false alarm.
  const isFalse = review === "with_mask" || review === "no_face";
  const badge = document.querySelector("#review-state .badge");
  badge.className = `badge ${!review ? "" : isFalse ? "warning" : "good"}`;
  badge.textContent = !review ? "not reviewed" : isFalse ? "false alarm" : "confirmed";
  message.textContent = !review ? "Review removed." : isFalse ? "Saved as a false alarm." : "Saved: the alert was right.";
  if (!review) {
    form.reset();
    for (const choice of form.elements.review) choice.checked = false;
    form.querySelector("button").focus();
  }
  none.hidden = !review;
}

const dialog = document.getElementById("remove-dialog");
document.getElementById("remove").addEventListener("click", () => {
  document.getElementById("remove-failed").hidden = true;
  dialog.showModal();
});

document.getElementById("remove-really").addEventListener("click", async () => {
  try {
    await request("DELETE", `/api/v1/alerts/${id}`);
    location.assign(urlOf("/alerts"));
  } catch (error) {
    document.getElementById("remove-failed-message").textContent = error.message;
    document.getElementById("remove-failed").hidden = false;
  }
});

enableButtons();
