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

/** A canvas that shows the picture. */
export function drawn(picture: ImageData, label: string): HTMLCanvasElement {
  const canvas = make("canvas", { width: picture.width, height: picture.height, role: "img", ariaLabel: label });
  canvas.getContext("2d")!.putImageData(picture, 0, 0);
  return canvas;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
