/** What went wrong, told to the user in one line that says what to do; anything else is a fault of the program. */
export class Problem extends Error {
  override name = "Problem";

  /** @param isNamed whether the message begins with a file's or person's name, which is shown as it is. */
  constructor(
    message: string,
    readonly isNamed = false,
  ) {
    super(message);
  }
}
