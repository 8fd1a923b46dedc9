import { Unanswered } from "../../parts/answered.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { Empty, List, Row } from "../../parts/card.tsx";
import { AsOf } from "../../parts/as_of.tsx";
import { useDevices } from "../../data/answers.ts";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { Connected } from "./connected.tsx";
import { backlogSaid } from "./words.ts";

export default function Devices() {
  const account = useAccount();
  const { value } = useDevices();
  const { data, problem, readAt } = value.value;
  return (
    <Screen title={t("Devices")} back={to("you")}>
      {account.isNobody ? (
        <Empty>{t("A device is claimed by an account, so that its sessions come to you alone.")}</Empty>
      ) : (
        <LinkButton href={to("devices/claim")} look="main" wide>
          {t("Add a device")}
        </LinkButton>
      )}
      {data === null && !account.isNobody && <Unanswered problem={problem} />}
      {data !== null && (
        <List none={t("No device is yours yet. It has a serial number and a claim code on it, or beside it.")}>
          {data.items.map((device) => (
            <Row key={device.id} href={to(`devices/${device.id}`)}>
              <span class="spread">
                <strong>{device.name || device.model_title}</strong>
                <Connected presence={device.presence} />
              </span>
              <span class="soft small">{backlogSaid(device.presence)}</span>
              {device.before_trial !== null && <span class="mark warn">{t("Not as it was before the trial")}</span>}
              {device.unknown_programme !== null && <span class="mark alarm">{t("Holds a programme that is not known")}</span>}
            </Row>
          ))}
        </List>
      )}
      <AsOf readAt={readAt} />
    </Screen>
  );
}
