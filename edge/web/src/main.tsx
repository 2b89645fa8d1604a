import { render } from "preact";
import { theme } from "./app/keeping.ts";
import { Parley } from "./app/parley.ts";
import "./styles/index.css";
import { App } from "./ui/app.tsx";
import { lazily } from "./ui/lazily.ts";

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");
theme.apply();
const shareId = /^\/shared\/([^/]+)\/?$/.exec(location.pathname)?.[1];
if (shareId === undefined) {
  const parley = new Parley();
  render(<App parley={parley} />, root);
  void parley.start();
} else {
  const Shared = lazily(async () => (await import("./ui/shared.tsx")).SharedPage);
  render(<Shared shareId={decodeURIComponent(shareId)} />, root);
}
