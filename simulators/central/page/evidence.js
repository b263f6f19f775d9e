// The pictures of a case: each camera's strip and stage, and one clock and one time line for all of them.

const TAIL_MS = 1500; // so long the last picture of a file stands when no other follows
const LOADED_MAX = 90; // files of pictures in memory
const STEP_MS = 100;

const mb = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const sum = (list, of) => list.reduce((total, item) => total + of(item), 0);

export class Viewer {
  /** tools: h, t, icon, clockTime of the page; box, id: whose evidence it is. */
  constructor(tools, box, id) {
    Object.assign(this, tools);
    this.base = `/evidence/${box}/${encodeURIComponent(id)}`;
    this.cameras = [];
    this.loaded = new Map(); // sha256: { ready, error, atMs, blobs }
    this.atMs = 0;
    this.chosen = false; // a person has chosen the time
    this.playing = 0; // when the last step of the playing was, 0: it stands
    const { h } = this;
    this.stages = h("div", { class: "cameras" });
    this.play = h("button", { type: "button", class: "small", data: { action: "play", testid: "play" }, on: { click: () => this.toggle() } });
    this.slider = h("input", { type: "range", min: "0", step: String(STEP_MS), data: { action: "seek", testid: "seek" }, on: { input: () => this.seek(this.beginMs + Number(this.slider.value)), keydown: (event) => this.key(event) } });
    this.ticks = h("div", { class: "ticks", "aria-hidden": "true" });
    this.time = h("output", { class: "at", data: { testid: "at" } });
    this.player = h("div", { class: "player" }, this.play, h("div", { class: "track" }, this.slider, this.ticks), this.time);
    this.element = h("section", { class: "evidence", data: { testid: "evidence" } }, this.stages, this.player);
  }

  /** group: the evidence as central tells it; marksMs: when the presses were; zero: the word for the first of them. */
  update(group, marksMs, zero, decrypts) {
    Object.assign(this, { group, zero, decrypts });
    const { t } = this;
    this.element.setAttribute("aria-label", t("page.evidence.title"));
    this.cameras = group.cameras.map((camera) => this.camera(camera));
    const whole = this.cameras.flatMap((camera) => camera.list);
    this.beginMs = Math.min(...whole.map((file) => file.fromMs));
    this.endMs = Math.max(...whole.map((file) => file.toMs));
    this.marksMs = marksMs.length ? marksMs : [this.beginMs];
    if (!this.chosen) this.atMs = Math.min(Math.max(this.marksMs[0], this.beginMs), this.endMs);
    this.player.hidden = !(this.endMs > this.beginMs);
    if (this.player.hidden) this.playing = 0;
    else {
      this.slider.max = String(this.endMs - this.beginMs);
      this.slider.setAttribute("aria-label", t("page.evidence.seek"));
      this.ticks.replaceChildren(...this.marksMs.filter((at) => at >= this.beginMs && at <= this.endMs).map((at) => {
        const tick = this.h("span", { class: "tick", data: { testid: "tick" }, title: this.offset(at) });
        tick.style.left = `${((at - this.beginMs) / (this.endMs - this.beginMs)) * 100}%`;
        return tick;
      }));
    }
    const old = new Map([...this.stages.children].map((child) => [child.dataset.camera, child]));
    for (const [index, camera] of this.cameras.entries()) {
      camera.stage = old.get(camera.name) ?? this.makeStage(camera.name);
      if (this.stages.children[index] !== camera.stage) this.stages.insertBefore(camera.stage, this.stages.children[index] ?? null);
      this.fillStage(camera.stage, camera);
    }
    this.show();
    if (!this.element.isConnected) requestAnimationFrame(() => this.show()); // what needs its place on the page
  }

  /** One camera: `list` is what can be played: whole files of the clip, or else pictures alone. */
  camera(said) {
    const files = said.files.map((file) => ({ ...file, fromMs: Date.parse(file.from), toMs: Math.max(Date.parse(file.to), Date.parse(file.from)) }));
    const readable = files.filter((file) => file.whole && (this.decrypts || !file.encrypted));
    const clip = readable.filter((file) => !file.key_frame);
    return { ...said, name: said.camera, files, list: clip.length ? clip : readable, alone: !clip.length };
  }

  makeStage(name) {
    const { h } = this;
    return h("figure", { class: "camera", data: { camera: name, testid: "camera" } },
      h("figcaption", {}),
      h("div", { class: "stage" }, h("canvas", { role: "img", width: "320", height: "180" }), h("p", { class: "word" })),
      h("div", { class: "coming" }),
      h("ol", { class: "strip" }));
  }

