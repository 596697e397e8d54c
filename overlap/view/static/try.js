"use strict";
// Sends a chosen, dropped or recorded sound to this server and shows what the champion predicts.
const part = (name) => document.querySelector(`[data-${name}]`);
const result = part("result"), status = part("status"), button = part("record");
const seconds = Number(result.dataset.seconds);
const WORDS_SHOWN = 20;
let shownUrls = [];
let latest = 0;

async function show(blob, name) {
  const number = ++latest;
  status.textContent = `Predicting ${name} …`;
  const ask = (url) => fetch(url, { method: "POST", body: blob, headers: { "content-type": "application/octet-stream" } });
  const picture = ask(result.dataset.picture).then((answer) => (answer.ok ? answer.blob() : null)).catch(() => null);
  let answer, content;
  try {
    answer = await ask(result.dataset.predict);
    content = await answer.json();
  } catch {
    status.textContent = "The server does not answer.";
    return;
  }
  if (number !== latest) return;
  if (!answer.ok) {
    result.hidden = true;
    status.textContent = `${name}: ${content.error.message}`;
    return;
  }
  const clip = content.clips[0];
  const ranked = Object.entries(clip.probabilities).sort((a, b) => b[1] - a[1]).slice(0, WORDS_SHOWN);
  part("words").replaceChildren(...ranked.map(([word, probability]) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    const value = document.createElement("td"), cell = document.createElement("td");
    const bar = document.createElement("meter");
    head.scope = "row";
    head.textContent = word;
    value.textContent = `${(100 * probability).toFixed(1)} %`;
    bar.max = 1;
    bar.value = probability;
    bar.setAttribute("aria-label", word);
    cell.append(bar);
    row.append(head, value, cell);
    return row;
  }));
  const repairs = clip.repairs.length ? ` Repaired: ${clip.repairs.join(", ")}.` : "";
  part("summary").textContent = `Disagreement of the members ${clip.disagreement.toFixed(4)} nats, version ${content.version}.${repairs}`;
  status.textContent = `${name}: ${ranked[0][0]} is the most probable word.`;
  result.hidden = false;
  const drawn = await picture;
  if (number !== latest) return;
  shownUrls.forEach((url) => URL.revokeObjectURL(url));
  shownUrls = [blob, drawn].filter(Boolean).map((one) => URL.createObjectURL(one));
  part("audio").src = shownUrls[0]; // the picture follows when it is drawn
  part("image").hidden = !drawn;
  if (drawn) part("image").src = shownUrls[1];
}

function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, value) => [...value].forEach((c, n) => view.setUint8(at + n, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((s, n) => view.setInt16(44 + 2 * n, Math.round(32767 * Math.max(-1, Math.min(1, s))), true));
  return new Blob([view], { type: "audio/wav" });
}

async function record() {
  button.disabled = true;
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    const recorder = new MediaRecorder(stream), chunks = [];
    recorder.addEventListener("dataavailable", (event) => chunks.push(event.data));
    const ended = new Promise((resolve) => recorder.addEventListener("stop", resolve));
    recorder.start();
    status.textContent = "Recording …";
    setTimeout(() => recorder.stop(), 1000 * seconds + 200);
    await ended;
    const context = new AudioContext();
    const sound = await context.decodeAudioData(await new Blob(chunks).arrayBuffer());
    context.close();
    await show(wav(sound.getChannelData(0), sound.sampleRate), "the recording");
  } catch (error) {
    status.textContent = error.name === "NotAllowedError" ? "The browser does not allow recording." : `Recording failed: ${error.message}`;
  } finally {
    if (stream) stream.getTracks().forEach((track) => track.stop());
    button.disabled = false;
  }
}

if (!navigator.mediaDevices || !window.MediaRecorder) button.hidden = true; // needs HTTPS or localhost
button.addEventListener("click", record);
document.querySelector("#file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  if (file) show(file, file.name);
});
const drop = part("drop");
for (const kind of ["dragover", "dragenter"]) drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  const file = event.dataTransfer.files[0];
  if (file) show(file, file.name);
});
