/** Drawings of the app's own; each says nothing that the text beside it does not. */

const PATHS = {
  today: "M12 4v2M5.6 6.6 7 8M18.4 6.6 17 8M3 14h18M6 14a6 6 0 0 1 12 0M8 18h8",
  diary: "M6 4h11a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H6zM6 4v16M10 9h5M10 13h5",
  sessions: "M3 12h3l2-6 4 13 3-9 2 2h4",
  insights: "M4 19V5M4 19h16M8 15l3-4 3 2 5-6",
  you: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20a7.5 7.5 0 0 1 15 0",
  back: "M15 5l-7 7 7 7",
  on: "M9 5l7 7-7 7",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  warning: "M12 4 2.8 19.5h18.4zM12 10v4M12 17v.01",
  unsent: "M12 19V6M6 11l6-6 6 6",
  check: "M5 13l4 4L19 7",
  device: "M8 3h8v18H8zM11 18h2",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
