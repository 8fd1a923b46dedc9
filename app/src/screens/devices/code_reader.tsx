/** Reads a QR code with the camera, where the browser itself can. Without it the code is typed. */

import { useEffect, useRef } from "preact/hooks";
import { Button } from "../../parts/button.tsx";
import { say } from "../../parts/toast.tsx";
import { t } from "../../shell/language.ts";

interface Detector {
  detect(source: HTMLVideoElement): Promise<{ rawValue: string }[]>;
}
type DetectorClass = new (options: { formats: string[] }) => Detector;

const EVERY_MS = 250;

function detectorClass(): DetectorClass | undefined {
  return (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
}

export function canReadCodes(): boolean {
  return detectorClass() !== undefined && navigator.mediaDevices !== undefined;
}

export function CodeReader({ onRead, onClose }: { onRead: (text: string) => void; onClose: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    let stream: MediaStream | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isOver = false;
    const detector = new (detectorClass()!)({ formats: ["qr_code"] });
    const look = async () => {
      const [found] = await detector.detect(video.current!).catch(() => []);
      if (isOver) return;
      if (found === undefined) timer = setTimeout(() => void look(), EVERY_MS);
      else onRead(found.rawValue);
    };
    void navigator.mediaDevices
      .getUserMedia({ video: { facingMode: "environment" } })
      .then(async (opened) => {
        stream = opened;
        if (isOver) return stop();
        video.current!.srcObject = opened;
        await video.current!.play();
        await look();
      })
      .catch(() => {
        say(t("The camera could not be used. Type the code instead."));
        onClose();
      });
    const stop = () => {
      isOver = true;
      clearTimeout(timer);
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
    return stop;
  }, []);
  return (
    <div class="stack tight">
      <video ref={video} class="camera" playsInline muted aria-label={t("What the camera sees")} />
      <Button onPress={onClose}>{t("Cancel")}</Button>
    </div>
  );
}
