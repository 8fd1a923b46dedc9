import { Busy, Card, List, Row } from "../../parts/card.tsx";
import { useAccount, useCopy } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { sessionsShown, SessionLine } from "../sessions/session_line.tsx";

export function LastSession() {
  const sessions = useCopy(sessionsShown);
  const isWhole = useAccount().isWhole.value;
  if (sessions.value === null) return null;
  const [last] = sessions.value;
  return (
    <Card title={last?.fields.state === "open" ? t("A session is running") : t("Last session")}>
      {last === undefined ? (
        isWhole ? <p class="soft">{t("There is no session yet.")}</p> : <Busy />
      ) : (
        <List>
          <Row href={to(`sessions/${last.id}`)}>
            <SessionLine session={last} />
          </Row>
        </List>
      )}
    </Card>
  );
}
