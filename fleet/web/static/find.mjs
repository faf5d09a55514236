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
        location.assign(`${location.pathname}?${query}`);
      },
      () => { near.disabled = false; near.querySelector("span").textContent = near.dataset.failed; },
      { timeout: 10000, maximumAge: 60000 });
  });
}

// The browser's own reader where it has one; else a worker, which is fetched only now.
async function reader() {
  // Some browsers name the detector and know no format.
  const formats = await window.BarcodeDetector?.getSupportedFormats?.().catch(() => []) ?? [];
  if (formats.includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return async (video) => (await detector.detect(video).catch(() => []))[0]?.rawValue;
  }
  const worker = new Worker(camera.dataset.worker), canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  worker.postMessage({ type: "inversionMode", data: "both" });
  let broken = false, answer = () => {};
  worker.onmessage = ({ data }) => { if (data.type === "qrResult") answer(data.data); };
  worker.onerror = () => { broken = true; answer(); };
  return async (video) => {
    const side = Math.min(video.videoWidth, video.videoHeight), small = Math.min(side, 480);
    if (!small || broken) return undefined;
    canvas.width = canvas.height = small; // the middle of the picture, no larger than is needed
    pen.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, small, small);
    const frame = pen.getImageData(0, 0, small, small), read = new Promise((done) => { answer = done; });
    worker.postMessage({ type: "decode", data: frame }, [frame.data.buffer]);
    return await read ?? undefined;
  };
}

async function look() {
  if (!navigator.mediaDevices) return; // plain http, or an old browser
  const video = camera.querySelector("video"), caption = camera.querySelector("figcaption");
  const read = await reader().catch(() => null);
  if (!read) return;
  camera.hidden = false;
  document.getElementById("no-camera").hidden = true;
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    await video.play();
  } catch { caption.textContent = caption.dataset.denied; video.hidden = true; return; }
  addEventListener("pagehide", () => video.srcObject.getTracks().forEach((track) => track.stop()));
  for (let last = ""; ; await new Promise((next) => setTimeout(next, 250))) {
    const text = await read(video);
    if (!text || text === last) continue;
    last = text;
    if (navigator.userActivation?.hasBeenActive !== false) navigator.vibrate?.(100);
    location.assign(`/scan?code=${encodeURIComponent(last.slice(0, 200))}`); // the server judges it
  }
}
if (camera) look();
