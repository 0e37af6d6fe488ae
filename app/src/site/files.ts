/** Files of the site, fetched, and compared with their checksums where there are some. */

import { Problem } from "../problem";

export type Bytes = Uint8Array<ArrayBuffer>;

/** A file of the site. */
export async function fetchBytes(address: string): Promise<Bytes> {
  const name = address.split("/").slice(-2).join("/");
  let response: Response;
  try {
    response = await fetch(address);
  } catch {
    const remedy = "check the connection to where this page came from, and try again";
    throw new Problem(`${name} cannot be loaded; ${remedy}`, true);
  }
  if (!response.ok) throw new Problem(`${name} is missing where this page came from (${response.status})`, true);
  return new Uint8Array(await response.arrayBuffer());
}

export async function fetchJson<T>(address: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await fetchBytes(address))) as T;
}

/** @param checksum SHA-256 in hexadecimal digits. */
export async function fetchChecked(address: string, checksum: string | undefined): Promise<Bytes> {
  const bytes = await fetchBytes(address);
  // Pages of plain http have no digests, and what brought the file brought the checksum too.
  if (globalThis.crypto?.subtle === undefined) return bytes;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== checksum) throw new Problem(`${address} differs from its checksum; load the page again`, true);
  return bytes;
}
