// The operator page. Everything that comes from outside reaches the document as text, never as markup.

import { Viewer, size } from "/evidence.js";

const $ = (id) => document.getElementById(id);
const LANGS = ["en", "zh"];
const LOST_MS = 15000; // the server beats every 5 s
const BELL_EVERY_MS = 8000;
const BELL_FOR_MS = 180000; // the bell stops by itself, the card does not
const EVENTS_MAX = 60;
const HOLD_MS = 100; // as long as a quick hand takes to press and to let go
const CONTACTS = ["intrusion", "tamper", "ac", "battery"];
const NO_PRESS = ["confirmed", "listed"]; // alarms that nobody pressed

const cases = new Map(), boxes = new Map(), commands = new Map();
const evidence = new Map(), viewers = new Map(); // by box and what caused it
let events = [], central = { broker: true, store: "" }, benchInputs = null, bench = null;
let texts = {}, lang = remembered("callbox.lang", navigator.language.startsWith("zh") ? "zh" : "en");
let clockAheadMs = 0, heardMs = 0, selected = "";
const opened = new Set(); // cases whose history is unfolded

// ---- words

function remembered(key, otherwise) {
  try { return localStorage.getItem(key) ?? otherwise; } catch { return otherwise; }
}
function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* a page without storage starts anew each time */ }
}
function t(key, values = {}) {
  const text = texts[lang]?.[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
const known = (key) => texts[lang] !== undefined && key in texts[lang];
const named = (group, name) => (known(`page.${group}.${name}`) ? t(`page.${group}.${name}`) : String(name));
const nowMs = () => Date.now() + clockAheadMs;

function clockTime(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return String(iso);
  const locale = lang === "zh" ? "zh-CN" : "en-GB";
  const time = at.toLocaleTimeString(locale, { hour12: false });
  const today = at.toDateString() === new Date(nowMs()).toDateString();
  return today ? time : `${at.toLocaleDateString(locale, { month: "short", day: "numeric" })} ${time}`;
}
function ago(iso) {
  const s = Math.max(0, Math.round((nowMs() - new Date(iso).getTime()) / 1000));
  if (!Number.isFinite(s)) return "";
  if (s < 60) return t("page.ago_s", { n: s });
  if (s < 3600) return t("page.ago_min", { n: Math.floor(s / 60) });
  if (s < 172800) return t("page.ago_h", { n: Math.floor(s / 3600) });
  return t("page.ago_d", { n: Math.floor(s / 86400) });
}
function duration(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return t("page.s", { n: s });
  if (s < 3600) return t("page.min_s", { min: Math.floor(s / 60), s: s % 60 });
  return t("page.h_min", { h: Math.floor(s / 3600), min: Math.floor((s % 3600) / 60) });
}
const operator = (by) => (by === "reset" ? t("page.by.reset") : String(by).replace(/^\/operators\//, ""));
const boxName = (id) => boxes.get(id)?.name || id;
const place = (item) => [boxName(item.box), item.input].filter(Boolean).join(" · ");
/** Where a box with a satellite receiver was at an event; "" of all others. */
function placeOf(data) {
  const at = data.position ?? ("lat" in data ? data : null);
  if (!at) return "";
  if (![at.lat, at.lon].every(Number.isFinite)) return t("page.place_unknown");
  return t(at.stale ? "page.place_stale" : "page.place", { lat: at.lat.toFixed(6), lon: at.lon.toFixed(6) });
}
const keyOf = (item) => `${item.box} ${item.id}`;

// ---- elements

/** What does not show is escaped: no code of a scanner can turn a line around, or look like another one. */
const shown = (text) => text.replace(/[\p{C}\u2028\u2029]/gu, (char) => (char === "\n" ? char : `\\u${char.codePointAt(0).toString(16).padStart(4, "0")}`));
function h(tag, options = {}, ...children) {
  const { data = {}, on = {}, ...attributes } = options;
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(data)) element.dataset[name] = value;
  for (const [name, handler] of Object.entries(on)) element.addEventListener(name, handler);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false).map((c) => (c instanceof Node ? c : shown(String(c)))));
  return element;
}
const icon = (shape) => h("span", { class: `icon ${shape}`, "aria-hidden": "true" });
const agoOf = (iso) => h("span", { class: "ago", data: { ago: iso } }, ago(iso));

const prints = new WeakMap(); // element: what it was made from
/** Puts `parts` ([key, fingerprint, make]) into `parent`, keeping every element whose fingerprint is unchanged. */
function fill(parent, parts) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const focus = parent.contains(document.activeElement) ? document.activeElement : null;
  const focused = focus && [focus.closest("[data-key]")?.dataset.key, focus.dataset.action];
  let at = parent.firstChild;
  for (const [key, print, make] of parts) {
    let element = old.get(key);
    old.delete(key);
    if (!element || prints.get(element) !== print) {
      const made = make();
      made.dataset.key = key;
      prints.set(made, print);
      if (element) {
        if (at === element) at = made;
        element.replaceWith(made);
      }
      element = made;
    }
    if (element === at) at = at.nextSibling;
    else parent.insertBefore(element, at);
  }
  for (const gone of old.values()) gone.remove();
  if (focused && !document.activeElement?.closest("[data-key]")) {
    const holder = [...parent.children].find((child) => child.dataset.key === focused[0]);
    const button = focused[1] && holder?.querySelector(`[data-action="${CSS.escape(focused[1])}"]:not(:disabled)`);
    (button || holder)?.focus({ preventScroll: true });
  }
}

