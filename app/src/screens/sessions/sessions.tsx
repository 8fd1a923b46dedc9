import { useSignal } from "@preact/signals";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Busy, Empty, List, Row, Section } from "../../parts/card.tsx";
import { useAccount, useCopy } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { dayKey, namedDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { SessionLine, type SessionShown, sessionsShown } from "./session_line.tsx";

const AT_ONCE = 50;

export default function Sessions() {
  const sessions = useCopy(sessionsShown);
  const isWhole = useAccount().isWhole.value;
  const most = useSignal(AT_ONCE);
  if (sessions.value === null) return <Screen title={t("Sessions")}>{<Busy />}</Screen>;
  const shown = sessions.value.slice(0, most.value);
  return (
    <Screen title={t("Sessions")}>
      <LinkButton href={to("sessions/by-hand")}>{t("A session by hand")}</LinkButton>
      {shown.length === 0 && !isWhole && <Busy />}
      {shown.length === 0 && isWhole && (
        <Empty>{t("There is no session yet. Once a device is yours, its sessions come here by themselves.")}</Empty>
      )}
      {byDay(shown).map(([day, list]) => (
        <Section key={day} title={namedDay(list[0]!.fields.started_at!, list[0]!.fields.time_zone)}>
          <List>
            {list.map((session) => (
              <Row key={session.id} href={to(`sessions/${session.id}`)}>
                <SessionLine session={session} withDay={false} />
              </Row>
            ))}
          </List>
        </Section>
      ))}
      {most.value < sessions.value.length && (
        <Button wide onPress={() => void (most.value += AT_ONCE)}>
          {t("Show earlier ones")}
        </Button>
      )}
    </Screen>
  );
}

function byDay(sessions: SessionShown[]): [string, SessionShown[]][] {
  const days = Map.groupBy(sessions, ({ fields }) => dayKey(fields.started_at!, fields.time_zone));
  return [...days];
}
