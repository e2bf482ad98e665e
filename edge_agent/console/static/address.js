// Where is the console? A proxy may show it below a path of its own.

const { base = "" } = document.documentElement.dataset;

/** The address of a path of the console, as the browser has to ask for it. */
export function addressOf(path) {
  return base + path;
}

/** The page that is open, as a path of the console. */
export function openPage() {
  return location.pathname.slice(base.length) + location.search;
}
