/** People kept on the device, in the browser's IndexedDB. */

import type { Reference } from "../faces/album";
import { Problem } from "../problem";

export interface Kept {
  readonly name: string;
  readonly references: readonly Reference[];
}

const STORE = "people";
const { storage } = navigator as { storage?: StorageManager }; // none on plain http

async function open(): Promise<IDBDatabase> {
  try {
    return await new Promise((resolve, reject) => {
      const request = indexedDB.open("hime", 1); // throws where the user forbids to store
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "name" });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } catch {
    throw new Problem("this browser keeps nothing for this page; allow it to store data");
  }
}

/** @param ifThere what is told where something of that key is there already, and must not be. */
async function use<T>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>,
  ifThere?: Problem,
): Promise<T> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => {
        const noRoom = new Problem("this browser has no room to keep the photos; delete somebody or free space");
        reject(request.error?.name === "ConstraintError" ? ifThere : noRoom);
      };
    });
  } finally {
    database.close();
  }
}

export async function keptPeople(): Promise<Kept[]> {
  return use("readonly", (store) => store.getAll() as IDBRequest<Kept[]>);
}

/** Nobody who is kept is replaced: their photos may be here only. */
export async function keep(person: Kept): Promise<void> {
  const isKept = new Problem(`${person.name} is kept already; delete them first or take another name`, true);
  await use("readwrite", (store) => store.add(person), isKept);
}

export async function forget(name: string): Promise<void> {
  await use("readwrite", (store) => store.delete(name));
}

/** Whether the browser deletes nothing of it by itself. */
export async function isLasting(): Promise<boolean> {
  return (await storage?.persisted()) ?? false;
}

/** Ask the browser for that, which may ask the user; whether it is so. */
export async function askToLast(): Promise<boolean> {
  return (await storage?.persist()) ?? false;
}