// ---- evidence

/** The pictures of what is called `key`; null as long as there are none. */
function pictures(key, marksMs, zero) {
  const group = evidence.get(key);
  if (!group) return null;
  const viewer = viewers.get(key) ?? new Viewer({ h, t, icon, clockTime }, group.box, group.case);
  viewers.set(key, viewer);
  viewer.marksMs = marksMs;
  viewer.zero = zero;
  viewer.update(group, marksMs, zero, central.decrypts);
  return viewer.element;
}
function picturesOf(item) {
  const raised = item.history.filter((event) => event.class === "alarm" && event.data.transition === "raised" && !event.type.endsWith(".confirmed"));
  const word = CONTACTS.includes(item.kind) ? "alarm" : "press";
  return pictures(keyOf(item), raised.map((event) => Date.parse(event.time)), t(`page.evidence.zero.${word}`));
}
/** What the evidence of an event that is no alarm is called: by the event, or by the command that it answers. */
const causeOf = (event) => [event.id, event.data.command].map((id) => `${event.box} ${id}`).find((key) => evidence.has(key));
function eventPictures(event) {
  const key = causeOf(event);
  if (!key) return null;
  const fold = `event ${event.id}`;
  return h("details", { class: "pictures", open: opened.has(fold), on: { toggle: ({ target }) => {
    opened[target.open ? "add" : "delete"](fold);
    if (target.open && target.children.length < 2) target.append(pictures(key, [Date.parse(event.time)], t("page.evidence.zero.event")));
  } } }, h("summary", { data: { action: "pictures" } }, t("page.evidence.title")));
}

// ---- alarms

const stateShape = { open: "triangle", acknowledged: "check", closed: "square" };
const lastCommand = (item) => [...commands.values()].filter((c) => c.case === item.id && c.box === item.box).at(-1);

function openCases() {
  const rank = (item) => (item.test ? 2 : 0) + (item.state === "open" ? 0 : 1);
  return [...cases.values()]
    .filter((item) => item.state !== "closed")
    .sort((a, b) => rank(a) - rank(b) || (a.received_at < b.received_at ? 1 : -1));
}

const times = (item) => t(CONTACTS.includes(item.kind) ? "page.count_contact" : "page.count", { n: item.count });
function commandLine(command) {
  if (!command) return null;
  const shapes = { sent: "dots", unanswered: "dots", done: "check", refused: "cross", unreachable: "cross", expired: "cross" };
  const words = { verb: named("verb", command.verb), reason: command.reason };
  return h("p", { class: `command ${command.status}`, data: { testid: "command", status: command.status } }, icon(shapes[command.status]), t(`page.command.${command.status}`, words));
}

function marks(item) {
  const list = [];
  if (item.test) list.push(["test", "page.test", {}]);
  if (item.silent) list.push(["hush", "page.silent", {}]);
  if (item.late_s !== null) list.push(["late", item.fresh ? "page.late_plain" : "page.late", { duration: duration(item.late_s) }]);
  else if (item.replayed) list.push(["late", "page.replayed", {}]);
  if (item.done.restored && item.state !== "closed") list.push(["plain", "page.type.contact_restored", {}]);
  for (const flag of item.flags) list.push(["plain", `page.flag.${flag}`, {}]);
  for (const problem of item.problems) list.push(["warn", `page.problem.${problem}`, {}]);
  return list.map(([look, key, values]) => h("li", { class: `mark ${look}`, data: { mark: key } }, t(key, values)));
}

