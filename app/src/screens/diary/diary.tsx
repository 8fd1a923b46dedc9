import { useSignal } from "@preact/signals";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Busy, Empty, List, Row, Section } from "../../parts/card.tsx";
import { Icon } from "../../parts/icon.tsx";
import type { Shown } from "../../data/account.ts";
import { useAccount, useAll } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { dayKey, namedDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { Summary } from "./summary.tsx";
import { ToDecide } from "./to_decide.tsx";

const AT_ONCE = 40;

export default function Diary() {
  const all = useAll("diary-entry");
  const isWhole = useAccount().isWhole.value;
  const most = useSignal(AT_ONCE);
  const entries = (all.value ?? []).toSorted((one, other) => (felt(one) < felt(other) ? 1 : -1));
  const days = Map.groupBy(entries.slice(0, most.value), (one) => dayKey(felt(one), zone(one)));
  return (
    <Screen
      title={t("Diary")}
      end={
        <LinkButton href={to("diary/new")} look="main">
          <Icon name="plus" />
          {t("Write")}
        </LinkButton>
      }
    >
      <ToDecide />
      {entries.length === 0 && !isWhole && <Busy />}
      {all.value?.length === 0 && isWhole && <Empty>{t("Nothing is written yet. A few words a day are enough.")}</Empty>}
      {[...days].map(([day, list]) => (
        <Section key={day} title={namedDay(felt(list[0]!), zone(list[0]!))}>
          <List>
            {list.map((entry) => (
              <Row key={entry.id} href={to(`diary/${entry.id}`)}>
                <Summary entry={entry} />
              </Row>
            ))}
          </List>
        </Section>
      ))}
      {most.value < entries.length && (
        <Button wide onPress={() => void (most.value += AT_ONCE)}>
          {t("Show earlier ones")}
        </Button>
      )}
    </Screen>
  );
}

const felt = (entry: Shown) => String(entry.fields["felt_at"]);
const zone = (entry: Shown) => String(entry.fields["time_zone"]);
