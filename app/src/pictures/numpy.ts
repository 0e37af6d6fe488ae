/** NumPy's functions; the coefficients of polynomials begin with that of the highest power. */

/** How many of the ascending borders `value` has reached: NumPy's `digitize`. */
export function digitize(value: number, borders: ArrayLike<number>): number {
  let count = 0;
  while (count < borders.length && value >= borders[count]) count++;
  return count;
}

/** NumPy's `quantile`: between two values on the line from one to the other. */
export function quantile(values: Float64Array, share: number): number {
  const sorted = values.slice().sort();
  const place = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return below + (above - below) * (place - Math.floor(place));
}

/** The polynomial at `x`: NumPy's `polyval`. */
export function polyval(coefficients: ArrayLike<number>, x: number): number {
  let value = 0;
  for (let index = 0; index < coefficients.length; index++) value = value * x + coefficients[index];
  return value;
}

/** Its derivative: NumPy's `polyder`. */
export function polyder(coefficients: Float64Array): Float64Array {
  const degree = coefficients.length - 1;
  return coefficients.slice(0, degree).map((coefficient, index) => coefficient * (degree - index));
}

/** The powers of `x` from `count` − 1 down to 0, a column each: NumPy's `vander`. */
export function vander(x: Float64Array, count: number): Float64Array[] {
  return Array.from({ length: count }, (_, column) => x.map((value) => value ** (count - 1 - column)));
}

/** Times that each pair of columns is turned; few are needed, since the angles left shrink quadratically. */
const MOST_SWEEPS = 30;

/**
 * For each target the factors with which the columns come closest to it, the smallest ones where several do, as
 * in a picture of fewer levels than there are columns: NumPy's `linalg.lstsq`.
 *
 * By the singular values: the columns are turned, two at a time, until all are orthogonal (Hestenes 1958).
 */
export function lstsq(columns: readonly Float64Array[], targets: readonly Float64Array[]): Float64Array[] {
  const count = columns.length;
  const turned = columns.map((column) => column.slice()); // columns · turns
  const turns = turned.map((_, index) => new Float64Array(count).fill(1, index, index + 1)); // by columns
  const negligible = Number.EPSILON * Math.max(count, columns[0].length); // as NumPy's rcond
  let isOrthogonal = false;
  for (let sweep = 0; sweep < MOST_SWEEPS && !isOrthogonal; sweep++) {
    isOrthogonal = true;
    for (let one = 0; one < count; one++)
      for (let other = one + 1; other < count; other++) {
        const lengths = [dot(turned[one], turned[one]), dot(turned[other], turned[other])];
        const product = dot(turned[one], turned[other]);
        const isNothing = Math.min(...lengths) <= negligible ** 2 * Math.max(...lengths);
        if (isNothing || Math.abs(product) <= negligible * Math.sqrt(lengths[0] * lengths[1])) continue;
        isOrthogonal = false;
        const cotangent = (lengths[1] - lengths[0]) / (2 * product); // of twice the angle
        const tangent = (cotangent < 0 ? -1 : 1) / (Math.abs(cotangent) + Math.hypot(1, cotangent));
        turn(turned[one], turned[other], tangent);
        turn(turns[one], turns[other], tangent);
      }
  }
  const squares = turned.map((column) => dot(column, column)); // of the singular values
  const least = negligible ** 2 * Math.max(...squares);
  return targets.map((target) => {
    const factors = new Float64Array(count);
    turned.forEach((column, index) => {
      if (squares[index] <= least) return;
      const share = dot(column, target) / squares[index];
      turns[index].forEach((value, place) => (factors[place] += share * value));
    });
    return factors;
  });
}

function dot(one: Float64Array, other: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < one.length; index++) sum += one[index] * other[index];
  return sum;
}

/** Turn both in their plane, in place. */
function turn(one: Float64Array, other: Float64Array, tangent: number): void {
  const cosine = 1 / Math.hypot(1, tangent);
  const sine = cosine * tangent;
  for (let index = 0; index < one.length; index++) {
    const [x, y] = [one[index], other[index]];
    one[index] = cosine * x - sine * y;
    other[index] = sine * x + cosine * y;
  }
}
