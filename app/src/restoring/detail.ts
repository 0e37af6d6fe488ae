/**
 * How much detail a headshot really has, whatever its number of pixels: `hime.restoring.detail`, number by number.
 *
 * Frequencies are told as the side in pixels of a picture that just holds them: twice the cycles a side.
 */

import { centreCrop, clamp, resize, type Image } from "../pictures/arrays";
import { digitize, quantile } from "../pictures/numpy";
import { dctn, idctn, medianFilter } from "../pictures/scipy";

// What they mean, and where they come from, stands in hime.restoring.detail.
const SIDE = 256;
const SMALLEST = 8;
const LARGEST = 256;
const LUMA = [0.299, 0.587, 0.114];
const BANDS = Float64Array.from({ length: 11 }, (_, step) => SMALLEST * 2 ** (step / 2));
const DIAGONAL_BANDS = [16, 32, 64, 128];
const SMOOTH_BANDS = [32, 64, 128];
const ROWS_AND_COLUMNS = Math.PI / 24;
const CELL = 8;
const SMOOTHEST = 0.1;
const UNCLIPPED = [12, 243];
const DISTANCES = Float64Array.from({ length: 37 }, (_, step) => 8 * 2 ** (step / 12));
const HARMONICS = 4;
const SHORTEST_WAVE = 2.5;
const STEP_FLOOR = 0.3;
const STEP_CLIP = [-0.7, 0.7];
const MEDIAN = 9;
const FLOOR = 1e-6;
const SMOOTH_FLOOR = 1e-3;
const CLIP = [-2.5, 0.5];
const NOISE_SHARE = 0.55;
const SHARP = [
  0.690, 0.242, -0.187, -0.612, -1.044, -1.528, -2.015, -2.524, -3.087, -3.707, 0.178, 0.187, 0.124,
  0.111,
];
const LINEAR = [
  0.036, -0.731, 0.161, 0.375, 0.118, 0.331, 0.049, 0.210, -0.099, 0.209, 0.185, -0.619, -0.555,
  -1.560, -1.092, -0.685, 0.173, -0.308, 0.121, -0.051,
];
const SQUARE = [
  -0.662, -0.716, -0.105, 0.053, 0.030, 0.086, -0.081, 0.089, 0.038, 0.662, -0.600, -0.001, -0.031,
  -0.652, -0.507, -0.295, 0.041, -0.117, -0.088, -0.292,
];
const BIAS = 5.334;

/** What a headshot shows. */
export interface Detail {
  /** Pixels a side of a sharp picture that shows as much. */
  readonly side: number;
  /** Standard deviation of the luminance in the smoothest places, in levels. */
  readonly noise: number;
  /** How much steps at equal distances stand out of the others. */
  readonly blocks: number;
}

/** Measure a headshot, framed as `Frame` frames it; of one that is not square, the middle. */
export function measure(headshot: Image): Detail {
  const square = resize(centreCrop(headshot, 1, 1), SIDE, SIDE);
  const luminance = new Float64Array(SIDE * SIDE).map((_, pixel) =>
    LUMA.reduce((sum, share, channel) => sum + share * square.data[3 * pixel + channel], 0),
  );
  const waves = dctn(luminance, SIDE);
  const spectrum = spectrumOf(waves);
  const places = SMOOTH_BANDS.map((start) => inPlaces(waves, luminance, start));
  const smooth = places.map(({ weakest }) => Math.log10(weakest + SMOOTH_FLOOR));
  const mean = places.map(({ average }) => Math.log10(average + SMOOTH_FLOOR));
  const blocks = blocksOf(luminance);

  const relative = spectrum.bands.map((power, band) => power - SHARP[band]);
  const contrast = (relative[0] + relative[1]) / 2;
  const features = [
    ...relative.slice(1).map((power) => clamp(power - contrast, CLIP[0], CLIP[1])),
    ...spectrum.axes.map((ratio, octave) => ratio - SHARP[relative.length + octave]),
    ...smooth.map((power, octave) => power - mean[octave]),
    ...smooth.map((power) => power - contrast),
    blocks,
  ];
  const exponent = features.reduce((sum, value, index) => sum + (LINEAR[index] + SQUARE[index] * value) * value, BIAS);
  const variance = smooth.reduce((sum, power) => sum + 10 ** power, 0) / NOISE_SHARE;
  return { side: clamp(2 ** exponent, SMALLEST, LARGEST), noise: Math.sqrt(variance), blocks };
}

/**
 * In powers of ten: the mean power in each of `BANDS`; and along rows and columns, to that in other directions, in
 * each of `DIAGONAL_BANDS`.
 */