  fillStage(stage, camera) {
    const { h, t, icon } = this;
    const have = sum(camera.files, (file) => file.have), bytes = sum(camera.files, (file) => file.bytes);
    const gone = camera.files.filter((file) => file.gone && !file.whole).length;
    const wrong = camera.files.filter((file) => file.wrong && !file.whole).length;
    const none = camera.last && !camera.files.length;
    stage.querySelector("figcaption").replaceChildren(h("strong", {}, camera.name), h("span", { class: "detail" }, [
      bytes ? t(have < bytes ? "page.evidence.progress" : "page.evidence.received", { have: mb(have), bytes: mb(bytes) }) : "",
      camera.last ? "" : t("page.evidence.more"),
    ].filter(Boolean).join(" · ")));
    stage.querySelector(".stage").hidden = none;
    stage.querySelector(".coming").replaceChildren(...[
      none ? h("p", { class: "mark warn", data: { testid: "no-evidence" } }, t("page.evidence.none", { camera: camera.name }), camera.reason ? h("span", { class: "detail" }, camera.reason) : null) : null,
      bytes && have < bytes ? h("progress", { max: String(bytes), value: String(have), "aria-label": t("page.evidence.progress", { have: mb(have), bytes: mb(bytes) }) }) : null,
      gone ? h("p", { class: "mark warn", data: { testid: "gone" } }, t("page.evidence.gone", { n: gone })) : null,
      wrong ? h("p", { class: "mark warn", data: { testid: "wrong-hash" } }, t("page.evidence.wrong", { n: wrong })) : null,
    ].filter(Boolean));
    const clip = camera.files.filter((file) => !file.key_frame), strip = stage.querySelector(".strip");
    const old = new Map([...strip.children].map((child) => [child.dataset.sha, child]));
    strip.hidden = !clip.length;
    const zeroMs = this.marksMs[0], at = clip.findLastIndex((file) => file.fromMs <= zeroMs && zeroMs <= file.toMs + TAIL_MS);
    for (const [index, file] of clip.entries()) {
      const side = index === at ? "press" : file.fromMs < zeroMs ? "before" : "after";
      const readable = file.whole && (this.decrypts || !file.encrypted);
      const print = `${document.documentElement.lang} ${readable} ${file.whole} ${side} ${this.zero} ${zeroMs}`;
      let item = old.get(file.sha256);
      old.delete(file.sha256);
      if (!item || item.dataset.print !== print) {
        const made = h("li", { data: { sha: file.sha256, print, side, testid: "piece" } });
        const image = readable ? h("img", { src: `${this.base}/${file.sha256}/thumb.jpg`, alt: "", loading: "lazy", on: { error: () => image.replaceWith(icon("cross")) } }) : icon(file.whole ? "diamond" : "dots");
        made.append(h("button", { type: "button", disabled: !readable, "aria-label": `${t("page.evidence.camera", { camera: camera.name })}: ${this.offset(file.fromMs)}, ${this.side(side)}`, data: { action: `seek ${file.sha256}` }, on: { click: () => this.seek(side === "press" ? zeroMs : file.fromMs) } },
          image, h("span", {}, side === "press" ? this.zero : this.offset(file.fromMs, 0))));
        item?.replaceWith(made);
        item = made;
      }
      if (strip.children[index] !== item) strip.insertBefore(item, strip.children[index] ?? null);
    }
    for (const gone of old.values()) gone.remove();
  }

  side(side) { return side === "press" ? this.zero : this.t(`page.evidence.side.${side}`); }
  /** Seconds before or after the first press, with its sign. */
  offset(atMs, digits = 1) {
    const s = (atMs - this.marksMs[0]) / 1000;
    return `${s < 0 ? "−" : "+"}${this.t("page.s", { n: Math.abs(s).toFixed(digits) })}`;
  }

  // ---- the clock

  seek(atMs) {
    this.chosen = true;
    this.atMs = Math.min(Math.max(atMs, this.beginMs), this.endMs);
    this.show();
  }
  /** A key on the time line; true when it was one of ours. */
  key(event) {
    if (event.key !== " ") return;
    event.preventDefault();
    this.toggle();
  }
  step(byMs) { if (!this.player.hidden) this.seek(this.atMs + byMs); }
  pause() { this.playing = 0; this.show(); }
  toggle() {
    if (this.player.hidden) return;
    if (this.playing) { this.pause(); return; }
    if (this.atMs >= this.endMs) this.atMs = this.beginMs;
    this.chosen = true;
    this.playing = performance.now();
    this.show();
    requestAnimationFrame((now) => this.tick(now));
  }
  tick(nowMs) {
    if (!this.playing || !this.element.isConnected) { this.playing = 0; return; }
    const loading = this.cameras.some((camera) => this.wanted(camera).loading);
    if (!loading) this.atMs += Math.min(Math.max(0, nowMs - this.playing), 250);
    this.playing = nowMs;
    if (this.atMs >= this.endMs) { this.atMs = this.endMs; this.playing = 0; }
    this.show();
    requestAnimationFrame((now) => this.tick(now));
  }

