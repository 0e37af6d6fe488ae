import { startEngine } from "./client";

const site = new URL(".", document.baseURI).href.replace(/\/$/, "");
const engine = startEngine(console.log);
void engine.start(site).then((models) => engine.open(models[0].name));
