/** An example to try without pictures of one's own: what the server puts into the site's folder `example`. */

import { fetchBytes, fetchJson } from "../site/files";

export interface Example {
  readonly picture: File;
  readonly photos: readonly File[];
}

export async function fetchExample(): Promise<Example> {
  const names = await fetchJson<{ picture: string; photos: string[] }>("example/example.json");
  const [picture, ...photos] = await Promise.all(
    [names.picture, ...names.photos].map(
      async (name) => new File([await fetchBytes(`example/${name}`)], name, { type: "image/jpeg" }),
    ),
  );
  return { picture, photos };
}
