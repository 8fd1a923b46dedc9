import { Card, List, Row } from "../../parts/card.tsx";
import { useDevices } from "../../data/answers.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { Connected } from "../devices/connected.tsx";
import { backlogSaid } from "../devices/words.ts";

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
              <Connected presence={device.presence} />
            </span>
            <span class="soft small">{backlogSaid(device.presence)}</span>
          </Row>
        ))}
      </List>
    </Card>
  );
}
