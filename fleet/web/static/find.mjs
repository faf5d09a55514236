// Where am I, and what does the camera see. Both are optional: the page works without.
const near = document.getElementById("near"), camera = document.getElementById("camera");

if (near && navigator.geolocation && window.isSecureContext) {
  near.hidden = false;
  near.addEventListener("click", () => {
    near.disabled = true;
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        const query = new URLSearchParams(location.search);
        query.set("lat", coords.latitude.toFixed(4)); // to ten metres: enough to find the way
        query.set("lon", coords.longitude.toFixed(4));
        location.assign(`/?${query}`);
      },
      () => { near.disabled = false; near.querySelector("span").textContent = near.dataset.failed; },
      { timeout: 10000, maximumAge: 60000 });
  });
}

async function look() {
  // Some browsers name the detector and know no format.
  const formats = await window.BarcodeDetector?.getSupportedFormats?.().catch(() => []) ?? [];
  if (!formats.includes("qr_code") || !navigator.mediaDevices) return;
  const video = camera.querySelector("video"), caption = camera.querySelector("figcaption");
  const detector = new BarcodeDetector({ formats: ["qr_code"] });
  camera.hidden = false;
  document.getElementById("no-camera").hidden = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
  } catch { caption.textContent = caption.dataset.denied; return; }
  addEventListener("pagehide", () => video.srcObject.getTracks().forEach((track) => track.stop()));
  for (let last = ""; ; await new Promise((next) => setTimeout(next, 250))) {
    const [found] = await detector.detect(video).catch(() => []);
    if (!found || found.rawValue === last) continue;
    last = found.rawValue;
    navigator.vibrate?.(100);
    location.assign(`/scan?code=${encodeURIComponent(last.slice(0, 200))}`); // the server judges it
  }
}
if (camera) look();
