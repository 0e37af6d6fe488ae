/** Pictures turned, blurred and taken to waves with SciPy's numbers. */

import type { Affine } from "./affine";
import { clamp, type Image, type Values } from "./arrays";

/** Pixels by which the border is repeated before splines are fitted: their reach is forgotten within it. */
const PADDING = 12;
const POLE = Math.sqrt(3) - 2;

/** The values at `matrix`·(x, y, 1) for each pixel, by cubic splines: SciPy's `affine_transform`. */
export function sample(values: Image | Values, matrix: Affine, width: number, height: number): Values {
  const wide = values.width + 2 * PADDING;
  const high = values.height + 2 * PADDING;
  const splines = fit(values, wide, high);
  const [a, b, c, d, e, f] = matrix;
  const data = new Float32Array(width * height * 3);
  const across = new Float64Array(4);
  const down = new Float64Array(4);
  for (let row = 0, place = 0; row < height; row++)
    for (let column = 0; column < width; column++, place += 3) {
      const x = clamp(a * column + b * row + c + PADDING, 0, wide - 1);
      const y = clamp(d * column + e * row + f + PADDING, 0, high - 1);
      const [firstColumn, firstRow] = [Math.floor(x) - 1, Math.floor(y) - 1];
      basis(x - firstColumn - 1, across);
      basis(y - firstRow - 1, down);
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0; i < 4; i++) {
        const begin = clamp(firstRow + i, 0, high - 1) * wide;
        for (let j = 0; j < 4; j++) {
          const from = (begin + clamp(firstColumn + j, 0, wide - 1)) * 3;
          const weight = down[i] * across[j];
          red += weight * splines[from];
          green += weight * splines[from + 1];
          blue += weight * splines[from + 2];
        }
      }
      data[place] = red;
      data[place + 1] = green;
      data[place + 2] = blue;
    }
  return { width, height, data };
}

/** The four cubic B-splines at `x` past the second of their places. */
function basis(x: number, weights: Float64Array): void {
  const rest = 1 - x;
  weights[0] = (rest * rest * rest) / 6;
  weights[1] = (x * x * (x - 2) * 3 + 4) / 6;
  weights[2] = (rest * rest * (rest - 2) * 3 + 4) / 6;
  weights[3] = 1 - weights[0] - weights[1] - weights[2];
}

/** Coefficients of the cubic splines through the values, whose border is repeated `PADDING` times. */
function fit(values: Image | Values, wide: number, high: number): Float64Array {
  const result = new Float64Array(wide * high * 3);
  for (let row = 0, place = 0; row < high; row++) {
    const begin = clamp(row - PADDING, 0, values.height - 1) * values.width;
    for (let column = 0; column < wide; column++) {
      const from = (begin + clamp(column - PADDING, 0, values.width - 1)) * 3;
      for (let channel = 0; channel < 3; channel++) result[place++] = values.data[from + channel] * 36; // 6 an axis
    }
  }
  for (let row = 0; row < high; row++) {
    const begin = row * wide * 3;
    const end = begin + wide * 3;
    for (let place = begin + 3; place < end; place++) result[place] += POLE * result[place - 3];
    for (let place = end - 3; place < end; place++)
      result[place] = (POLE / (POLE * POLE - 1)) * (result[place] + POLE * result[place - 3]);
    for (let place = end - 4; place >= begin; place--) result[place] = POLE * (result[place + 3] - result[place]);
  }
  const stride = wide * 3;
  const end = high * stride;
  for (let place = stride; place < end; place++) result[place] += POLE * result[place - stride];
  for (let place = end - stride; place < end; place++)
    result[place] = (POLE / (POLE * POLE - 1)) * (result[place] + POLE * result[place - stride]);
  for (let place = end - stride - 1; place >= 0; place--)
    result[place] = POLE * (result[place + stride] - result[place]);
  return result;
}

