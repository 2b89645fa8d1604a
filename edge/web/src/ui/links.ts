/** Which addresses of an answer the page makes into links. Pure. */

const ALLOWED = new Set(["http:", "https:", "mailto:"]);

/** The address in its canonical form, or null for anything but an absolute web or mail address:
 * scripts, data, files, and relative addresses that would point into this page. */
export function safeLink(address: string): string | null {
  try {
    const url = new URL(address.trim());
    return ALLOWED.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
