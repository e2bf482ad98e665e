// The live page: pictures, states and figures of the device, and its newest alerts.

import { urlOf } from "./url.js";
import { request, element, percent, WORDS } from "./api.js";
import { ReconnectingSocket } from "./socket.js";
import { retryMissing } from "./pictures.js";
import { announceAlert } from "./tab.js";
import { enableButtons } from "./ready.js";

const MOST_NEWEST = 12;
const RUNTIMES = { litert: "LiteRT", "tflite-runtime": "TensorFlow Lite" };
const SMALLEST_WIDTH_PX = 320;
const LARGEST_WIDTH_PX = 960;
const LENGTH_BYTES = 4;
const STATES = {
  watching: ["watching", "good"],
  away: ["away", "bad"],
  problem: ["problem", "warning"],
  paused: ["paused", "warning"],
  connecting: ["connecting", ""],
};

const socket = new ReconnectingSocket("/live", { staysOpen: true });
const utf8 = new TextDecoder();

class Camera {
  constructor(card) {
    this.card = card;
    this.name = card.dataset.camera;
    this.canvas = card.querySelector("[data-picture]");
    this.isPaused = false;
    this.isAway = false;
    this.hasPicture = false;
    this.facesShown = "";
    card.querySelector("[data-pause]").addEventListener("click", () => this.togglePause());
    card.querySelector("[data-enlarge]").addEventListener("click", () => this.toggleFullscreen());
  }

  part(name) {
    return this.card.querySelector(`[data-${name}]`);
  }

  async togglePause() {
    const button = this.part("pause");
    button.disabled = true;
    try {
      const result = await request("POST", `/api/v1/commands/${this.isPaused ? "resume" : "pause"}`, { camera: this.name });
      if (result.state !== "done") throw new Error(result.reason);
      this.showPaused(!this.isPaused);
    } catch (error) {
      this.showMessage("The command failed", error.message);
    } finally {
      button.disabled = false;
      button.focus();
    }
  }

  toggleFullscreen() {
    document.fullscreenElement ? document.exitFullscreen() : this.part("stage").requestFullscreen?.();
  }

  /** Draw a picture; resolves when it is on the screen. */
  async show(head, jpeg) {
    const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    if (this.isPaused) return picture.close();
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
      this.part("stage").style.aspectRatio = `${picture.width} / ${picture.height}`;
    }
    this.canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.canvas.hidden = false;
    this.part("enlarge").hidden = !this.part("stage").requestFullscreen;
    this.canvas.dataset.index = head.index;
    this.hasPicture = true;
    if (!this.isAway) this.part("message").hidden = true;
    this.showFaces(head.faces);
  }

  showFaces(faces) {
    const shown = JSON.stringify(faces.map(({ track, label, score, decision }) => [track, label, Math.round(score * 100), decision]));
    if (shown === this.facesShown) return;
    this.facesShown = shown;
    this.part("faces").replaceChildren(
      ...(faces.length === 0
        ? [element("li", "soft small", "no faces in view")]
        : faces.map(({ track, label, score, decision }) => {
            const item = element("li");
            const read = label ? `${WORDS[label]} ${percent(score)}` : "not classified yet";
            item.append(element("span", `badge ${label ?? ""}`, `#${track} · ${read}${decision ? ` · ${decision}` : ""}`));
            return item;
          })),
    );
  }

  showPaused(isPaused) {
    this.isPaused = isPaused;
    this.part("pause-word").textContent = isPaused ? "Resume" : "Pause";
    this.part("pause").setAttribute("aria-label", `${isPaused ? "Resume" : "Pause"} ${this.card.dataset.title}`);
    this.part("icon-pause").hidden = isPaused;
    this.part("icon-resume").hidden = !isPaused;
    if (isPaused) {
      this.clearPicture();
      this.showMessage("Paused", "Detection is off until the camera is resumed.", "paused");
      this.showState("paused");
    }
  }

  showState(name) {
    const [text, kind] = STATES[name];
    const badge = this.part("state");
    if (badge.textContent !== text) badge.textContent = text;
    badge.className = `badge ${kind}`;
  }

  showFigures(state) {
    this.part("pause").disabled = false;
    this.isAway = !state.is_open;
    if (this.isPaused !== state.paused) this.showPaused(state.paused);
    if (state.paused) {
      // showPaused has set the state.
    } else if (!state.is_open) {
      this.showState("away");
      this.showMessage("No picture from this camera", state.reason, "away");
    } else if (state.faults.length > 0) {
      this.showState("problem");
      if (!this.hasPicture) this.showMessage("Camera problem", state.faults.map(({ text }) => text).join("; "), "away");
    } else {
      this.showState("watching");
      if (this.hasPicture) this.part("message").hidden = true;
      else this.showMessage("Waiting for a picture", "");
    }
    const [width, height] = state.frame_size ?? [0, 0];
    const asked = state.asked_frames_per_second;
    const analysed = state.frames_per_second?.toFixed(1);
    this.setFigure("rate", analysed && asked ? `${analysed} of ${asked}` : analysed);
    this.setFigure("frames", grouped(state.frames));
    this.setFigure("dropped", grouped(state.dropped));
    this.setFigure("reopened", grouped(state.reopened));
    this.setFigure("size", width ? `${width}×${height}` : undefined);
  }

  clearPicture() {
    this.hasPicture = false;
    this.canvas.hidden = true;
    this.part("enlarge").hidden = true;
    this.showFaces([]);
  }

  setFigure(name, value) {
    this.card.querySelector(`[data-figure="${name}"]`).textContent = value ?? "–";
  }

  showMessage(head, why, icon = "") {
    this.part("message").hidden = false;
    this.part("message-head").textContent = head;
    this.part("message-why").textContent = why;
    this.part("icon-away").hidden = icon !== "away";
    this.part("icon-paused").hidden = icon !== "paused";
  }
}

