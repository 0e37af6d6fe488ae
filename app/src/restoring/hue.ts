/**
 * Pictures of one hue (grey, sepia, cyanotype, faded): colour is a function of luminance there, and stays it. The
 * counterpart of `hime.restoring.hue`.
 */

import { clamp, newImage, type Image } from "../pictures/arrays";
import { lstsq, polyder, polyval, vander } from "../pictures/numpy";

/** BT.601. */
const LUMINANCE = [0.299, 0.587, 0.114];
/** Of the polynomials that give a tone. */
const DEGREE = 3;
/** Levels by which colours leave their curve at the most (root mean square) where a picture has one hue. */
const SCATTER = 2.5;

/** How red, green and blue differ from luminance at each luminance, all in [0, 1]. */
interface Tone {
  /** A polynomial a channel. */
  readonly curves: readonly Float64Array[];
  /** Where the curves begin; below they go on straight. */
  readonly darkest: number;
  /** Where they end. */
  readonly lightest: number;
}

/** `restored` in the one hue of `lr`, what it was restored from; as it is if `lr` has more hues than one. */
export function keepHue(restored: Image, lr: Image): Image {
  if (isGrey(lr)) return mapped(restored, (levels) => levels);
  const tone = toneOf(lr);
  if (tone === null) return restored;
  const { curves, darkest, lightest } = tone;
  const slopes = curves.map(polyder);
  return mapped(restored, (levels, channel) => {
    const luminance = levels / 255;
    const place = clamp(luminance, darkest, lightest);
    const beyond = luminance - place;
    return 255 * (luminance + polyval(curves[channel], place) + beyond * polyval(slopes[channel], place));
  });
}

function isGrey({ data }: Image): boolean {
  return data.every((level, place) => level === data[place - (place % 3)]);
}

/** In each channel what `colour` makes of the luminance, both in levels; rounded half to even. */
function mapped(image: Image, colour: (levels: number, channel: number) => number): Image {
  const result = newImage(image.width, image.height);
  const target = new Uint8ClampedArray(result.data.buffer);
  for (let place = 0; place < target.length; place += 3) {
    const levels = luminanceAt(image, place);
    for (let channel = 0; channel < 3; channel++) target[place + channel] = colour(levels, channel);
  }
  return result;
}

/** In levels, of the pixel whose red is at `place`. */
function luminanceAt({ data }: Image, place: number): number {
  return LUMINANCE[0] * data[place] + LUMINANCE[1] * data[place + 1] + LUMINANCE[2] * data[place + 2];
}

/** The tone of a picture; null where its colours are no function of luminance. */
function toneOf(image: Image): Tone | null {
  const luminance = new Float64Array(image.width * image.height).map((_, pixel) => luminanceAt(image, 3 * pixel) / 255);
  const differences = LUMINANCE.map((_, channel) =>
    luminance.map((value, pixel) => image.data[3 * pixel + channel] / 255 - value),
  );
  const curves = lstsq(vander(luminance, DEGREE + 1), differences);
  let squares = 0;
  curves.forEach((curve, channel) => {
    luminance.forEach((value, pixel) => (squares += (differences[channel][pixel] - polyval(curve, value)) ** 2));
  });
  if (255 * Math.sqrt(squares / image.data.length) > SCATTER) return null;
  const [darkest, lightest] = [luminance.reduce((a, b) => Math.min(a, b)), luminance.reduce((a, b) => Math.max(a, b))];
  return { curves, darkest, lightest };
}