function caseCard(item) {
  const key = keyOf(item), command = lastCommand(item), waiting = command && ["sent", "unanswered"].includes(command.status);
  const acknowledged = item.done.acknowledged, unfolded = opened.has(key);
  // a box that refuses to close it does not know it (any more), a forged one nobody knows
  const stuck = command && command.verb === "close" && !waiting && command.status !== "done";
  const title = named("kind", item.kind), where = item.history.findLast((event) => event.data.position);
  const button = (action, name, letter, off, look = "") => h("button", { type: "button", class: look, disabled: off, data: { action }, on: { click: () => act(action, key) } }, h("span", {}, name), letter ? h("kbd", {}, letter) : null);
  return h("article", {
    class: `card ${item.state}${item.test ? " is-test" : ""}`, tabindex: "0", "aria-label": `${t(`page.state.${item.state}`)}: ${title}, ${place(item)}`,
    data: { testid: "case", case: item.id, box: item.box, state: item.state, kind: item.kind, count: item.count, replayed: item.replayed, silent: item.silent },
    on: { focusin: () => select(key, false), click: () => select(key, false) },
  },
    h("div", { class: "stripe", "aria-hidden": "true" }, icon(stateShape[item.state])),
    h("div", { class: "body" },
      h("p", { class: "state" }, t(`page.state.${item.state}`), acknowledged && item.state === "acknowledged" ? h("span", { class: "who" }, " " + t("page.ack_by", { by: operator(acknowledged.by), time: clockTime(acknowledged.time) })) : null),
      h("h3", {}, title, item.count > 1 ? h("span", { class: "count", title: times(item) }, `×${item.count}`, h("span", { class: "unseen" }, times(item))) : null),
      h("p", { class: "place" }, boxName(item.box), item.input ? h("span", { class: "input" }, item.input) : null, item.code ? h("span", { class: "input" }, item.code) : null, item.lists ? h("span", { class: "input" }, item.lists) : null),
      h("p", { class: "when" }, h("time", { datetime: item.raised }, clockTime(item.raised)), " · ", agoOf(item.raised), item.count > 1 ? ` · ${times(item)}` : "", item.clock === "synced" ? null : h("span", { class: "aside" }, ` · ${t("page.clock_unsynced")}`)),
      where ? h("p", { class: "when", data: { testid: "where" } }, placeOf(where.data)) : null,
      h("ul", { class: "marks" }, ...marks(item)),
      acknowledged?.note && item.state === "acknowledged" ? h("blockquote", { data: { testid: "note" } }, acknowledged.note) : null,
      commandLine(command?.status === "done" ? null : command),
      h("div", { class: "actions" },
        button("acknowledge", t("page.acknowledge"), "A", item.state !== "open" || (waiting && command.status === "sent"), item.state === "open" ? "main" : ""),
        button("close", t("page.close"), "C", waiting && command.status === "sent", item.state === "open" ? "" : "main"),
        stuck ? button("aside", t("page.aside"), "", false) : null,
        h("button", { type: "button", class: "quiet", "aria-expanded": String(unfolded), data: { action: "history" }, on: { click: () => act("history", key) } }, h("span", {}, `${t("page.history")} (${item.history.length})`), h("kbd", {}, "H")),
      ),
      picturesOf(item),
      unfolded ? timeline(item) : null,
    ),
  );
}

function eventWords(event) {
  const [, family, leaf] = event.type.split("."), data = event.data;
  if (family === "alarm") {
    if (leaf === "cancelled") return t("page.type.cancelled");
    if (data.transition === "restored") return t(CONTACTS.includes(leaf) ? "page.type.contact_restored" : "page.type.restored");
    if (NO_PRESS.includes(leaf)) return named("kind", leaf);
    if (CONTACTS.includes(leaf)) return t("page.type.raised_contact");
    return data.count > 1 ? t("page.type.raised_n", { n: data.count }) : t("page.type.raised");
  }
  if (family === "trouble") return t(data.transition === "restored" ? "page.type.trouble_over" : "page.type.trouble", { name: named("trouble", leaf) });
  if (event.type === "callbox.audit.command") return `${t("page.type.audit.command")}: ${named("verb", data.verb)}: ${data.result ? named("result", data.result) : ""}`;
  if (event.type === "callbox.audit.pruned") return t("page.type.audit.pruned", { n: data.count, cause: named("cause", data.cause) });
  return named("type", `${family}.${leaf}`);
}
const shapeOf = (event) => ({ "audit.acknowledged": "check", "audit.closed": "square" })[event.type.replace("callbox.", "")] ?? (event.class === "alarm" && event.data.transition === "raised" ? "triangle" : event.class === "trouble" ? "diamond" : event.class === "audit" ? "ring" : "dot");

