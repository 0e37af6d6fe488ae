/**
 * Pictures as arrays, and the one way sizes are changed: with Pillow's numbers, as the models were trained.
 *
 * Outside (files, the page) a picture is an `Image`: RGB of 8 bits. Inside (networks) it is *planes*: float32
 * 3×H×W in [0, 1].
 */

export interface Image {
  readonly width: number;
  readonly height: number;
  /** height×width×3, sRGB. */
  readonly data: Uint8Array;
}

/** Values of any range: height×width×3. */
export interface Values {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

export function newImage(width: number, height: number): Image {
  return { width, height, data: new Uint8Array(width * height * 3) };
}

interface Filter {
  readonly support: number;
  weight(x: number): number;
}

export const BICUBIC: Filter = {
  support: 2,
  weight(x) {
    const a = -0.5;
    x = Math.abs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
  },
};

export const LANCZOS: Filter = {
  support: 3,
  weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0),
};

export const BOX: Filter = {
  support: 0.5,
  weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0),
};

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** For each output sample: its first input sample, how many there are, and their weights, `length` apart. */
interface Coefficients {
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  readonly weights: Float64Array;
  readonly length: number;
}

function coefficients(from: number, to: number, filter: Filter): Coefficients {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  const length = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(to);
  const counts = new Int32Array(to);
  const weights = new Float64Array(to * length);
  for (let index = 0; index < to; index++) {
    const centre = (index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const weight = filter.weight((tap + start - centre + 0.5) / stretch);
      weights[index * length + tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < count; tap++) weights[index * length + tap] /= sum;
    starts[index] = start;
    counts[index] = count;
  }
  return { starts, counts, weights, length };
}

/** Pillow's fixed point: what is left of 32 bits beside 8 of the picture and 2 of overshoot. */
const PRECISION = 22;

function fixed(weights: Float64Array): Int32Array {
  return Int32Array.from(weights, (weight) => Math.trunc(weight * (1 << PRECISION) + (weight < 0 ? -0.5 : 0.5)));
}

/** Pillow's `Image.resize`, bit by bit: rows to 8 bits first, then columns. */
export function resize(image: Image, width: number, height: number, filter: Filter = BICUBIC): Image {
  let result = image;
  if (width !== image.width) result = resizeRows(result, width, filter);
  if (height !== image.height) result = resizeColumns(result, height, filter);
  return result === image ? { ...image, data: image.data.slice() } : result;
}

function resizeRows(image: Image, width: number, filter: Filter): Image {
  const { starts, counts, weights, length } = coefficients(image.width, width, filter);
  const taps = fixed(weights);
  const result = newImage(width, image.height);
  const source = image.data;
  const target = new Uint8ClampedArray(result.data.buffer);
  for (let row = 0, place = 0; row < image.height; row++) {
    const begin = row * image.width * 3;
    for (let column = 0; column < width; column++) {
      let red = 1 << (PRECISION - 1);
      let green = red;
      let blue = red;
      let from = begin + starts[column] * 3;
      const first = column * length;
      for (let tap = first; tap < first + counts[column]; tap++, from += 3) {
        const weight = taps[tap];
        red += source[from] * weight;
        green += source[from + 1] * weight;
        blue += source[from + 2] * weight;
      }
      target[place++] = red >> PRECISION;
      target[place++] = green >> PRECISION;
      target[place++] = blue >> PRECISION;
    }
  }
  return result;
}

function resizeColumns(image: Image, height: number, filter: Filter): Image {
  const { starts, counts, weights, length } = coefficients(image.height, height, filter);
  const taps = fixed(weights);
  const result = newImage(image.width, height);
  const stride = image.width * 3;
  const target = new Uint8ClampedArray(result.data.buffer);
  const sums = new Int32Array(stride);
  for (let row = 0; row < height; row++) {
    sums.fill(1 << (PRECISION - 1));
    for (let tap = 0; tap < counts[row]; tap++) {
      const weight = taps[row * length + tap];
      const begin = (starts[row] + tap) * stride;
      const source = image.data.subarray(begin, begin + stride);
      for (let place = 0; place < stride; place++) sums[place] += source[place] * weight;
    }
    const begin = row * stride;
    for (let place = 0; place < stride; place++) target[begin + place] = sums[place] >> PRECISION;
  }
  return result;
}

/** By area, with values of any range: Pillow's BOX on its mode F. */
export function reduceValues(values: Values, width: number, height: number): Values {
  const across = coefficients(values.width, width, BOX);
  const narrow = new Float32Array(width * values.height * 3);
  for (let row = 0; row < values.height; row++)
    for (let column = 0; column < width; column++)
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let tap = 0; tap < across.counts[column]; tap++)
          sum +=
            values.data[(row * values.width + across.starts[column] + tap) * 3 + channel] *
            across.weights[column * across.length + tap];
        narrow[(row * width + column) * 3 + channel] = sum;
      }
  const down = coefficients(values.height, height, BOX);
  const data = new Float32Array(width * height * 3);
  for (let row = 0; row < height; row++)
    for (let place = 0; place < width * 3; place++) {
      let sum = 0;
      for (let tap = 0; tap < down.counts[row]; tap++)
        sum += narrow[(down.starts[row] + tap) * width * 3 + place] * down.weights[row * down.length + tap];
      data[row * width * 3 + place] = sum;
    }
  return { width, height, data };
}

