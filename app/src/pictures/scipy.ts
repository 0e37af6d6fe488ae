/** Pictures turned and blurred with SciPy's numbers. */

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
  const taps = Float64Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-0.5 * ((i - radius) / deviation) ** 2));
  const sum = taps.reduce((total, tap) => total + tap, 0);
  const weights = taps.map((tap) => tap / sum);
  const { width, height } = values;
  const along = (data: Float32Array, length: number, step: number, begins: readonly number[]): Float32Array => {
    const result = new Float32Array(data.length);
    const line = new Float64Array(length + 2 * radius);
    for (const begin of begins) {
      for (let index = 0; index < line.length; index++)
        line[index] = data[begin + clamp(index - radius, 0, length - 1) * step];
      for (let index = 0; index < length; index++) {
        let total = 0;
        for (let tap = 0; tap < weights.length; tap++) total += weights[tap] * line[index + tap];
        result[begin + index * step] = total;
      }
    }
    return result;
  };
  const columns = Array.from({ length: width * 3 }, (_, index) => index);
  const down = along(values.data, height, width * 3, columns);
  const rows = Array.from({ length: height * 3 }, (_, index) => Math.floor(index / 3) * width * 3 + (index % 3));
  return { width, height, data: along(down, width, 3, rows) };
}