function eventParts(event) {
  const data = event.data;
  const detail = [data.code, data.input, placeOf(data), data.lists || data.list, data.patrol, data.link, data.by && operator(data.by), data.reason].filter((part) => part !== undefined && part !== null && part !== "").map(String);
  const notes = [];
  if (event.replayed) notes.push(h("span", { class: "mark late" }, t("page.replayed")));
  if (event.late_s !== null) notes.push(h("span", { class: "mark plain" }, t("page.received_after", { duration: duration(event.late_s) })));
  if (data.undelivered > 0) notes.push(h("span", { class: "mark warn" }, t("page.pruned_lost", { n: data.undelivered })));
  if (data.test === true) notes.push(h("span", { class: "mark test" }, t("page.test")));
  for (const problem of event.problems) notes.push(h("span", { class: "mark warn" }, t(`page.problem.${problem}`)));
  return [icon(shapeOf(event)), h("time", { datetime: event.time }, clockTime(event.time)), h("span", { class: "what" }, eventWords(event), detail.length ? h("span", { class: "detail" }, detail.join(" · ")) : null, data.note ? h("q", {}, data.note) : null, ...notes)];
}
const timeline = (item) => {
  const list = item.history.map((event) => ({ ...event, data: { ...event.data, input: event.data.input === item.input ? "" : event.data.input } }));
  return h("ol", { class: "timeline", data: { testid: "timeline" } }, ...list.map((event) => h("li", { data: { seq: event.seq, type: event.type } }, ...eventParts(event))));
};

function renderCases() {
  const list = openCases(), loud = list.filter((item) => item.state === "open" && !item.test);
  if (selected && !cases.has(selected)) selected = "";
  fill($("alarms"), list.map((item) => [keyOf(item), `${lang} ${opened.has(keyOf(item))} ${evidence.has(keyOf(item))} ${boxName(item.box)} ${JSON.stringify(item)} ${JSON.stringify(lastCommand(item) ?? 0)}`, () => caseCard(item)]));
  for (const card of $("alarms").children) card.classList.toggle("selected", card.dataset.key === selected);
  $("calm").hidden = list.length > 0;
  const closed = [...cases.values()].filter((item) => item.state === "closed").sort((a, b) => (a.received_at < b.received_at ? 1 : -1));
  fill($("closed"), closed.length ? closed.map((item) => [keyOf(item), `${lang} ${evidence.has(keyOf(item))} ${boxName(item.box)} ${JSON.stringify(item)}`, () => closedRow(item)]) : [["none", lang, () => h("p", { class: "hint" }, t("page.closed_none"))]]);
  $("tally").dataset.open = loud.length;
  $("tally-text").textContent = loud.length ? t("page.waiting", { n: loud.length }) : t("page.waiting_none");
  document.title = `${loud.length ? `(${loud.length}) ${t("page.state.open")} · ` : ""}Callbox`;
}

function closedRow(item) {
  const last = item.done.closed ?? item.done.restored ?? {};
  const key = keyOf(item);
  return h("details", { open: opened.has(key), data: { testid: "closed-case", case: item.id }, on: { toggle: ({ target }) => {
    opened[target.open ? "add" : "delete"](key);
    const shown = target.open && !target.querySelector(".evidence") ? picturesOf(item) : null;
    if (shown) target.lastElementChild.before(shown);
  } } },
    h("summary", {}, icon("square"), h("time", { datetime: item.opened }, clockTime(item.opened)), h("span", { class: "what" }, `${named("kind", item.kind)}${item.count > 1 ? ` ×${item.count}` : ""}`, h("span", { class: "detail" }, place(item)), item.test ? h("span", { class: "mark test" }, t("page.test")) : null, item.replayed ? h("span", { class: "mark late" }, t("page.replayed")) : null, last.by ? h("span", { class: "detail" }, t("page.ack_by", { by: operator(last.by), time: clockTime(last.time) })) : null)),
    timeline(item));
}

// ---- boxes and other events

function boxCard(box) {
  const shapes = { online: "disc", offline: "cross", silent: "dashes" };
  const alarms = box.pending.alarm ?? 0, others = Object.entries(box.pending).reduce((sum, [cls, n]) => sum + (cls === "media_bytes" || cls === "alarm" ? 0 : n), 0);
  const tested = [...commands.values()].filter((c) => c.box === box.box && c.verb === "test").at(-1);
  return h("article", { class: `box ${box.link}`, data: { testid: "box", box: box.box, link: box.link } },
    h("h3", {}, box.name, h("span", { class: "detail" }, box.box)),
    h("p", { class: "link" }, icon(shapes[box.link]), h("strong", {}, t(`page.link.${box.link}`)), h("span", { class: "ago detail", data: { ago: box.seen_at, agoText: "page.link_seen" } }, t("page.link_seen", { ago: ago(box.seen_at) }))),
    h("ul", { class: "marks" },
      alarms ? h("li", { class: "mark warn" }, t("page.pending_alarms", { n: alarms })) : null,
      box.pending.media_bytes ? h("li", { class: "mark plain" }, t("page.pending_media", { bytes: size(box.pending.media_bytes) })) : null,
      others ? h("li", { class: "mark plain" }, t("page.pending", { n: others })) : null,
      box.key_changed ? h("li", { class: "mark warn" }, t("page.key_changed")) : null,
      ...box.trouble.map((trouble) => h("li", { class: "mark warn", data: { trouble: trouble.kind } }, icon("diamond"), [named("trouble", trouble.kind), trouble.where].filter(Boolean).join(": ")))),
    box.inputs.length ? h("ul", { class: "inputs" }, ...box.inputs.map((input) => h("li", { class: input.quality === "good" ? (input.value === "idle" ? "" : "active") : "bad" }, icon(input.quality === "good" ? (input.value === "idle" ? "ring" : "disc") : "diamond"), h("span", {}, input.id), h("span", { class: "detail" }, input.quality === "good" ? named("input", input.value) : named("quality", input.quality))))) : null,
    commandLine(tested),
    h("button", { type: "button", class: "quiet small", data: { action: "test" }, on: { click: () => send("test", { box: box.box }).catch(complain) } }, t("page.test_box")));
}

