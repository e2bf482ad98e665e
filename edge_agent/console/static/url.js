// URLs of the console, which a reverse proxy may serve below a path prefix.

const { base = "" } = document.documentElement.dataset;

/** The URL of a path of the console, with the proxy's prefix. */
export function urlOf(path) {
  return base + path;
}

/** The current page, as a path of the console. */
export function currentPath() {
  return location.pathname.slice(base.length) + location.search;
}
