/** Pictures as files: decoded by the browser, written with the marks of an altered photograph. */

import { Problem } from "../problem";
import { newImage, type Image } from "./arrays";

const MAX_PIXELS = 64_000_000;
const JPEG_QUALITY = 0.95;

/** IPTC's digital source type of a photograph a part of which was made by a trained model. */
const ALTERED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
const SOFTWARE = "hime in the browser";
const XMP = `<?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" Iptc4xmpExt:DigitalSourceType="${ALTERED}" xmp:CreatorTool="${SOFTWARE}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`;

/** Read a picture file: upright, in sRGB, over white where it is transparent. */
export async function readImage(file: File): Promise<Image> {
  const { name } = file;
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    const told = (await isHeic(file))
      ? "this browser does not open HEIC; save it as JPEG"
      : "cannot be read as a picture; give an intact JPEG, PNG or WebP";
    throw new Problem(`${name}: ${told}`, true);
  }
  try {
    if (bitmap.width * bitmap.height > MAX_PIXELS)
      throw new Problem(`${name}: too large (${bitmap.width}×${bitmap.height} pixels, the limit is 64 megapixels)`, true);
    return fromBitmap(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** Whether a file is HEIC: by its first brand (ISO 14496-12), or else, also where it cannot be read, by its name. */
async function isHeic(file: File): Promise<boolean> {
  const start = new Uint8Array(await file.slice(0, 12).arrayBuffer().catch(() => new ArrayBuffer(0)));
  return /^.{4}ftyp(hei|hev|mif1|msf1)/s.test(String.fromCharCode(...start)) || /\.hei[cf]$/i.test(file.name);
}

/** The pixels of a bitmap, drawn at that size. */
export function fromBitmap(bitmap: ImageBitmap, width: number, height: number): Image {
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return fromRgba(context.getImageData(0, 0, width, height));
}

export function fromRgba({ data, width, height }: ImageData): Image {
  const image = newImage(width, height);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    image.data[to++] = data[from];
    image.data[to++] = data[from + 1];
    image.data[to++] = data[from + 2];
  }
  return image;
}

export function toRgba(image: Image): ImageData {
  const result = new ImageData(image.width, image.height);
  const { data } = result;
  for (let from = 0, to = 0; from < image.data.length; to += 4) {
    data[to] = image.data[from++];
    data[to + 1] = image.data[from++];
    data[to + 2] = image.data[from++];
    data[to + 3] = 255;
  }
  return result;
}

/** The picture as a file, marked as altered. */
export async function writeImage(image: Image, type: "image/png" | "image/jpeg"): Promise<Blob> {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d")!.putImageData(toRgba(image), 0, 0);
  const bytes = new Uint8Array(await (await canvas.convertToBlob({ type, quality: JPEG_QUALITY })).arrayBuffer());
  return new Blob(type === "image/jpeg" ? markedJpeg(bytes) : markedPng(bytes), { type });
}

type Bytes = Uint8Array<ArrayBuffer>;

function text(value: string): Bytes {
  return new TextEncoder().encode(value);
}

/** After the first two bytes, which begin every JPEG, a segment APP1 with the XMP packet. */
function markedJpeg(jpeg: Bytes): Bytes[] {
  const body = joined([text("http://ns.adobe.com/xap/1.0/\0"), text(XMP)]);
  const length = body.length + 2;
  const heading = new Uint8Array([0xff, 0xe1, length >> 8, length & 0xff]);
  return [jpeg.subarray(0, 2), heading, body, jpeg.subarray(2)];
}

/** After the header (8 bytes and a chunk of 25), the XMP packet and the program's name as text chunks. */
function markedPng(png: Bytes): Bytes[] {
  const packet = chunk("iTXt", joined([text("XML:com.adobe.xmp\0\0\0\0\0"), text(XMP)]));
  const software = chunk("tEXt", text(`Software\0${SOFTWARE}`));
  return [png.subarray(0, 33), packet, software, png.subarray(33)];
}

function chunk(kind: string, body: Bytes): Bytes {
  const content = joined([text(kind), body]);
  const result = new Uint8Array(content.length + 8);
  const view = new DataView(result.buffer);
  view.setUint32(0, body.length);
  result.set(content, 4);
  view.setUint32(content.length + 4, checksum(content));
  return result;
}

/** CRC-32, as PNG's chunks end with. */
function checksum(bytes: Bytes): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function joined(parts: readonly Bytes[]): Bytes {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    result.set(part, place);
    place += part.length;
  }
  return result;
}
