import { Screen } from "../../shell/screen.tsx";
import { t } from "../../shell/language.ts";

export default function Stub() {
  return <Screen title={t("Sign in")}>{null}</Screen>;
}