function renderBoxes() {
  const list = [...boxes.values()].sort((a, b) => (a.box < b.box ? -1 : 1));
  fill($("boxes"), list.length ? list.map((box) => [box.box, `${lang} ${JSON.stringify(box)} ${JSON.stringify([...commands.values()].filter((c) => c.box === box.box && c.verb === "test").at(-1) ?? 0)}`, () => boxCard(box)]) : [["none", lang, () => h("p", { class: "hint" }, t("page.boxes_none"))]]);
}

function renderEvents() {
  const list = [...events].reverse();
  fill($("events"), list.length ? list.map((event) => [event.id, `${lang} ${event.problems} ${boxName(event.box)} ${causeOf(event)}`, () => h("li", { class: event.replayed ? "replayed" : "", data: { testid: "event", id: event.id, replayed: event.replayed, type: event.type }, title: `${boxName(event.box)} · ${event.type} · ${event.seq}` }, ...eventParts(event), eventPictures(event))]) : [["none", lang, () => h("li", { class: "hint" }, t("page.events_none"))]]);
}

function renderBanners() {
  const list = [];
  if (document.body.dataset.link === "lost") list.push(t("page.lost", { time: clockTime(heardMs) }));
  if (!central.broker) list.push(t("page.no_broker"));
  if (central.store) list.push(t("page.no_store", { reason: central.store }));
  fill($("banners"), list.map((text) => [text, text, () => h("p", {}, icon("cross"), text)]));
}

function render() {
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  renderSound();
  renderBanners();
  renderCases();
  renderBoxes();
  renderEvents();
  buildBench();
  tick();
}

// ---- what the operator does

function select(key, focus = true) {
  selected = key;
  for (const card of $("alarms").children) {
    const chosen = card.dataset.key === key;
    card.classList.toggle("selected", chosen);
    if (chosen && focus) {
      card.focus({ preventScroll: true });
      card.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    }
  }
}
function step(by) {
  const keys = openCases().map(keyOf);
  if (!keys.length) return;
  const at = keys.indexOf(selected);
  select(keys[at < 0 ? 0 : Math.min(keys.length - 1, Math.max(0, at + by))]);
}

let wish = null; // what the open dialog is about
function act(action, key) {
  const item = cases.get(key) ?? openCases()[0];
  if (!item) return;
  if (action === "history") {
    opened[opened.has(keyOf(item)) ? "delete" : "add"](keyOf(item));
    renderCases();
    return;
  }
  const last = lastCommand(item);
  if (action === "acknowledge" && (item.state !== "open" || (last?.status === "sent" && last.verb === action))) return;
  wish = { verb: action, box: item.box, case: item.id };
  $("note-title").textContent = t(`page.dialog.${action}`);
  $("note-which").textContent = `${named("kind", item.kind)} · ${place(item)} · ${clockTime(item.raised)}`;
  $("note-hint").textContent = t(`page.dialog.hint_${action}`);
  $("note-unseen").hidden = !(action === "close" && item.state === "open");
  $("note-send").textContent = named("verb", action);
  $("note").value = "";
  $("note").placeholder = t("page.dialog.placeholder");
  $("note-error").hidden = true;
  $("note-dialog").showModal();
  $("note").focus();
}
async function send(path, body) {
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  } catch { throw new Error("page.error.unreachable"); }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? "page.error.unreachable");
  return said;
}
function complain(error) {
  const text = t(error.message);
  $("banners").append(h("p", { data: { key: `error ${text}` } }, icon("cross"), text));
  setTimeout(renderBanners, 8000);
}

$("note-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const sent = wish;
  $("note-send").disabled = true;
  try {
    const command = await send(sent.verb, { box: sent.box, case: sent.case, note: $("note").value.trim() });
    if (!commands.has(command.id)) commands.set(command.id, command);
    $("note-dialog").close();
    renderCases();
  } catch (error) {
    $("note-error").textContent = t(error.message);
    $("note-error").hidden = false;
  } finally {
    $("note-send").disabled = false;
  }
});
$("note").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("note-form").requestSubmit();
  }
});
$("note-cancel").addEventListener("click", () => $("note-dialog").close());
$("note-dialog").addEventListener("close", () => select(selected || (wish ? `${wish.box} ${wish.case}` : "")));
$("language").addEventListener("click", () => speak(LANGS[(LANGS.indexOf(lang) + 1) % LANGS.length]));
$("help").addEventListener("click", () => $("help-dialog").showModal());
function speak(name) {
  lang = name;
  remember("callbox.lang", lang);
  render();
}

