/** Two pictures of one size, one over the other, with a line between them that moves, and a zoom. */

import type { Point } from "../pictures/affine";
import { clamp } from "../pictures/arrays";
import { drawn, make } from "./dom";

const ZOOMS = [1, 2, 4, 8];

export interface Mark {
  readonly corners: readonly Point[];
  readonly label: string;
}

/** @param marks squares to draw, in units of the picture's sides. */
export function compare(before: ImageData, after: ImageData, what: string, marks: readonly Mark[] = []): HTMLElement {
  const { width, height } = after;
  const back = drawn(before, `${what}, plainly enlarged`);
  const front = drawn(after, `${what}, restored`);
  front.className = "after";
  const stage = make("div", { className: "compare" }, back, front, outlines(marks), ...numbers(marks));
  const viewport = make("div", { className: "viewport" }, stage);

  const line = make("input", { type: "range", min: "0", max: "100", step: "0.5", value: "50" });
  line.setAttribute("aria-label", `${what}: line between the plain enlargement, left, and the restored picture, right`);
  const move = (): void => {
    stage.style.setProperty("--position", `${line.value}%`);
    line.setAttribute("aria-valuetext", `${Math.round(100 - Number(line.value))} % restored`);
  };
  line.addEventListener("input", move);

  const zoom = make(
    "select",
    {},
    make("option", { value: "fit" }, "fit"),
    ...ZOOMS.map((times) => make("option", { value: String(times) }, `${times}×`)),
  );
  const resize = (): void => {
    const fit = zoom.value === "fit";
    viewport.classList.toggle("zoomed", !fit);
    if (fit) viewport.removeAttribute("tabindex");
    else viewport.tabIndex = 0; // so that the arrow keys move the picture
    // Fitting: as large as the window lets it be, but no pixel larger than three.
    stage.style.setProperty(
      "--width",
      fit ? `min(${3 * width}px, 100vw, calc(75vh * ${width / height}))` : `${(width * Number(zoom.value)) / devicePixelRatio}px`,
    );
  };
  zoom.addEventListener("change", () => {
    resize();
    viewport.scrollTo((viewport.scrollWidth - viewport.clientWidth) / 2, (viewport.scrollHeight - viewport.clientHeight) / 2);
  });

  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse") event.preventDefault();
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.buttons === 0) return;
    if (zoom.value !== "fit") {
      if (event.pointerType === "mouse") viewport.scrollBy(-event.movementX, -event.movementY);
      return;
    }
    const { left, width: extent } = stage.getBoundingClientRect();
    line.value = String(clamp(((event.clientX - left) / extent) * 100, 0, 100));
    move();
  });
  move();
  resize();
  const controls = make(
    "div",
    { className: "controls" },
    make("span", { className: "line" }, make("span", { className: "note" }, "enlarged"), line, make("span", { className: "note" }, "restored")),
    make("label", {}, "Zoom ", zoom),
  );
  return make("div", {}, viewport, controls);
}

/** The marks' labels, each above its square's upper left corner, as far as the picture reaches. */
function numbers(marks: readonly Mark[]): HTMLElement[] {
  return marks.map(({ corners, label }) => {
    const number = make("span", { className: "number", ariaHidden: "true" }, label);
    number.style.left = `${clamp(corners[0][0] * 100, 0, 95)}%`;
    number.style.top = `max(0px, ${clamp(corners[0][1] * 100, 0, 100)}% - 1.3rem)`;
    return number;
  });
}

function outlines(marks: readonly Mark[]): SVGSVGElement {
  const made = (tag: string, attributes: Record<string, string>): SVGElement => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node as SVGElement;
  };
  const drawing = made("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  for (const { corners } of marks)
    drawing.append(made("polygon", { points: corners.map((corner) => corner.join()).join(" ") }));
  return drawing as SVGSVGElement;
}
