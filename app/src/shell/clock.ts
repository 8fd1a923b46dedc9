import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

/** The time in milliseconds, every second anew: what is shown grows old without any event. */
export function useClock(): number {
  const now_ms = useSignal(Date.now());
  useEffect(() => {
    const clock = setInterval(() => void (now_ms.value = Date.now()), 1_000);
    return () => clearInterval(clock);
  }, []);
  return now_ms.value;
}
