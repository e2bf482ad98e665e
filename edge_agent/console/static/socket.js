// A WebSocket to the device which reconnects with exponential backoff, and shows on the page when it is lost.

import { urlOf, currentPath } from "./url.js";

const FIRST_PAUSE_SECONDS = 1;
const LONGEST_PAUSE_SECONDS = 30;
// The device sends something every few seconds. Without its power, or beyond a network that is gone, nothing closes the
// connection, and a page would show the last picture for ever.
const SILENCE_SECONDS = 10;
const SECOND_MS = 1000;
// Close codes of the device.
const LOGGED_OUT = 4401;
const CROWDED = 4429;

/**
 * Events: `open`; `message` with `detail` (a parsed object, or an ArrayBuffer); `lost`.
 * A hidden page closes its connection, so that no picture is rendered and sent for it. With `staysOpen` the connection
 * stays open while the page is hidden, but requests no pictures. `onlyAnswers`: silence is no loss.
 */
export class ReconnectingSocket extends EventTarget {
  #path;
  #socket = null;
  #pauseSeconds = FIRST_PAUSE_SECONDS;
  #timer = 0;
  #silenceTimer = 0;
  #isWanted = false;
  #redirectsToLogin;
  #staysOpen;
  #onlyAnswers;

  /** `redirectsToLogin`: an expired session leads to the login page, which is useless on a screen without a keyboard. */
  constructor(path, { redirectsToLogin = true, staysOpen = false, onlyAnswers = false } = {}) {
    super();
    this.#path = path;
    this.#redirectsToLogin = redirectsToLogin;
    this.#staysOpen = staysOpen;
    this.#onlyAnswers = onlyAnswers;
    document.getElementById("reconnect")?.addEventListener("click", () => this.#connect());
    document.addEventListener("visibilitychange", () => {
      if (this.#isWanted && !this.#staysOpen) document.hidden ? this.#disconnect() : this.#connect();
    });
    window.addEventListener("online", () => this.#isWanted && this.#connect());
    // A page in the back/forward cache must not hold a connection.
    window.addEventListener("pagehide", () => this.#disconnect());
    window.addEventListener("pageshow", () => this.#isWanted && this.#connect());
  }

  open() {
    this.#isWanted = true;
    if (!document.hidden || this.#staysOpen) this.#connect();
  }

  close() {
    this.#isWanted = false;
    this.#disconnect();
    showNotice("");
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Send JSON, or bytes unchanged. Without a connection the message is dropped: it would be outdated later. */
  send(message) {
    if (!this.isOpen) return;
    this.#socket.send(message instanceof Blob || message instanceof ArrayBuffer ? message : JSON.stringify(message));
  }

  #disconnect() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silenceTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #connect() {
    clearTimeout(this.#timer);
    if (this.#socket && this.#socket.readyState <= WebSocket.OPEN) return;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${urlOf(this.#path)}`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#awaitMessage(socket);
    socket.addEventListener("open", () => {
      this.#awaitMessage(socket);
      this.#pauseSeconds = FIRST_PAUSE_SECONDS;
      showNotice("");
      this.dispatchEvent(new Event("open"));
    });
    socket.addEventListener("message", ({ data }) => {
      this.#awaitMessage(socket);
      const detail = typeof data === "string" ? JSON.parse(data) : data;
      this.dispatchEvent(new CustomEvent("message", { detail }));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      // A socket that was closed here or replaced needs no reconnect.
      if (socket !== this.#socket) return;
      if (code === LOGGED_OUT && this.#redirectsToLogin) location.assign(loginAddress());
      else this.#lost(code === CROWDED || code === LOGGED_OUT ? `${sentence(reason)} ` : "");
    });
  }

  #awaitMessage(socket) {
    if (this.#onlyAnswers || socket !== this.#socket) return;
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      socket.close();
      this.#lost("");
    }, SILENCE_SECONDS * SECOND_MS);
  }

  #lost(why) {
    clearTimeout(this.#silenceTimer);
    this.#socket = null;
    const seconds = this.#pauseSeconds;
    this.#pauseSeconds = Math.min(seconds * 2, LONGEST_PAUSE_SECONDS);
    // Jitter, so that many viewers do not reconnect at the same moment.
    this.#timer = setTimeout(() => this.#connect(), (seconds + Math.random() / 2) * SECOND_MS);
    showNotice(`${why}Trying again in ${seconds} s.`);
    this.dispatchEvent(new CustomEvent("lost", { detail: why.trim() }));
    if (this.#redirectsToLogin) goToLoginIfNeeded();
  }
}

function showNotice(text) {
  const notice = document.getElementById("connection-lost");
  if (!notice) return;
  notice.hidden = !text;
  document.getElementById("connection-lost-message").textContent = text;
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** With an expired session the socket is refused without a reason: check it over HTTP, and open the login page. */
async function goToLoginIfNeeded() {
  try {
    const response = await fetch(urlOf("/newest"), { redirect: "manual", headers: { Accept: "text/html" } });
    if (response.type === "opaqueredirect" || response.status === 401) location.assign(loginAddress());
  } catch {
    // The device is unreachable, which the page shows already.
  }
}

function loginAddress() {
  return urlOf(`/login?next=${encodeURIComponent(currentPath())}`);
}