const cameras = new Map([...document.querySelectorAll("[data-camera]")].map((card) => [card.dataset.camera, new Camera(card)]));

// Only cameras in the viewport are requested.
const inView = new Set();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const { camera } = target.closest("[data-camera]").dataset;
      isIntersecting ? inView.add(camera) : inView.delete(camera);
    }
    watch();
  },
  { rootMargin: "100px" },
);

let subscribed = "";

function watch() {
  const widths = [...cameras.values()].map(({ card }) => card.querySelector("[data-stage]").clientWidth);
  const width = Math.max(...widths) * Math.min(window.devicePixelRatio, 2);
  const wanted = {
    watch: document.hidden ? [] : [...inView],
    width_px: Math.round(Math.min(Math.max(width, SMALLEST_WIDTH_PX), LARGEST_WIDTH_PX)),
  };
  if (socket.isOpen && JSON.stringify(wanted) !== subscribed) {
    subscribed = JSON.stringify(wanted);
    socket.send(wanted);
  }
}

socket.addEventListener("open", () => {
  subscribed = "";
  watch();
  retryMissing();
  refreshNewest();
});

socket.addEventListener("lost", () => {
  showDevice("lost", "bad");
  for (const camera of cameras.values()) if (!camera.isPaused) camera.showState("connecting");
});

socket.addEventListener("message", async ({ detail }) => {
  if (detail instanceof ArrayBuffer) {
    const length = new DataView(detail).getUint32(0);
    const head = JSON.parse(utf8.decode(new Uint8Array(detail, LENGTH_BYTES, length)));
    try {
      await cameras.get(head.camera)?.show(head, new Uint8Array(detail, LENGTH_BYTES + length));
    } finally {
      // The device sends this camera's next picture only after this message: a slow browser gets fewer, none queue up.
      socket.send({ shown: head.camera });
    }
  } else if (detail.overview) showOverview(detail.overview);
  else if (detail.error) showUnanswered(detail.error);
  else if (detail.alert) {
    announceAlert();
    await refreshNewest();
    const { label, camera } = detail.alert;
    document.getElementById("newest-message").textContent = `New alert: ${WORDS[label]} at ${cameras.get(camera)?.card.dataset.title ?? camera}`;
  }
});