/** Means of `factor`×`factor` pixels, into which both sides divide: Pillow's `Image.reduce`. */
export function reduce(image: Image, factor: number): Image {
  const result = newImage(image.width / factor, image.height / factor);
  const count = factor * factor;
  const multiplier = Math.floor(2 ** 24 / count);
  for (let row = 0, place = 0; row < result.height; row++)
    for (let column = 0; column < result.width; column++)
      for (let channel = 0; channel < 3; channel++) {
        let sum = count >> 1;
        for (let down = 0; down < factor; down++) {
          let from = ((row * factor + down) * image.width + column * factor) * 3 + channel;
          for (let right = 0; right < factor; right++, from += 3) sum += image.data[from];
        }
        result.data[place++] = Math.floor((sum * multiplier) / 2 ** 24);
      }
  return result;
}

/** The part with its upper left corner at (`left`, `top`). */
export function crop(image: Image, left: number, top: number, width: number, height: number): Image {
  const result = newImage(width, height);
  for (let row = 0; row < height; row++) {
    const begin = ((top + row) * image.width + left) * 3;
    result.data.set(image.data.subarray(begin, begin + width * 3), row * width * 3);
  }
  return result;
}

/** The largest part of `image` around its middle that has the aspect of `width`:`height`. */
export function centreCrop(image: Image, width: number, height: number): Image {
  if (image.width * height > image.height * width) {
    const kept = Math.max(1, roundHalfEven((image.height * width) / height));
    return crop(image, Math.floor((image.width - kept) / 2), 0, kept, image.height);
  }
  const kept = Math.max(1, roundHalfEven((image.width * height) / width));
  return crop(image, 0, Math.floor((image.height - kept) / 2), image.width, kept);
}

/** RGB of 8 bits → 3×H×W in [0, 1]; written into `planes` from `offset` on. */
export function toPlanes(image: Image, planes = new Float32Array(image.data.length), offset = 0): Float32Array {
  const size = image.width * image.height;
  for (let place = 0; place < size; place++)
    for (let channel = 0; channel < 3; channel++)
      planes[offset + channel * size + place] = image.data[place * 3 + channel] / 255;
  return planes;
}

/** 3×H×W → RGB of 8 bits: clipped to [0, 1], rounded (half to even). */
export function fromPlanes(planes: Float32Array, width: number, height: number): Image {
  const result = newImage(width, height);
  const levels = new Uint8ClampedArray(result.data.buffer); // rounds half to even
  const size = width * height;
  for (let place = 0; place < size; place++)
    for (let channel = 0; channel < 3; channel++) {
      const value = planes[channel * size + place];
      if (!Number.isFinite(value)) throw new Error("the model gave values that are no numbers");
      levels[place * 3 + channel] = Math.fround(Math.min(1, Math.max(0, value)) * 255);
    }
  return result;
}

/** As Python's `round`. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest < 0.5 ? floor : floor + 1;
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
