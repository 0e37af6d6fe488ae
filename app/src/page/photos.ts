/** The photos of the person: read, shown, taken away, and kept on the device with the person's name. */

import type { Reference } from "../faces/album";
import { toRgba } from "../pictures/files";
import { Problem } from "../problem";
import type { Engine } from "../worker/engine";
import { button, drawn, element, make } from "./dom";
import { run, tell } from "./status";
import { forget, keep, keptPeople } from "./store";

export class Photos {
  private references: readonly Reference[] = [];

  /** @param restore the picture with other photos; says whether there is a picture. */
  constructor(
    private readonly engine: Engine,
    private readonly restore: () => Promise<boolean>,
  ) {
    element("keep").addEventListener("submit", (event) => {
      event.preventDefault();
      this.keepAs(element<HTMLInputElement>("keep-name").value.trim());
    });
  }

  get count(): number {
    return this.references.length;
  }

  /** Those that can be used; the others are told, with the reason. */
  add(files: readonly File[]): void {
    run(async () => {
      const photos = await this.engine.readPhotos(files);
      this.set(photos.references);
      const told = photos.rejected.map(([name, reason]) => make("li", {}, `${name} is not used: ${reason}`));
      element("rejected").replaceChildren(...told);
      tell(`${this.count} ${this.count === 1 ? "photo" : "photos"} of the person`);
    });
    run(async () => {
      if (this.count > 0) await this.restore();
    });
  }

  /** Use these instead of those before. */
  replace(files: readonly File[]): void {
    this.set([]);
    this.add(files);
  }

  /** Show who is kept on the device. */
  async showKept(): Promise<void> {
    const people = await keptPeople();
    const shown = people.map((person) => {
      const use = (): void => {
        this.set(person.references);
        element("rejected").replaceChildren();
        run(async () => {
          if (!(await this.restore())) tell(`The photos of ${person.name} are used.`);
        });
      };
      const remove = (): void =>
        run(async () => {
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
    element("kept").replaceChildren(...shown);
  }

  private set(next: readonly Reference[]): void {
    this.references = next;
    void this.engine.setReferences(next);
    const shown = next.map((reference) => {
      const remove = (): void => this.set(this.references.filter((other) => other !== reference));
      return make(
        "li",
        { className: "photo" },
        drawn(toRgba(reference.crop), `Photo ${reference.name}`),
        button("Remove", remove, `Remove ${reference.name}`),
      );
    });
    element("photos").replaceChildren(...shown);
  }

  private keepAs(name: string): void {
    run(async () => {
      if (this.count === 0) throw new Problem("there is no photo to keep; give photos of the person first");
      await keep({ name, references: this.references });
      await this.showKept();
      tell(`${name} is kept on this device.`);
    });
  }
}
