// One alert: say what it really shows, or delete it.

import { addressOf } from "./address.js";
import { ask } from "./api.js";

const { alert: id, label } = document.querySelector("[data-alert]").dataset;
const form = document.getElementById("review");
const none = document.getElementById("review-none");
const message = document.getElementById("review-message");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  keep(new FormData(form).get("review"));
});
none.addEventListener("click", () => keep(""));

async function keep(review) {
  try {
    await ask("PUT", `/api/v1/alerts/${id}/review`, { review });
  } catch (error) {
    message.textContent = error.message;
    return;
  }
  const isFalse = review !== label;
  const badge = document.querySelector("#review-state .badge");
  badge.className = `badge ${!review ? "" : isFalse ? "warning" : "good"}`;
  badge.textContent = !review ? "not reviewed yet" : isFalse ? "false alarm" : "confirmed";
  message.textContent = !review ? "Taken back." : isFalse ? "Kept as a false alarm." : "Kept: the alert was right.";
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
    await ask("DELETE", `/api/v1/alerts/${id}`);
    location.assign(addressOf("/alerts"));
  } catch (error) {
    document.getElementById("remove-failed-message").textContent = error.message;
    document.getElementById("remove-failed").hidden = false;
  }
});
