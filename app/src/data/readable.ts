/** What an app of others reads of the record, in words. */

import { t } from "../shell/language.ts";

/** A type of FHIR's resources that a scope opens: `patient/Observation.rs`. Null: it opens none. */
export function typeIn(scope: string): string | null {
  return /^patient\/([A-Za-z]+)\./.exec(scope)?.[1] ?? null;
}

/** The types that scopes open, each once. */
export function typesIn(scopes: readonly string[]): string[] {
  return [...new Set(scopes.map(typeIn).filter((type) => type !== null))];
}

export function typeTitle(type: string): string {
  switch (type) {
    case "Patient": return t("Your name");
    case "Device": return t("Your devices");
    case "DeviceMetric": return t("What your devices measure");
    case "DeviceUseStatement": return t("Which devices you use, and since when");
    case "Procedure": return t("Your sessions");
    case "Observation": return t("Readings and ratings, such as pulse, pain and sleep");
    case "QuestionnaireResponse": return t("Your diary's answers");
    case "AdverseEvent": return t("Side effects");
    case "Condition": return t("Your conditions");
    case "MedicationStatement": return t("Your medication");
    case "Consent": return t("What you agreed to");
    case "Provenance": return t("Where each entry comes from");
    default: return type;
  }
}
