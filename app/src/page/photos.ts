/** The photos of the person: read, shown, taken away, and kept on the device with the person's name. */

import type { Reference } from "../faces/album";
import { toRgba } from "../pictures/files";
import { Problem } from "../problem";
import type { Engine } from "../worker/engine";
import { button, drawn, element, keepFocus, make } from "./dom";
import { run, tell } from "./status";
import { askToLast, forget, isLasting, keep, keptPeople } from "./store";

/** A photo that is used. The worker gives it back as another object, with the same key here. */
interface Used {
  readonly key: number;
  readonly reference: Reference;
}

let keys = 0;

/** What changes them happens in the order in which it was asked for: so the last that was asked for holds. */
export class Photos {
  private used: readonly Used[] = [];

  /**
   * @param restore the picture with other photos; says whether there is a picture.
   * @param forgetChoice is called where the person becomes another: a face that was chosen was not theirs.
   */
  constructor(
    private readonly engine: Engine,
    private readonly restore: () => Promise<boolean>,
    private readonly forgetChoice: () => void,
  ) {
    element("keep").addEventListener("submit", (event) => {
      event.preventDefault();
      this.keepAs(element<HTMLInputElement>("keep-name").value.trim());
    });
  }

  get count(): number {
    return this.used.length;
  }

  /** Those that can be used; the others are told, with the reason. */
  add(files: readonly File[]): void {
    run(async () => {
      const photos = await this.engine.readPhotos(files);
      // First come those before, as they were.
      this.set(photos.references.map((reference, place) => ({ key: this.used[place]?.key ?? ++keys, reference })));
      const told = photos.rejected.map(([name, reason]) => make("li", {}, `${name} is not used: ${reason}`));
      element("rejected").replaceChildren(...told);
      tell(`${this.count} ${this.count === 1 ? "photo" : "photos"} of the person`);
      if (this.count > 0) await this.restore();
    });
  }

  /** Use none; to be called in a `run`. */
  clear(): void {
    this.set([]);
    element("rejected").replaceChildren();
  }

  /** Show who is kept on the device. */
  async showKept(): Promise<void> {
    const people = await keptPeople();
    showLasting(await isLasting());
    const shown = people.map((person) => {
      const use = (): void =>
        void run(async () => {
          this.clear();
          this.set(person.references.map((reference) => ({ key: ++keys, reference })));
          if (!(await this.restore())) tell(`The photos of ${person.name} are used.`);
        });
      const remove = (): void =>
        void run(async () => {
          await forget(person.name);
          await this.showKept();
          tell(`${person.name} is deleted from this device.`);
        });
      const many = `${person.references.length} ${person.references.length === 1 ? "photo" : "photos"}`;
      return make(
        "li",
        {},
        `${person.name} (${many}) `,
        button("Use", use, `Use the photos of ${person.name}`),
        " ",
        button("Delete", remove, `Delete ${person.name} from this device`),
      );
    });
    const list = element("kept");
    keepFocus(list, "button", () => list.replaceChildren(...shown), element("people").querySelector("summary"));
  }

  /** To be called in a `run`: while photos are read, those before must stay what they are. */
  private set(next: readonly Used[]): void {
    this.used = next;
    if (next.length === 0) this.forgetChoice();
    void this.engine.setReferences(next.map(({ reference }) => reference));
    const shown = next.map(({ key, reference }) => {
      const remove = (): void => void run(async () => this.set(this.used.filter((other) => other.key !== key)));
      return make(
        "li",
        { className: "photo" },
        drawn(toRgba(reference.crop), `Photo ${reference.name}`),
        button("Remove", remove, `Remove ${reference.name}`),
      );
    });
    const list = element("photos");
    keepFocus(list, "button", () => list.replaceChildren(...shown), element("photos-file"));
  }

  private keepAs(name: string): void {
    run(async () => {
      if (name === "") throw new Problem("the person has no name; give one to keep the photos by");
      if (this.count === 0) throw new Problem("there is no photo to keep; give photos of the person first");
      await keep({ name, references: this.used.map(({ reference }) => reference) });
      void askToLast().then(showLasting); // not awaited: who is asked may take their time
      await this.showKept();
      tell(`${name} is kept on this device.`);
    });
  }
}

function showLasting(lasting: boolean): void {
  element("may-go").hidden = lasting;
}
