// A phone's photo has many megabytes: it is made smaller before it is sent, where the browser can.
// What it cannot read it sends as it is; the server judges.
const SIDE = 1600, QUALITY = 0.8, SMALL = 400000, WAIT_MS = 15000;
const field = document.getElementById("photo"), send = document.getElementById("send");
let making = Promise.resolve();

async function smaller(file) {
  const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height)), canvas = document.createElement("canvas");
  canvas.width = Math.round(picture.width * scale);
  canvas.height = Math.round(picture.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
  return blob && blob.size < file.size ? new File([blob], "photo.jpg", { type: "image/jpeg" }) : file;
}

field?.addEventListener("change", () => {
  const [file] = field.files;
  if (!file || file.size <= SMALL || !window.createImageBitmap) return;
  making = smaller(file).then((made) => {
    if (field.files[0] !== file || made === file) return;
    const held = new DataTransfer();
    held.items.add(made);
    field.files = held.files;
  }).catch(() => { /* as it is */ });
});

field?.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (send.disabled) return; // a hasty second tap
  send.disabled = true;
  send.textContent = send.dataset.sending;
  await Promise.race([making, new Promise((done) => setTimeout(done, WAIT_MS))]);
  field.form.submit();
});
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