function showOverview(overview) {
  showDevice(overview.status, overview.status === "online" ? "good" : "warning");
  for (const state of overview.cameras) cameras.get(state.name)?.showFigures(state);
  showReasons(overview.reasons.map(({ text }) => text));
  const { outbox, machine, latencies_ms: latencies, alerts_today: today, uptime_seconds: uptime, versions } = overview.telemetry;
  const { connected, reason, waiting } = overview.delivery;
  const broker = document.getElementById("broker-state");
  broker.textContent = connected ? "broker connected" : "broker away";
  broker.className = `badge ${connected ? "good" : "warning"}`;
  broker.title = reason;
  setFact("waiting", `${grouped(waiting)} ${waiting === 1 ? "message" : "messages"}, ${bytes(outbox.bytes)}`);
  setFact("sent", grouped(outbox.sent));
  setFact("dropped", grouped(Object.values(outbox.dropped).reduce((sum, count) => sum + count, 0)));
  setFact("alerts_today", grouped(today));
  setFact("temperature", machine.temperature_celsius === null ? "unknown" : `${machine.temperature_celsius.toFixed(1)} °C`);
  setFact("throttling", machine.throttling.length ? machine.throttling.join(", ").replaceAll("_", " ") : "none");
  setFact("memory", bytes(machine.memory_bytes));
  setFact("disk", bytes(machine.disk_free_bytes));
  setFact("uptime", duration(uptime));
  setFact("model", `${versions.model}, run by ${RUNTIMES[versions.runtime] ?? versions.runtime}`);
  showLatencies(latencies);
}

/** The console runs, but the agent does not respond. */
function showUnanswered(error) {
  showDevice("not responding", "bad");
  showReasons([error]);
}

function showDevice(text, kind) {
  const badge = document.getElementById("device-state");
  // Screen readers announce every change, so set the text only if it differs.
  if (badge.textContent !== text) badge.textContent = text;
  badge.className = `badge ${kind}`;
}

function showReasons(reasons) {
  const list = document.getElementById("reasons-list");
  if (list.dataset.shown === reasons.join("\n")) return;
  list.dataset.shown = reasons.join("\n");
  list.replaceChildren(...reasons.map((text) => element("li", "", text)));
  document.getElementById("reasons").hidden = reasons.length === 0;
}

function showLatencies(latencies) {
  const rows = Object.entries(latencies).map(([stage, { p50, p95 }]) => {
    const row = element("tr");
    const head = element("th", "", stage === "frame" ? "whole frame" : stage);
    head.scope = "row";
    row.append(head, element("td", "number", `${p50.toFixed(1)} ms`), element("td", "number", `${p95.toFixed(1)} ms`));
    return row;
  });
  if (rows.length > 0) document.getElementById("latencies").replaceChildren(...rows);
}

/** Add new alerts without replacing those already shown, so that the focus is kept. */
async function refreshNewest() {
  let page;
  try {
    const response = await fetch(urlOf("/newest"), { redirect: "manual" });
    if (!response.ok) return;
    page = await response.text();
  } catch {
    return;
  }
  const coming = document.createElement("template");
  coming.innerHTML = page;
  const strip = document.getElementById("newest");
  const known = new Set([...strip.children].map(({ dataset }) => dataset.alert));
  const fresh = [...coming.content.children].filter(({ dataset }) => !known.has(dataset.alert));
  const isAtStart = strip.scrollLeft < 8;
  strip.prepend(...fresh);
  while (strip.children.length > MOST_NEWEST) strip.lastElementChild.remove();
  strip.hidden = strip.children.length === 0;
  document.getElementById("newest-empty").hidden = strip.children.length > 0;
  if (isAtStart) strip.scrollLeft = 0;
}

function setFact(name, text) {
  document.querySelector(`[data-device="${name}"]`).textContent = text;
}

function grouped(number) {
  return number?.toLocaleString("en");
}

function bytes(count) {
  if (count === null || count === undefined) return "unknown";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  const value = count / 1000 ** power;
  return `${value.toFixed(power > 0 && value < 100 ? 1 : 0)} ${units[power]}`;
}

function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

for (const { card } of cameras.values()) observer.observe(card.querySelector("[data-stage]"));
window.addEventListener("resize", watch);
document.addEventListener("visibilitychange", watch);
socket.open();
enableButtons();
