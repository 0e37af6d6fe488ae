/** Short words for the page. */

/** The element of the page with that id. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

type Child = Node | string;

/** A new element. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function button(text: string, onClick: () => void, label = text): HTMLButtonElement {
  const made = make("button", { type: "button", onclick: onClick }, text);
  if (label !== text) made.setAttribute("aria-label", label);
  return made;
}

/** Do that with those buttons disabled; the one that was pressed has the keyboard's focus again after it. */
export async function whileDisabled<T>(buttons: readonly HTMLButtonElement[], act: () => Promise<T>): Promise<T> {
  const pressed = buttons.find((one) => one === document.activeElement);
  for (const one of buttons) one.disabled = true;
  try {
    return await act();
  } finally {
    for (const one of buttons) one.disabled = false;
    if (document.activeElement === document.body) pressed?.focus({ preventScroll: true });
  }
}

/**
 * Do what puts other children into an element; the keyboard's focus stays at the place that it had among them.
 *
 * @param places a selector of what can have the focus, or holds it.
 * @param otherwise has the focus where no place is left.
 */
export function keepFocus(parent: HTMLElement, places: string, change: () => void, otherwise?: HTMLElement | null): void {
  const place = [...parent.querySelectorAll(places)].findIndex((one) => one.contains(document.activeElement));
  change();
  if (place < 0) return;
  const left = [...parent.querySelectorAll<HTMLElement>(places)];
  (left[Math.min(place, left.length - 1)] ?? otherwise)?.focus({ preventScroll: true });
}

/** A canvas that shows the picture. */
export function drawn(picture: ImageData, label: string): HTMLCanvasElement {
  const canvas = make("canvas", { width: picture.width, height: picture.height, role: "img", ariaLabel: label });
  canvas.getContext("2d")!.putImageData(picture, 0, 0);
  return canvas;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
