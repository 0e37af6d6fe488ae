/**
 * Keeps what the page loads, so that it works without a network. What the network has comes first, so nothing is
 * ever older than it must be; and threads are allowed where the web server does not say so itself.
 */

const worker = self as unknown as ServiceWorkerGlobalScope;

/** What WebAssembly's threads ask for. */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

worker.addEventListener("install", () => void worker.skipWaiting());
worker.addEventListener("activate", (event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const isOurs = request.method === "GET" && request.url.startsWith(worker.registration.scope);
  if (isOurs) event.respondWith(answer(request));
});

async function answer(request: Request): Promise<Response> {
  const kept = await caches.open(`hime ${worker.registration.scope}`);
  let response: Response;
  try {
    response = await fetch(request, { cache: "no-cache" }); // asks whether there is a newer one
  } catch (error) {
    const found = await kept.match(request);
    if (found === undefined) throw error;
    return isolated(found);
  }
  if (response.status === 0) return response; // leads elsewhere: only the browser may look into it
  if (response.ok)
    await kept.put(request, response.clone()).catch((error: unknown) => console.warn("not kept", request.url, error));
  return isolated(response);
}

function isolated({ body, status, statusText, headers }: Response): Response {
  const all = new Headers(headers);
  for (const [name, value] of Object.entries(ISOLATION)) all.set(name, value);
  return new Response(body, { status, statusText, headers: all });
}