document.addEventListener("keydown", (event) => {
  wake();
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const keys = {
    arrowdown: () => step(1), j: () => step(1), arrowup: () => step(-1), k: () => step(-1),
    a: () => act("acknowledge", selected), c: () => act("close", selected), h: () => act("history", selected),
    p: () => viewers.get(selected)?.toggle(), arrowleft: () => viewers.get(selected)?.step(-1000), arrowright: () => viewers.get(selected)?.step(1000),
    m: () => toggleSound(), l: () => $("language").click(), "?": () => $("help").click(),
  };
  const doIt = keys[event.key.toLowerCase()];
  if (doIt) {
    event.preventDefault();
    doIt();
  }
});
document.addEventListener("click", () => wake()); // not sooner: the sound's new word may move what is being clicked

// ---- the bell: two tones, again and again while a prompt alarm waits for a person; once for one that came late

let audio = null, muted = remembered("callbox.muted", "no") === "yes";
const rung = new Map(); // case: how many of its presses have rung
const bells = new Map(); // case: until when its bell goes on
function wake() {
  if (muted) return;
  audio ??= new AudioContext();
  if (audio.state === "suspended") audio.resume().then(renderSound, () => {});
  renderSound();
}
function toggleSound() {
  if (!muted && audio?.state !== "running") { wake(); return; }
  muted = !muted;
  remember("callbox.muted", muted ? "yes" : "no");
  if (!muted) { wake(); chime(); }
  renderSound();
}
function renderSound() {
  const state = muted ? "muted" : audio?.state === "running" ? "on" : "blocked";
  const button = $("sound");
  button.dataset.sound = state;
  button.setAttribute("aria-pressed", String(state === "on"));
  button.replaceChildren(icon(state === "on" ? "bell" : "bell-off"), h("span", {}, t(`page.sound_${state}`)), h("kbd", {}, "M"));
}
let chimedMs = 0;
function chime() {
  chimedMs = nowMs();
  document.body.dataset.rings = Number(document.body.dataset.rings) + 1;
  if (muted || audio?.state !== "running") return;
  const start = audio.currentTime + 0.02;
  for (const [at, hertz] of [[0, 880], [0.28, 660], [0.56, 880], [0.84, 660], [1.12, 880], [1.4, 660]]) {
    const tone = audio.createOscillator(), loud = audio.createGain();
    tone.type = "triangle";
    tone.frequency.value = hertz;
    loud.gain.setValueAtTime(0.0001, start + at);
    loud.gain.exponentialRampToValueAtTime(0.5, start + at + 0.03);
    loud.gain.exponentialRampToValueAtTime(0.0001, start + at + 0.27);
    tone.connect(loud).connect(audio.destination);
    tone.start(start + at);
    tone.stop(start + at + 0.28);
  }
}
/** live: it has just come; otherwise the page was opened or is back, and only what still waits for a person rings. */
function ring(item, live) {
  const key = keyOf(item), before = rung.get(key) ?? 0;
  rung.set(key, item.rings);
  if (item.state !== "open") bells.delete(key);
  if (item.rings <= before || (item.state !== "open" && !(live && !item.fresh))) return false;
  if (item.fresh) bells.set(key, nowMs() + BELL_FOR_MS);
  return true;
}
setInterval(() => {
  for (const [key, until] of bells) if (nowMs() > until) bells.delete(key);
  if (bells.size && nowMs() - chimedMs >= BELL_EVERY_MS) chime();
}, 1000);

function announce(item, before) {
  const values = { kind: named("kind", item.kind), place: place(item), n: item.count };
  const key = !before ? "new" : item.count > before.count ? "again" : item.state !== before.state && item.state !== "open" ? item.state : "";
  if (key) $("says").textContent = t(`page.says.${key}`, values);
}

// ---- the simulated box

