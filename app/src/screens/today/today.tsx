import { LinkButton } from "../../parts/button.tsx";
import { resident } from "../../data/residents.ts";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { longDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { Card } from "../../parts/card.tsx";
import { Before } from "./before.tsx";
import { Held } from "./held.tsx";
import { LastSession } from "./last_session.tsx";
import { Prompt } from "./prompt.tsx";
import { QuickRating } from "./quick_rating.tsx";
import { Sending } from "./sending.tsx";

export default function Today() {
  const account = useAccount();
  return (
    <Screen title={t("Today")}>
      <p class="soft">{longDay(new Date())}</p>
      <Before />
      <Prompt />
      <QuickRating />
      <LastSession />
      <Held />
      {account.isNobody ? <Welcome /> : <Sending />}
    </Screen>
  );
}

function Welcome() {
  if (resident.value !== null) return null;
  return (
    <Card title={t("On this device alone")}>
      <p class="soft">
        {t("What you write is kept on this device. With an account it is also kept safe elsewhere, and your device can send its sessions.")}
      </p>
      <LinkButton href={to("sign-in")} wide>
        {t("Sign in, or make an account")}
      </LinkButton>
    </Card>
  );
}