/** SciPy's `gaussian_filter`, the border repeated. */
export function blur(values: Values, deviation: number): Values {
  const radius = Math.trunc(4 * deviation + 0.5);
  const taps = Float64Array.from({ length: radius + 1 }, (_, distance) => Math.exp(-0.5 * (distance / deviation) ** 2));
  const sum = 2 * taps.reduce((total, tap) => total + tap, 0) - taps[0];
  const weights = taps.map((tap) => tap / sum);
  const { width, height } = values;
  const data = values.data.slice();
  for (let column = 0; column < width; column++) blurLine(data, 3 * column, 3 * width, height, weights);
  for (let row = 0; row < height; row++) blurLine(data, 3 * width * row, 3, width, weights);
  return { width, height, data };
}

/** Blur the pixels at `begin`, `begin + step`, … in place; `weights` by their distance, from 0. */
function blurLine(data: Float32Array, begin: number, step: number, length: number, weights: Float64Array): void {
  const radius = weights.length - 1;
  const line = new Float64Array(3 * (length + 2 * radius));
  for (let index = 0, place = 0; index < length + 2 * radius; index++) {
    const from = begin + clamp(index - radius, 0, length - 1) * step;
    for (let channel = 0; channel < 3; channel++) line[place++] = data[from + channel];
  }
  for (let index = 0; index < length; index++) {
    const middle = 3 * (index + radius);
    let red = weights[0] * line[middle];
    let green = weights[0] * line[middle + 1];
    let blue = weights[0] * line[middle + 2];
    for (let distance = 1, below = middle - 3, above = middle + 3; distance <= radius; distance++) {
      const weight = weights[distance];
      red += weight * (line[below] + line[above]);
      green += weight * (line[below + 1] + line[above + 1]);
      blue += weight * (line[below + 2] + line[above + 2]);
      below -= 3;
      above += 3;
    }
    const to = begin + index * step;
    data[to] = red;
    data[to + 1] = green;
    data[to + 2] = blue;
  }
}

/** A square of values as cosine waves: SciPy's `dctn` with `norm="ortho"`. */
export function dctn(square: Float64Array, side: number): Float64Array {
  const cosines = cosinesOf(side);
  return product(product(cosines, square, side), transposed(cosines, side), side);
}

/** Cosine waves as a square of values: SciPy's `idctn` with `norm="ortho"`. */
export function idctn(waves: Float64Array, side: number): Float64Array {
  const cosines = cosinesOf(side);
  return product(product(transposed(cosines, side), waves, side), cosines, side);
}

/** A wave a row, all of length 1. */
function cosinesOf(side: number): Float64Array {
  return new Float64Array(side * side).map((_, place) => {
    const [wave, column] = [Math.floor(place / side), place % side];
    return Math.sqrt((wave === 0 ? 1 : 2) / side) * Math.cos((Math.PI * (2 * column + 1) * wave) / (2 * side));
  });
}

function transposed(matrix: Float64Array, side: number): Float64Array {
  return matrix.map((_, place) => matrix[(place % side) * side + Math.floor(place / side)]);
}

function product(one: Float64Array, other: Float64Array, side: number): Float64Array {
  const result = new Float64Array(side * side);
  for (let row = 0; row < side; row++) {
    const line = result.subarray(row * side, (row + 1) * side);
    for (let middle = 0; middle < side; middle++) {
      const factor = one[row * side + middle];
      const begin = middle * side;
      for (let column = 0; column < side; column++) line[column] += factor * other[begin + column];
    }
  }
  return result;
}

/** Of an odd number of values around each, the line mirrored at its ends: SciPy's `median_filter`. */
export function medianFilter(line: Float64Array, size: number): Float64Array {
  const [length, reach] = [line.length, (size - 1) / 2];
  return line.map((_, middle) => {
    const around = Float64Array.from({ length: size }, (_, offset) => {
      const place = middle + offset - reach;
      return line[place < 0 ? -1 - place : place < length ? place : 2 * length - 1 - place];
    });
    return around.sort()[reach];
  });
}
