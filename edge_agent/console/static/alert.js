// One alert: say what it really shows, or delete it.

import { ask } from "./api.js";

const { alert: id, label } = document.querySelector("[data-alert]").dataset;
const form = document.getElementById("truth");
const none = document.getElementById("truth-none");
const says = document.getElementById("truth-says");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  keep(new FormData(form).get("truth"));
});
none.addEventListener("click", () => keep(""));

async function keep(truth) {
  try {
    await ask("PUT", `/api/v1/alerts/${id}/truth`, { truth });
  } catch (error) {
    says.textContent = error.message;
    return;
  }
  const isFalse = truth !== label;
  const badge = document.querySelector("#truth-state .badge");
  badge.className = `badge ${!truth ? "" : isFalse ? "warning" : "good"}`;
  badge.textContent = !truth ? "not judged yet" : isFalse ? "false alarm" : "confirmed";
  says.textContent = !truth ? "Taken back." : isFalse ? "Kept as a false alarm." : "Kept: the alert was right.";
  if (!truth) {
    form.reset();
    for (const choice of form.elements.truth) choice.checked = false;
    form.querySelector("button").focus();
  }
  none.hidden = !truth;
}

const dialog = document.getElementById("remove-dialog");
document.getElementById("remove").addEventListener("click", () => {
  document.getElementById("remove-failed").hidden = true;
  dialog.showModal();
});

document.getElementById("remove-really").addEventListener("click", async () => {
  try {
    await ask("DELETE", `/api/v1/alerts/${id}`);
    location.assign("/alerts");
  } catch (error) {
    document.getElementById("remove-failed-says").textContent = error.message;
    document.getElementById("remove-failed").hidden = false;
  }
});