const lampChanges = {}; // lamp: [[when in ms, lit], ...], the newest last
function buildBench() {
  $("bench").hidden = benchInputs === null;
  if (benchInputs === null) return;
  const scan = benchInputs.some((input) => input.kind === "scan");
  $("bench-scan").hidden = !scan;
  fill($("bench-inputs"), benchInputs.filter((input) => !["scan", "patrol"].includes(input.kind)).map((input) => [input.id, lang, () => (CONTACTS.includes(input.kind) ? contact(input) : pushButton(input))]));
  const lamps = Object.keys(bench?.outputs ?? {});
  fill($("bench-lamps"), lamps.map((lamp) => [lamp, lang, () => h("div", { class: "lamp", data: { testid: "lamp", lamp, lit: "false", pattern: "dark" } }, h("span", { class: "glass", "aria-hidden": "true" }), h("strong", {}, named("bench.lamp", lamp)), h("span", { class: "pattern" }), h("span", { class: "meaning detail", "aria-live": "polite" }))]));
  fill($("bench-switches"), ["link", "power"].map((name) => [name, lang, () => toggle(name)]));
  renderBench();
}
let pressing = Promise.resolve(); // down, then up, never the other way round
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
function pushButton(input) {
  const set = (down) => { pressing = pressing.then(() => send("bench/press", { input: input.id, down })).catch(complain).then(() => pause(HOLD_MS)); };
  let held = false;
  const down = () => { if (!held) { held = true; set(true); } };
  const up = () => { if (held) { held = false; set(false); } };
  return h("button", { type: "button", class: `push ${input.kind}`, data: { testid: "press", input: input.id, kind: input.kind, action: `press ${input.id}` }, on: {
    pointerdown: (event) => { if (event.button === 0) { event.target.closest("button").setPointerCapture(event.pointerId); down(); } },
    pointerup: up, pointercancel: up, lostpointercapture: up, blur: up,
    keydown: (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); if (!event.repeat) down(); } },
    keyup: (event) => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); up(); } },
    contextmenu: (event) => event.preventDefault(),
  } }, h("span", { class: "cap", "aria-hidden": "true" }), h("strong", {}, named("kind", input.kind)), h("span", { class: "detail" }, input.id));
}
function contact(input) {
  return h("button", { type: "button", class: "contact", role: "switch", "aria-checked": "false", data: { testid: "press", input: input.id, kind: input.kind, action: `press ${input.id}` }, on: { click: () => send("bench/press", { input: input.id, down: !bench?.inputs?.[input.id] }).catch(complain) } },
    h("strong", {}, named("kind", input.kind)), h("span", { class: "detail" }, input.id), h("span", { class: "word" }));
}
function toggle(name) {
  const path = { link: "up", power: "on" }[name];
  return h("button", { type: "button", class: "switch", role: "switch", data: { testid: `switch-${name}`, action: name }, on: { click: () => send(`bench/${name}`, { [path]: !bench?.[name] }).catch(complain) } },
    h("span", { class: "track", "aria-hidden": "true" }), h("strong", {}, t(`page.bench.${name}`)), h("span", { class: "word" }));
}
const lampShown = {}; // lamp: the last blinking pattern, and when
function patternOf(name, lit, now) {
  // the steps since it was last dark for longer than any pattern is: another lamp had its turn then
  let steps = lampChanges[name] ?? [];
  for (let at = steps.length - 1; at > 0; at--) {
    if (!steps[at - 1][1] && steps[at][0] - steps[at - 1][0] > 2500) { steps = steps.slice(at); break; }
  }
  const since = steps.length ? now - steps.at(-1)[0] : Infinity;
  if (since > 3600 || (!lit && since > 2500)) return lit ? "steady" : "dark";
  const spans = steps.slice(1).map(([at, on], index) => [at - steps[index][0], !on]); // [ms, it was lit]
  const lately = (lit) => Math.max(...spans.filter(([, was]) => was === lit).slice(-2).map(([ms]) => ms));
  const on = lately(true), off = lately(false);
  if (on === -Infinity) { // it has just come on: the pattern that it had before its turn, else steady
    const before = lampShown[name];
    return !lit ? "dark" : before && now - before[1] < 9000 ? before[0] : "steady";
  }
  const pattern = name === "green" ? "wink" : on < 350 && off > 0 && off < 350 ? "fast" : on < 500 ? "pulse" : "slow";
  lampShown[name] = [pattern, now];
  return pattern;
}
function renderBench() {
  if (benchInputs === null || !bench) return;
  const now = performance.now();
  for (const lamp of $("bench-lamps").children) {
    const name = lamp.dataset.lamp, lit = Boolean(bench.outputs?.[name]);
    const pattern = patternOf(name, lit, now);
    lamp.dataset.lit = String(lit);
    if (lamp.dataset.pattern !== pattern || !lamp.querySelector(".pattern").textContent) {
      lamp.dataset.pattern = pattern;
      lamp.querySelector(".pattern").textContent = t(`page.lamp.${pattern}`);
      const meaning = `page.lamp.${name}.${name === "green" && pattern !== "dark" ? "steady" : pattern}`;
      lamp.querySelector(".meaning").textContent = known(meaning) ? t(meaning) : "";
    }
  }
  for (const input of $("bench-inputs").children) {
    const down = Boolean(bench.inputs?.[input.dataset.input]);
    input.dataset.down = String(down);
    if (input.getAttribute("role") === "switch") {
      input.setAttribute("aria-checked", String(down));
      input.querySelector(".word").textContent = t(down ? "page.bench.open" : "page.bench.closed");
    }
  }
  for (const control of $("bench-switches").children) {
    const on = Boolean(bench[control.dataset.action]);
    control.setAttribute("aria-checked", String(on));
    control.querySelector(".word").textContent = t(on ? "page.bench.on" : "page.bench.off");
  }
}
function takeBench(state) {
  const now = performance.now();
  for (const [name, lit] of Object.entries(state.outputs ?? {})) {
    const changes = (lampChanges[name] ??= []);
    if (!changes.length || changes.at(-1)[1] !== lit) changes.push([now, lit]);
    if (changes.length > 8) changes.shift();
  }
  const lamps = Object.keys(bench?.outputs ?? {}).join();
  bench = state;
  if (Object.keys(state.outputs ?? {}).join() !== lamps) buildBench();
  else renderBench();
}
$("bench-scan").addEventListener("submit", (event) => {
  event.preventDefault();
  const code = $("scan-code").value;
  if (code) send("bench/scan", { code }).then(() => { $("scan-code").value = ""; }, complain);
});

