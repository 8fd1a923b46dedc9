import { Card, List, Row } from "../../parts/card.tsx";
import { useDevices } from "../../data/answers.ts";
import type { Schemas } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";

/** What the devices have recorded and not sent: "not uploaded" is another thing than "none". */
export function Held() {
  const { value } = useDevices();
  const devices = value.value.data?.items ?? [];
  if (devices.length === 0) return null;
  return (
    <Card title={t("Your devices")}>
      <List>
        {devices.map((device) => (
          <Row key={device.id} href={to(`devices/${device.id}`)}>
            <span class="spread">
              {device.name || device.model_title}
              {device.presence?.online ? (
                <span class="mark good">{t("Connected")}</span>
              ) : (
                <span class="mark">{t("Not connected")}</span>
              )}
            </span>
            <span class="soft small">{holds(device)}</span>
          </Row>
        ))}
      </List>
    </Card>
  );
}

function holds({ presence }: Schemas["Device"]): string {
  if (presence === null) return t("It never came online.");
  const held = presence.backlog_frames;
  const said =
    held === null
      ? t("It may hold recordings that are not uploaded.")
      : held === 0
        ? t("All that it held is here.")
        : tn("It holds {n} piece that is not uploaded.", "It holds {n} pieces that are not uploaded.", held);
  if (presence.online || presence.last_seen_at === null) return said;
  return `${said} ${t("Last seen {when}.", { when: fromNow(presence.last_seen_at) })}`;
}
