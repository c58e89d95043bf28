
(() => {
"use strict";
const root = document.documentElement;
const remembered = () => { try { return localStorage.getItem("aioinspect-theme"); } catch { return null; } };
if (["dark", "light"].includes(remembered())) root.dataset.theme = remembered();
root.classList.add("live");
document.addEventListener("DOMContentLoaded", () => {
const $ = (id) => document.getElementById(id);
const body = $("contexts").tBodies[0], heads = [...$("contexts").tHead.rows[0].cells];
const { rows: MOST_ROWS, failures: MOST_FAILURES, owners: MOST_OWNERS } = document.body.dataset;
const PERIOD = 2000, PLOT_PERIOD = 10000, SLOWEST = 30000, TIMEOUT = 10000, LEAST = 5, COUNTABLE = 200;
// The columns and the rule for owners are the program's: it wrote them into the headings and the body.
const columns = heads.map((th) => ({ sort: th.dataset.sort, id: th.dataset.id, type: th.dataset.type, down: th.dataset.first === "greatest" }));
const OWNER = document.body.dataset.owner.split(" "), SEARCHED = document.body.dataset.search.split(" ");
const put = (at, value) => { const text = String(value ?? "-"); if (at.textContent !== text) at.textContent = text; };
const set = (at, name, value) => { if (at.getAttribute(name) !== String(value)) at.setAttribute(name, value); };

// What each finding means and how bad it is: the list at the end of the page knows.
const known = new Map([...$("findings").querySelectorAll("dt")].map((dt) =>
  [dt.dataset.code, { tone: dt.className, severity: Number(dt.dataset.severity), says: dt.nextElementSibling.textContent }]));
const severity = (code) => known.get(code)?.severity ?? -1;
const worstFirst = (codes) => [...codes].sort((a, b) => severity(b) - severity(a));

const params = new URLSearchParams(location.search);
let sort = params.get("sort") ?? "", only = params.get("owner") ?? "", span = params.get("span") ?? "";
let data = null, taken = performance.now(), paused = false, failing = 0, connected = false;
let chosen = [], open = null, opener = null, timer = 0, busy = false, again = false, lastPoll = 0;
const held = [];
if ($("ring-panel").dataset.key) open = { key: $("ring-panel").dataset.key, start: $("ring-panel").dataset.start };

// A dying context may have the id of another that was made since.
const isDying = (c) => "dying_seconds" in c;
const keyOf = (c) => `${c.pid}:${c.context ?? "-"}${isDying(c) ? "!" : ""}`;
const age = (seconds) => {
  const s = Math.floor(seconds), m = Math.floor(s / 60), h = Math.floor(s / 3600);
  return h ? `${h} h ${m % 60} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
};
const ownerOf = (o) => OWNER.map((part) => o?.[part]).find(Boolean) || "";
const ownerName = (c) => ownerOf(c.owner) || `${c.comm}[${c.pid}]`;
const free = (c) => {
  if (c.nr_events == null || c.in_flight == null || c.unreaped == null) return null;
  const left = c.nr_events - 1 - c.in_flight - c.unreaped;
  return left < 0 ? null : left;
};
const percent = (c) => {
  const left = free(c), all = c.nr_events - 1;
  if (left == null || all <= 0) return null;
  return left === all ? 0 : left === 0 ? 100 : Math.min(99, Math.max(1, Math.floor((all - left) * 100 / all)));
};
// What the document does not have ready.
const derived = { owner: (c) => ownerOf(c.owner), fill: percent, free };
const get = (c, id) => (derived[id] ? derived[id](c) : c[id] ?? c.owner?.[id]);
const order = () => {
  const name = sort.replace(/^-/, "").toLowerCase(), named = columns.find((column) => column.sort === name);
  const column = named ?? columns.find((one) => one.sort === "max_reqs");
  const turned = Boolean(named) && sort.startsWith("-");
  return { by: column.sort, column, turned, down: column.down !== turned };
};
const rank = (c, { id, type }) => {
  const value = get(c, id);
  if (value == null || value === "") return null;
  if (type === "findings") return value.length ? Math.max(...value.map(severity)) : null;
  return type === "address" ? BigInt(value) : value;
};
const choose = () => {
  const wanted = $("filter").value.trim().toLowerCase(), { column, down } = order();
  const has = (text) => String(text ?? "").toLowerCase().includes(wanted);
  const rows = data.contexts
    .filter((c) => !only || ownerName(c) === only)
    .filter((c) => !wanted || SEARCHED.some((id) => has(get(c, id))))
    .map((c, place) => ({ c, place, v: rank(c, column) }));
  // The document is in the order of PIDs, then of contexts: what is equal keeps it.
  rows.sort((a, b) => {
    if (a.v === null || b.v === null) return (a.v === null) - (b.v === null) || a.place - b.place;
    const found = a.v < b.v ? -1 : a.v > b.v ? 1 : 0;
    return (down ? -found : found) || a.place - b.place;
  });
  chosen = rows.map((row) => row.c);
};
const link = (key, owner = only) => {
  const to = new URLSearchParams();
  if (owner) to.set("owner", owner);
  if ($("filter").value.trim()) to.set("q", $("filter").value);
  if (sort) to.set("sort", sort);
  if (span) to.set("span", span);
  if (key) { const at = key.indexOf(":"); to.set("pid", key.slice(0, at)); to.set("context", key.slice(at + 1).replace("!", "")); }
  return to.size === 0 && !String(to) ? location.pathname : `?${to}`;
};
const remember = () => history.replaceState(null, "", link(open?.key));

const codes = (at, c) => {
  const sorted = worstFirst(c.findings), old = c.dying_seconds == null ? "" : ` ${age(c.dying_seconds)}`;
  const text = (sorted.join(" ") || "-") + old;
  if (at.textContent === text) return;
  at.textContent = sorted.length ? "" : "-";
  sorted.forEach((code, place) => {
    if (place) at.append(" ");
    const span = document.createElement("span");
    span.className = known.get(code)?.tone ?? "f";
    span.title = known.get(code)?.says ?? "";
    span.textContent = code;
    at.append(span);
  });
  at.append(old);
};
const fillRow = (tr, c) => {
  columns.forEach(({ id, type }, at) => {
    const td = tr.cells[at], value = get(c, id);
    if (type === "findings") codes(td, c);
    else if (type === "percent") {
      put(td.firstElementChild, value == null ? null : `${value}%`);
      set(td.querySelector("rect"), "width", value ?? 0);
    } else if (type === "address") {
      put(td.firstElementChild, value);
      set(td.firstElementChild, "href", link(keyOf(c)));
    } else put(td, value === "" ? null : value);
  });
  tr.classList.toggle("open", keyOf(c) === open?.key);
};
const drawRows = () => {
  choose();
  const rows = new Map([...body.rows].map((tr) => [tr.dataset.key, tr]));
  const focused = document.activeElement?.closest?.("#contexts tbody tr") ? document.activeElement : null;
  const place = focused ? focused.closest("tr").sectionRowIndex : -1;
  let at = body.rows[0] ?? null;
  const shown = chosen.slice(0, MOST_ROWS);
  const wanted = new Set(shown.map(keyOf));
  for (const [key, tr] of rows) if (!wanted.has(key)) { if (tr === at) at = tr.nextElementSibling; tr.remove(); }
  for (const c of shown) {
    const key = keyOf(c);
    let tr = rows.get(key);
    if (!tr) { tr = $("row").content.firstElementChild.cloneNode(true); tr.dataset.key = key; }
    fillRow(tr, c);
    if (tr === at) at = at.nextElementSibling; else body.insertBefore(tr, at);
  }
  // A row that was moved, or is gone, lost the focus.
  if (focused && document.activeElement !== focused) {
    if (!focused.isConnected) focusRow(Math.min(place, body.rows.length - 1)); else focused.focus({ preventScroll: true });
  }
  const all = data.contexts.length, more = chosen.length - shown.length;
  put($("more"), !chosen.length ? (all ? "no context matches the filter" : "no process has an AIO context")
    : more ? `and ${more} more: the first ${MOST_ROWS} of ${chosen.length} are shown, filter to see others`
      : chosen.length < all ? `${chosen.length} of ${all} contexts match` : "");
};
// As the program sums them: - where nothing is known, 5+ where there is more that is not.
const sum = () => ({ of: 0, known: 0, gaps: 0 });
const add = (to, more) => { if (more == null) to.gaps += 1; else { to.of += more; to.known += 1; } };
const value = (from) => (from.known || !from.gaps ? from.of : null);
const summed = (from) => (value(from) == null ? null : `${from.of}${from.gaps ? "+" : ""}`);
const thousandths = (part, all) => (all > 0 ? Math.floor(part * 1000 / all) : null);
const percentOf = (part, all) => { const n = thousandths(part, all); return n == null ? "-" : `${Math.floor(n / 10)}.${n % 10}%`; };
// 0 only of nothing; not of a sum of which a part is not known.
const shareOf = (from, all) => (from.gaps ? null : from.of > 0 && thousandths(from.of, all) === 0 ? "<0.1%" : percentOf(from.of, all));
const drawOwners = () => {
  const owners = new Map();
  for (const c of data.contexts) {
    const name = ownerName(c);
    if (!owners.has(name)) owners.set(name, { name, processes: new Set(), contexts: 0, reserved: sum(), flight: sum() });
    const owner = owners.get(name);
    owner.processes.add(`${c.pid} ${c.start_ticks}`);
    add(owner.flight, c.in_flight);
    if (!isDying(c)) { owner.contexts += 1; add(owner.reserved, c.max_reqs); }
  }
  const sorted = [...owners.values()].sort((a, b) =>
    (value(b.reserved) ?? -1) - (value(a.reserved) ?? -1) || b.contexts - a.contexts || (a.name < b.name ? -1 : 1));
  const shown = sorted.slice(0, MOST_OWNERS), table = $("owners").tBodies[0];
  while (table.rows.length > shown.length) table.rows[shown.length].remove();
  shown.forEach((owner, at) => {
    const tr = table.rows[at] ?? table.appendChild($("owner-row").content.firstElementChild.cloneNode(true));
    const a = tr.querySelector("a"), chosen = owner.name === only;
    set(tr, "data-key", owner.name); set(a, "data-owner", owner.name);
    set(a, "href", link(open?.key, chosen ? "" : owner.name));
    put(a, owner.name);
    [owner.processes.size, owner.contexts, summed(owner.reserved), shareOf(owner.reserved, data.system.aio_max_nr), summed(owner.flight)]
      .forEach((cell, place) => put(tr.cells[place + 1], cell));
    tr.classList.toggle("open", chosen);
  });
  const rest = sorted.slice(MOST_OWNERS), slots = rest.reduce((all, owner) => all + (value(owner.reserved) ?? 0), 0);
  put($("owner-more"), !rest.length ? "" : rest.length === 1 ? `1 more owner reserves ${slots}` : `${rest.length} more owners reserve ${slots}`);
};
const drawOnly = () => {
  $("only").hidden = !only;
  put($("only-owner"), only);
  set($("only-all"), "href", link(open?.key, ""));
};
const drawHeads = () => {
  const { by, turned, down } = order();
  for (const th of heads) set(th, "aria-sort", th.dataset.sort !== by ? "none" : down ? "descending" : "ascending");
  return { by, turned };
};
const drawSystem = () => {
  const s = data.system, ratio = s.aio_max_nr > 0 ? s.aio_nr / s.aio_max_nr : null;
  put($("reserved"), s.aio_nr); put($("limit"), s.aio_max_nr);
  put($("percent"), percentOf(s.aio_nr, s.aio_max_nr));
  put($("slots-free"), s.aio_max_nr - s.aio_nr);
  put($("attributed"), s.attributed); put($("unattributed"), s.unattributed);
  put($("count"), data.contexts.filter((c) => !isDying(c)).length); put($("ghosts"), data.ghosts.length); put($("source"), s.source);
  $("system").className = s.aio_nr > s.aio_max_nr * 0.95 ? "bad" : s.aio_nr > s.aio_max_nr * 0.8 ? "pending" : "fine";
  set($("bar"), "width", Math.min(1000, thousandths(s.aio_nr, s.aio_max_nr) ?? 0));
  document.title = ratio == null ? "aioinspect" : `${$("percent").textContent} of AIO slots - aioinspect`;
};

const arcsOf = (c) => {
  const entries = c.nr_events;
  if (!entries) return { head: null, tail: null, done: 0, flight: 0, entry: null, known: false };
  const degrees = (n) => n * 360 / entries, inside = (n) => (n != null && n < entries ? n : null);
  const head = inside(c.head), tail = inside(c.tail);
  const done = c.unreaped === 0 ? 0 : c.unreaped != null && tail != null && c.unreaped < entries ? c.unreaped : null;
  const flight = c.in_flight === 0 ? 0 : c.in_flight != null && tail != null ? Math.min(c.in_flight, entries - (done ?? 0)) : null;
  const seen = (n) => (n ? Math.max(degrees(n), LEAST) : 0), first = Math.min(seen(done), 360 - Math.min(seen(flight), LEAST));
  return {
    head: head == null ? null : degrees(head), tail: tail == null ? null : degrees(tail), done: first,
    flight: Math.min(seen(flight), 360 - first), entry: entries <= COUNTABLE ? degrees(1) : null, known: done != null && flight != null,
  };
};
const drawRing = (c) => {
  const ring = $("ring"), arcs = arcsOf(c), at = arcs.tail ?? 0;
  const arc = (name, start, len) => {
    const circle = ring.querySelector(`circle.${name}`);
    set(circle, "stroke-dasharray", `${len.toFixed(2)} 720`);
    set(circle, "transform", `rotate(${start.toFixed(2)})`);
  };
  arc("done", ((at - arcs.done) % 360 + 360) % 360, arcs.done);
  arc("flight", at, arcs.flight);
  set(ring.querySelector(".base"), "class", `base ${arcs.known ? "free" : "unknown"}`);
  const entries = ring.querySelector(".entries");
  set(entries, "display", arcs.entry ? "inline" : "none");
  set(entries, "stroke-dasharray", `0.5 ${((arcs.entry ?? 360) - 0.5).toFixed(3)}`);
  for (const [name, angle, radius] of [["head", arcs.head, 114], ["tail", arcs.tail, 44]]) {
    const mark = ring.querySelector(`g.${name}`), radians = (angle ?? 0) * Math.PI / 180;
    set(mark, "display", angle == null ? "none" : "inline");
    set(mark.firstElementChild, "transform", `rotate(${(angle ?? 0).toFixed(2)})`);
    set(mark.lastElementChild, "x", (radius * Math.sin(radians)).toFixed(1));
    set(mark.lastElementChild, "y", (4 - radius * Math.cos(radians)).toFixed(1));
  }
  const taken = percent(c);
  put(ring.querySelector(".mid"), taken == null ? "-" : `${taken}%`);
};
const drawPanel = () => {
  const panel = $("ring-panel");
  panel.hidden = !open;
  if (!open || !data) return;
  let c = data.contexts.find((one) => keyOf(one) === open.key);
  // A PID that came back is another process.
  if (c && open.start != null && open.start !== "-" && String(c.start_ticks) !== String(open.start)) c = null;
  panel.classList.toggle("gone", !c);
  $("gone").hidden = Boolean(c);
  put($("gone"), c ? "" : "gone: there is no such context any more");
  panel.dataset.key = open.key;
  set($("ring-close"), "href", link(null));
  if (!c) {
    if (open.shown !== open.key) put($("ring-title"), open.key);
    return;
  }
  open.start = c.start_ticks;
  open.shown = open.key;
  panel.dataset.start = c.start_ticks;
  for (const [name, value] of [["head", c.head], ["tail", c.tail], ["inFlight", c.in_flight], ["unreaped", c.unreaped]])
    panel.dataset[name] = String(value ?? "-");
  put($("ring-title"), `${c.comm}[${c.pid}] ${c.context}`);
  drawRing(c);
  const said = { mapped: c.mapped == null ? null : c.mapped ? "yes" : "no", fill: percent(c) == null ? null : `${percent(c)}%`,
    age_seconds: c.age_seconds == null ? null : age(c.age_seconds),
    submit_fails_on: c.submit_fails_on === "" ? "none" : c.submit_fails_on, stranded_credits: stranded(c.stranded_credits) };
  for (const at of panel.querySelectorAll("[data-f]")) {
    const name = at.dataset.f, value = name in said ? said[name] : get(c, name);
    if (name === "findings") codes(at, c); else put(at, value === "" ? null : value);
  }
};
const stranded = (all) => {
  if (!all) return null;
  const places = all.slice(0, 8).map((of) => `${of.credits} on CPU ${of.cpu}${of.online === false ? " (offline)" : ""}`);
  if (all.length > 8) places.push(`more on ${all.length - 8} others`);
  return places.join(", ") || "none";
};
const draw = () => { drawHeads(); drawOnly(); if (data) { drawSystem(); drawOwners(); drawRows(); } drawPanel(); };
const select = (key, from) => {
  if (key) opener = from ?? opener;
  open = key ? { key } : null;
  remember();
  draw();
  if (key) $("ring-title").focus(); else { focusKey(opener); opener = null; }
};
// The plot is the program's: it is asked for as it stands in the page.
let plotted = performance.now(), plots = 0;
const plot = async () => {
  const asked = ++plots;
  plotted = performance.now();
  try {
    const answer = await fetch(`plot${location.search}`, { signal: AbortSignal.timeout(TIMEOUT), cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("history");
    if (!fresh || paused || asked !== plots) return;
    const old = $("history"), at = old.contains(document.activeElement) ? document.activeElement.dataset : null;
    old.replaceWith(document.adoptNode(fresh));
    if (at) [...fresh.querySelectorAll("a")].find((a) => a.dataset.owner === at.owner && a.dataset.span === at.span)?.focus({ preventScroll: true });
  } catch { /* the next one may come */ }
};
const chooseOwner = (name) => { only = name === only ? "" : name; remember(); draw(); plot(); };
const rowOf = (key) => [...body.rows].find((tr) => tr.dataset.key === key);
const focusKey = (key) => { const tr = key && rowOf(key); if (tr) tr.querySelector("a").focus(); };
const focusRow = (at) => { const tr = body.rows[at]; if (tr) tr.querySelector("a").focus(); else $("filter").focus(); };

const drawStatus = () => {
  const age = Math.floor((performance.now() - taken) / 1000);
  const state = failing ? "disconnected" : paused ? "paused" : connected ? "live" : "connecting";
  set($("status"), "data-state", state);
  put($("state"), state);
  put($("age"), failing || paused ? `(data ${age} s old)` : "");
};
const poll = async () => {
  if (busy) { again = true; return; }
  clearTimeout(timer);
  busy = true; again = false; lastPoll = performance.now();
  const abort = new AbortController(), late = setTimeout(() => abort.abort(), TIMEOUT);
  try {
    const answer = await fetch("api/v1/contexts", { signal: abort.signal, cache: "no-store", headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    const got = await answer.json();
    if (!got.system || !Array.isArray(got.contexts) || !Array.isArray(got.ghosts)) throw new Error("no document");
    failing = 0; connected = true;
    if (!paused) {
      data = got; taken = performance.now();
      const now = new Date().toISOString();
      put($("taken"), now.slice(11, 19)); set($("taken"), "datetime", now);
      draw();
      if (taken - plotted >= PLOT_PERIOD) plot();
    }
  } catch { failing += 1; } finally { clearTimeout(late); busy = false; }
  drawStatus();
  plan(again ? 250 : failing ? Math.min(SLOWEST, PERIOD * 2 ** Math.min(failing, 5)) : document.hidden ? SLOWEST : PERIOD);
};
const plan = (wait) => { clearTimeout(timer); if (!paused) timer = setTimeout(poll, wait); };
// Events come in bursts: one look for all of a quarter of a second.
const soon = () => { if (!paused && !document.hidden && !failing) plan(Math.max(0, 250 - (performance.now() - lastPoll))); };

const item = (list, key, e, word, says) => {
  if ([...list.children].some((li) => li.dataset.key === key)) return;
  const li = document.createElement("li"), part = (tag, text) => { const at = document.createElement(tag); at.textContent = text; return at; };
  const time = part("time", String(e.time).slice(11, 19));
  time.dateTime = e.time;
  li.dataset.key = key;
  // In a sentence an id of 64 digits is cut, as everywhere.
  const owner = ownerOf(e.owner).replace(/^([0-9a-f]{12})[0-9a-f]{52}$/i, "$1");
  li.append(time, " ", part("b", word), " ", part("span", `${e.comm}[${e.pid}]`), `${owner && ` in ${owner}`} ${says}`);
  list.prepend(li);
  while (list.children.length > MOST_FAILURES) list.lastElementChild.remove();
};
const tell = (e) => {
  const key = `${e.time}/${e.tid ?? 0}`, id = e.context ?? "-";
  if (e.event === "setup-failed") item($("failures"), key, e, e.errno, `io_setup(${e.requested}): ${e.reason}`);
  else item($("waits"), `${key}/${e.event}/${id}`, e, e.event, `${id}: ` + (e.event === "gone" ? `waited ${age(e.waited_seconds)}`
    : `${e.in_flight == null ? "" : `requests left ${e.in_flight}, `}waits in ${e.doing}${e.waited_seconds == null ? "" : ` for ${age(e.waited_seconds)}`}`));
};
let events = null;
const listen = () => {
  events = new EventSource("api/v1/events");
  for (const name of ["setup-failed", "dying", "gone"]) events.addEventListener(name, (message) => {
    let event;
    try { event = JSON.parse(message.data); } catch { return; }
    if (paused) { held.push(event); if (held.length > MOST_FAILURES) held.shift(); } else tell(event);
    soon();
  });
  for (const name of ["existing", "setup", "destroy", "exec", "exit", "lost", "healed"]) events.addEventListener(name, soon);
  // The browser comes back by itself, unless it was told off: then again after a while.
  events.onerror = () => { if (events.readyState === EventSource.CLOSED) setTimeout(listen, SLOWEST / 2); };
};

const pause = () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  clearTimeout(timer);
  if (!paused) { held.splice(0).forEach(tell); poll(); }
  drawStatus();
};
$("pause").onclick = pause;
$("theme").onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("aioinspect-theme", root.dataset.theme); } catch { /* it is forgotten then */ }
};
$("help").onclick = () => $("keys").showModal();
$("filter").form.onsubmit = (event) => event.preventDefault();
$("filter").oninput = () => { remember(); draw(); };
$("ring-close").onclick = (event) => { event.preventDefault(); select(null); };
const plain = (event) => !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
$("contexts").onclick = (event) => {
  const th = event.target.closest("th"), tr = event.target.closest("tbody tr");
  if (!plain(event)) return;
  if (th) {
    event.preventDefault();
    const { by, turned } = order();
    sort = th.dataset.sort === by ? (turned ? by : `-${by}`) : th.dataset.sort;
    remember();
    draw();
  } else if (tr && (event.target.closest("a") || getSelection().isCollapsed)) {
    event.preventDefault();
    select(tr.dataset.key, tr.dataset.key);
  }
};
document.addEventListener("click", (event) => {
  const at = event.target.closest("#history :is(a,path[data-owner]),#owners tbody tr,#only-all");
  if (!at || !plain(event)) return;
  if (at.tagName === "TR" && !event.target.closest("a") && !getSelection().isCollapsed) return;
  event.preventDefault();
  if (at.dataset.span) { span = at.dataset.span; remember(); plot(); } else chooseOwner(at.dataset.owner ?? at.dataset.key ?? only);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("keys").open) return;
  const target = event.target, typing = target.matches?.("input, textarea");
  if (event.key === "Escape") {
    if (open) select(null); else if (typing) target.blur(); else return;
  } else if (typing) {
    if (event.key !== "ArrowDown") return;
    focusRow(0);
  } else {
    const tr = target.closest?.("#contexts tbody tr"), at = tr ? tr.sectionRowIndex : -1;
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    // Arrows scroll the page, unless a row has the focus.
    if (step && (tr || !event.key.startsWith("Arrow"))) focusRow(Math.max(0, Math.min(body.rows.length - 1, at + step)));
    else if (event.key === "/") { $("filter").focus(); $("filter").select(); }
    else if (event.key === "p") pause();
    else if (event.key === "?") $("keys").showModal();
    else return;
  }
  event.preventDefault();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) poll(); });
setInterval(drawStatus, 1000);
drawStatus();
poll();
listen();
});
})();
