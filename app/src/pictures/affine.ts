/** Affine maps of the plane. */

export type Point = readonly [x: number, y: number];

/** x' = a·x + b·y + c, y' = d·x + e·y + f. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

export function apply([a, b, c, d, e, f]: Affine, [x, y]: Point): Point {
  return [a * x + b * y + c, d * x + e * y + f];
}

export function inverse([a, b, c, d, e, f]: Affine): Affine {
  const determinant = a * e - b * d;
  const [A, B, D, E] = [e / determinant, -b / determinant, -d / determinant, a / determinant];
  return [A, B, -(A * c + B * f), D, E, -(D * c + E * f)];
}