// ---- what central says

const waiting = new Set();
/** Renders once for all that comes within a moment: a flood of alarms must not make the page deaf. */
function later(...renders) {
  if (!waiting.size) setTimeout(() => {
    const all = [...waiting];
    waiting.clear();
    for (const one of all) one();
  }, 20);
  for (const one of renders) waiting.add(one);
}
const handlers = {
  snapshot(all) {
    clockAheadMs = new Date(all.now).getTime() - Date.now();
    for (const [map, list, key] of [[cases, all.cases, keyOf], [boxes, all.boxes, (box) => box.box], [commands, all.commands, (c) => c.id], [evidence, all.evidence, (group) => `${group.box} ${group.case}`]]) {
      map.clear();
      for (const item of list) map.set(key(item), item);
    }
    events = all.events.slice(-EVENTS_MAX);
    central = all.central;
    for (const key of viewers.keys()) if (!evidence.has(key)) viewers.delete(key);
    for (const [key, viewer] of viewers) viewer.update(evidence.get(key), viewer.marksMs, viewer.zero, central.decrypts);
    if (all.bench) takeBench(all.bench);
    render();
    const ringing = [...cases.values()].filter((item) => ring(item, false));
    if (ringing.length) {
      chime();
      announce(ringing[0]);
    }
  },
  box(box) { boxes.set(box.box, box); later(renderBoxes, renderCases); },
  case(item) {
    const before = cases.get(keyOf(item));
    cases.set(keyOf(item), item);
    later(renderCases);
    announce(item, before);
    if (ring(item, true)) chime();
  },
  evidence(group) {
    const key = `${group.box} ${group.case}`, viewer = viewers.get(key);
    evidence.set(key, group);
    if (viewer) viewer.update(group, viewer.marksMs, viewer.zero, central.decrypts);
    else later(renderCases, renderEvents);
  },
  command(command) { commands.set(command.id, command); later(renderCases, renderBoxes); },
  event(event) { events = [...events.filter((other) => other.id !== event.id), event].slice(-EVENTS_MAX); later(renderEvents); },
  central(state) { central = state; renderBanners(); },
  bench: takeBench,
  beat() {},
};
let stream = null;
function listen() {
  stream?.close();
  heardMs = nowMs();
  stream = new EventSource("/api/stream");
  for (const [name, handler] of Object.entries(handlers)) {
    stream.addEventListener(name, (event) => {
      heardMs = nowMs();
      if (document.body.dataset.link !== "live") { document.body.dataset.link = "live"; renderBanners(); }
      handler(JSON.parse(event.data));
    });
  }
  stream.addEventListener("error", () => lost());
}
function lost() {
  if (document.body.dataset.link !== "lost") { document.body.dataset.link = "lost"; renderBanners(); }
}
function tick() {
  $("clock").textContent = new Date(nowMs()).toLocaleTimeString(lang === "zh" ? "zh-CN" : "en-GB", { hour12: false });
  for (const element of document.querySelectorAll("[data-ago]")) {
    const text = ago(element.dataset.ago);
    element.textContent = element.dataset.agoText ? t(element.dataset.agoText, { ago: text }) : text;
  }
}
setInterval(tick, 1000);
setInterval(() => {
  if (stream?.readyState === EventSource.CLOSED || nowMs() - heardMs > LOST_MS) { lost(); listen(); }
}, 2000);
setInterval(renderBench, 250);

const first = await (await fetch("/api/texts")).json();
texts = first.texts;
benchInputs = first.bench;
if (!LANGS.includes(lang)) lang = "en";
try { audio = muted ? null : new AudioContext(); audio?.addEventListener("statechange", renderSound); } catch { audio = null; }
render();
listen();
