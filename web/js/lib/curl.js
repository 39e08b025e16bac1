// Parts of the curl commands that both pages show.

/** Quotes a word so that a POSIX shell reads it unchanged. */
export function shellWord(text) {
  return /^[\w.,:=@%/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The argument of `-F` that uploads the file `name` as the field `image`. */
export function curlFile(name) {
  const plain = /^[\w.-]+$/.test(name);
  return shellWord(`image=@${plain ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`}`);
}

/**
 * `path` with a query string, for use inside single quotes. Commas are legal in a query and stay
 * as they are, so that lists remain readable.
 */
export function pathWithQuery(path, parameters) {
  const query = new URLSearchParams(parameters).toString();
  return query ? `${path}?${query.replaceAll("%2C", ",").replaceAll("'", "%27")}` : path;
}
