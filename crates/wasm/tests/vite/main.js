// A project that uses the package as its README says. The test builds it with Vite and reads the answer from the page.
import { Vlm } from "tiny-vlm";
import penguin from "./penguin.png";

const vlm = await Vlm.load();
const { text } = await vlm.ask(await (await fetch(penguin)).blob(), "What is this?");
vlm.dispose();
document.querySelector("#answer").textContent = text;
