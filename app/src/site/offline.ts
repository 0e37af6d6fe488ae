/** The page without a network: a service worker keeps what it loads. */

/** Milliseconds after which the page goes on without. */
const PATIENCE = 3000;

/**
 * Have all that is loaded from now on kept, and the page itself.
 *
 * Waits for it at the first visit only; where a browser keeps nothing, the page works, but not without a network.
 */
export async function keepSite(): Promise<void> {
  const { serviceWorker } = navigator as { serviceWorker?: ServiceWorkerContainer }; // none on plain http
  if (serviceWorker === undefined) return;
  try {
    const isControlled = new Promise((resolve) =>
      serviceWorker.addEventListener("controllerchange", resolve, { once: true }),
    );
    const registration = await serviceWorker.register("service-worker.js");
    if (registration.active !== null) return; // not the first visit
    await Promise.race([isControlled, new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
    const before = performance.getEntriesByType("resource").map(({ name }) => name);
    await Promise.all([location.href, ...before].map((address) => fetch(address)));
  } catch (error) {
    console.warn("this page will need the network again", error);
  }
}
