import { render } from "preact";
import { Parley } from "./app/parley.ts";
import "./style.css";
import { App } from "./ui/app.tsx";

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");
const parley = new Parley();
render(<App parley={parley} />, root);
void parley.start();
