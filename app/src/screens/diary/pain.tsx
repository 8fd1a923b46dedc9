import { useMemo } from "preact/hooks";
import { Choices, toggled } from "../../parts/field.tsx";
import { optionsOf, titleOf } from "../../data/items.ts";
import { t } from "../../shell/language.ts";
import { BodyMap } from "./body_map.tsx";
import type { Draft } from "./draft.ts";
import { Folded } from "./folded.tsx";
import { valueOf } from "./words.ts";

export function Pain({ draft }: { draft: Draft }) {
  const sites = (draft.items.value["pain_site"] ?? []) as string[];
  const kinds = (draft.items.value["pain_kind"] ?? []) as string[];
  const isOpen = useMemo(() => sites.length + kinds.length > 0, []);
  const set = (name: string, values: string[]) => draft.set(name, values.length > 0 ? values : null);
  return (
    <Folded title={t("Where and how it hurts")} isOpen={isOpen} says={valueOf("pain_site", sites)}>
      <BodyMap chosen={sites} onToggle={(site) => set("pain_site", toggled(sites, site))} />
      <Choices
        label={titleOf("pain_site")}
        options={optionsOf("pain_site")}
        values={sites}
        onChange={(values) => set("pain_site", values)}
      />
      <Choices
        label={titleOf("pain_kind")}
        options={optionsOf("pain_kind")}
        values={kinds}
        onChange={(values) => set("pain_kind", values)}
      />
    </Folded>
  );
}