  // ---- the pictures

  /** The file that shows this camera at the time, and what it holds as far as it is loaded. */
  wanted(camera) {
    const at = camera.list.findLastIndex((file) => file.fromMs <= this.atMs);
    const file = camera.list[at] ?? (camera.alone ? camera.list[0] : undefined);
    if (!file || (!camera.alone && this.atMs > file.toMs + TAIL_MS)) return {};
    const next = this.playing ? camera.list[at + 1] : undefined;
    if (next) this.load(next);
    const pictures = this.load(file);
    return { file, pictures, loading: !pictures.ready && !pictures.error };
  }

  load(file) {
    let pictures = this.loaded.get(file.sha256);
    if (!pictures) {
      pictures = { ready: false, error: "", atMs: [], blobs: [] };
      this.loaded.set(file.sha256, pictures);
      if (this.loaded.size > LOADED_MAX) this.loaded.delete(this.loaded.keys().next().value);
      this.fetch(file, pictures).catch(() => { pictures.error = "page.error.unreachable"; setTimeout(() => this.loaded.delete(file.sha256), 5000); }).finally(() => this.show());
    }
    return pictures;
  }
  async fetch(file, pictures) {
    const answer = await fetch(`${this.base}/${file.sha256}/pictures`);
    if (!answer.ok) { pictures.error = (await answer.json()).error; return; }
    const bytes = await answer.arrayBuffer(), length = new DataView(bytes).getUint32(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
    let start = 4 + length;
    for (const [index, size] of head.sizes.entries()) {
      pictures.atMs.push(file.fromMs + head.at_s[index] * 1000);
      pictures.blobs.push(new Blob([new Uint8Array(bytes, start, size)], { type: "image/jpeg" }));
      start += size;
    }
    pictures.ready = true;
  }

  /** Everything that depends on the time. */
  show() {
    const { t } = this;
    if (!this.group) return;
    this.play.textContent = t(this.playing ? "page.evidence.pause" : "page.evidence.play");
    this.element.dataset.playing = String(Boolean(this.playing));
    if (!this.player.hidden) {
      const text = `${this.offset(this.atMs)} · ${this.clockTime(this.atMs)}`;
      this.slider.value = String(this.atMs - this.beginMs);
      this.slider.setAttribute("aria-valuetext", text);
      this.time.textContent = text;
    }
    for (const camera of this.cameras) this.paint(camera.stage, camera);
  }

  paint(stage, camera) {
    const { t } = this, canvas = stage.querySelector("canvas");
    const { file, pictures, loading } = this.wanted(camera);
    const locked = !this.decrypts && camera.files.some((one) => one.whole && one.encrypted);
    const word = pictures?.error ? t(pictures.error)
      : pictures?.ready ? ""
      : loading ? (canvas.dataset.shown ? "" : t("page.evidence.loading"))
      : camera.list.length ? t("page.evidence.no_picture") : t(locked ? "page.evidence.locked" : "page.evidence.waiting");
    stage.querySelector(".word").textContent = word;
    stage.dataset.dim = String(word !== "");
    const current = [...stage.querySelectorAll(".strip li")].find((item) => item.dataset.sha === file?.sha256);
    for (const item of stage.querySelectorAll(".strip [aria-current]")) if (item.parentNode !== current) item.removeAttribute("aria-current");
    current?.firstChild.setAttribute("aria-current", "true");
    const strip = stage.querySelector(".strip");
    if (current && strip.clientWidth && strip.dataset.at !== file.sha256) {
      strip.dataset.at = file.sha256;
      strip.scrollLeft = current.offsetLeft - (strip.clientWidth - current.clientWidth) / 2;
    }
    if (!pictures?.ready) return;
    const index = Math.max(0, pictures.atMs.findLastIndex((at) => at <= this.atMs));
    canvas.setAttribute("aria-label", `${t("page.evidence.camera", { camera: camera.name })}: ${this.offset(pictures.atMs[index])}`);
    this.draw(canvas, `${file.sha256} ${index}`, pictures.blobs[index], pictures.atMs[index]);
  }

  /** The newest wish wins; one picture is decoded at a time. */
  async draw(canvas, name, blob, atMs) {
    canvas.wish = { name, blob, atMs };
    if (canvas.busy) return;
    canvas.busy = true;
    try {
      while (canvas.wish.name !== canvas.dataset.shown) {
        const wish = canvas.wish, bitmap = await createImageBitmap(wish.blob);
        if (canvas.width !== bitmap.width) canvas.width = bitmap.width;
        if (canvas.height !== bitmap.height) canvas.height = bitmap.height;
        canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
        canvas.dataset.shown = wish.name;
        canvas.dataset.at = String(Math.round(wish.atMs));
      }
    } finally { canvas.busy = false; }
  }
}

export const size = mb;