function spectrumOf(waves: Float64Array): { bands: number[]; axes: number[] } {
  const bands = Array.from({ length: BANDS.length - 1 }, () => new Mean());
  const along = DIAGONAL_BANDS.map(() => new Mean());
  const across = DIAGONAL_BANDS.map(() => new Mean());
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++) {
      const power = (waves[row * SIDE + column] / SIDE) ** 2;
      const radius = Math.fround(Math.sqrt(row * row + column * column)); // on a border as Python's, of 32 bits
      bands[digitize(radius, BANDS) - 1]?.add(power);
      const isOnAxis = Math.atan2(Math.min(row, column), Math.max(row, column)) < ROWS_AND_COLUMNS;
      const octave = DIAGONAL_BANDS.findIndex((start) => radius >= start && radius < 2 * start);
      (isOnAxis ? along : across)[octave]?.add(power);
    }
  return {
    bands: bands.map(({ value }) => Math.log10(value + FLOOR)),
    axes: along.map(({ value }, octave) => Math.log10((value + FLOOR) / (across[octave].value + FLOOR))),
  };
}

class Mean {
  private sum = 0;
  private count = 0;

  add(value: number): void {
    this.sum += value;
    this.count++;
  }

  get value(): number {
    return this.sum / this.count;
  }
}

/** The octave's variance in the smoothest places, and in all, in levels². */
function inPlaces(waves: Float64Array, luminance: Float64Array, start: number): { weakest: number; average: number } {
  const size = 2 * start; // a picture that just holds the octave, all else left out
  const octave = new Float64Array(size * size);
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const square = row * row + column * column;
      if (square >= start * start && square < size * size)
        octave[row * size + column] = (waves[row * SIDE + column] * size) / SIDE;
    }
  const count = size / CELL;
  const squares = idctn(octave, size).map((value) => value * value);
  const variances = meansOfCells(squares, size, count);
  const unclipped = meansOfCells(luminance, SIDE, count).map((level) =>
    Number(level > UNCLIPPED[0] && level < UNCLIPPED[1]),
  );
  const kept = variances.filter((_, place) => unclipped[place] > 0);
  const chosen = kept.length > 0.2 * variances.length ? kept : variances;
  return { weakest: quantile(chosen, SMOOTHEST), average: chosen.reduce((sum, each) => sum + each, 0) / chosen.length };
}

/** Of a square of values, cut into `count`×`count` cells. */
function meansOfCells(values: Float64Array, side: number, count: number): Float64Array {
  const cell = side / count;
  const means = new Float64Array(count * count);
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++)
      means[Math.floor(row / cell) * count + Math.floor(column / cell)] += values[row * side + column] / (cell * cell);
  return means;
}

/** How much a comb of equal distances stands out of the steps between columns, and between rows. */
function blocksOf(luminance: Float64Array): number {
  const profiles = [1, SIDE].map((step) => profileOf(luminance, step));
  let most = 0;
  for (const distance of DISTANCES) {
    const found = profiles.reduce((sum, profile) => sum + combIn(profile, distance), 0);
    most = Math.max(most, 2 * found);
  }
  return most;
}

/**
 * How much each step from a line to the next stands out of its neighbours; of mean 0.
 *
 * @param step places from a line to the next: 1 between columns, `SIDE` between rows.
 */
function profileOf(luminance: Float64Array, step: number): Float64Array {
  const along = SIDE / step;
  const steps = new Float64Array(SIDE - 1).map((_, line) => {
    let sum = 0;
    for (let place = 0; place < SIDE; place++) {
      const from = line * step + place * along;
      sum += Math.abs(luminance[from + step] - luminance[from]);
    }
    return Math.log(sum / SIDE + STEP_FLOOR);
  });
  const neighbours = medianFilter(steps, MEDIAN);
  const profile = steps.map((value, line) => clamp(value - neighbours[line], STEP_CLIP[0], STEP_CLIP[1]));
  const mean = profile.reduce((sum, value) => sum + value, 0) / profile.length;
  return profile.map((value) => value - mean);
}

/** How much the waves of that distance, and of its harmonics, go together in a profile. */
function combIn(profile: Float64Array, distance: number): number {
  const count = profile.length;
  // The square root of a Hann window.
  const window = profile.map((_, line) => Math.sqrt(0.5 - 0.5 * Math.cos((2 * Math.PI * line) / (count - 1))));
  const whole = window.reduce((sum, value) => sum + value, 0);
  let phase = 0; // of the first harmonic
  let together = 0;
  for (let harmonic = 1; harmonic <= HARMONICS; harmonic++) {
    const length = distance / harmonic;
    if (length < SHORTEST_WAVE) break;
    let [real, imaginary] = [0, 0];
    profile.forEach((value, line) => {
      const angle = (2 * Math.PI * (line + 0.5)) / length;
      const weight = (value * window[line]) / whole;
      real += weight * Math.cos(angle);
      imaginary += weight * Math.sin(angle);
    });
    if (harmonic === 1) phase = Math.atan2(imaginary, real);
    together += real * Math.cos(harmonic * phase) + imaginary * Math.sin(harmonic * phase);
  }
  return together;
}
