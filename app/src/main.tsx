import "./style/base.css";
import "./style/parts.css";
import "./style/shown.css";
import { render } from "preact";
import { followAhead } from "./data/ahead.ts";
import { openLast } from "./data/residents.ts";
import { Frame } from "./shell/frame.tsx";
import { followLanguage } from "./shell/language.ts";
import { keepLook } from "./shell/look.ts";
import { followUpdates } from "./shell/update.ts";

keepLook();
await Promise.all([followLanguage(), openLast()]);
render(<Frame />, document.getElementById("app")!);
followUpdates();
followAhead();
