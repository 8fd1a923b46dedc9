/** The tabs, and the screen that is open. */

import { ErrorBoundary, LocationProvider, Route, Router, useLocation } from "preact-iso";
import { Empty } from "../parts/card.tsx";
import { Icon } from "../parts/icon.tsx";
import { Toasts } from "../parts/toast.tsx";
import { account } from "../data/residents.ts";
import { SCREENS, TABS, TOP, to } from "../routes.tsx";
import { t } from "./language.ts";
import { RedFlag } from "./red_flag.tsx";
import { Screen } from "./screen.tsx";

export function Frame() {
  return (
    <LocationProvider scope={TOP}>
      <Open />
      <Toasts />
    </LocationProvider>
  );
}

function Open() {
  return (
    <ErrorBoundary>
      <div class="frame" key={account.value.id}>
        <Tabs />
        <div>
          <RedFlag />
          <Router>
            {Object.entries(SCREENS).map(([path, component]) => (
              <Route key={path} path={to(path)} component={component} />
            ))}
            <Route default component={Missing} />
          </Router>
        </div>
      </div>
    </ErrorBoundary>
  );
}

function Tabs() {
  const { path } = useLocation();
  const inside = path.slice(TOP.length + 1).replace(/\/$/, "");
  const isOpen = (tab: string) => (tab === "" ? inside === "" : inside === tab || inside.startsWith(`${tab}/`));
  return (
    <nav class="tabs" aria-label={t("Screens")}>
      <ul>
        {TABS.map((tab) => (
          <li key={tab.path}>
            <a href={to(tab.path)} aria-current={isOpen(tab.path) ? "page" : undefined}>
              <span class="tab-sign">
                <Icon name={tab.icon} />
                {tab.path === "diary" && account.value.aside.value > 0 && <span class="dot" />}
              </span>
              {tab.label()}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Missing() {
  return (
    <Screen title={t("Not here")} back={to()}>
      <Empty>{t("There is no such page in the app.")}</Empty>
    </Screen>
  );
}
