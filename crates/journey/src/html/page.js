"use strict";
// A waterfall over the rows of `data`: only the rows in view are in the page. Whatever comes from the data is set as text.
const data = JSON.parse(document.getElementById("data").textContent);
const HEIGHT = 26, MOST_STRETCHES = 60, MOST_PRINTED = 3000;
const $ = (id) => document.getElementById(id);
const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};
const words = (parent, list) => list.forEach(([style, text], at) => {
  if (at) parent.append(" ");
  parent.append(make("span", style, text));
});
const color = (service) => (service === undefined || service === null ? "none" : "s" + (service % 8));

let story, rows, ends, depths, closed, shown, places, current, found, view, haystacks;

function unit(total) {
  if (total < 1e5) return [1e3, "µs", 2];
  if (total < 1e6) return [1e6, "ms", 3];
  if (total < 1e8) return [1e6, "ms", 2];
  if (total < 1e10) return [1e6, "ms", 1];
  return total < 1e12 ? [1e9, "s", 2] : [1e9, "s", 0];
}
const time = (ns) => {
  const [size, , digits] = unit(story.extent);
  return (ns / size).toFixed(digits);
};
const exact = (ns) => {
  const [size, name, digits] = unit(Math.abs(ns));
  return (ns / size).toFixed(digits) + " " + name;
};
const named = (ns) => time(ns) + " " + unit(story.extent)[1];
const apart = (ns) => {
  const s = ns / 1e9;
  return s < 1 ? (s * 1e3).toFixed(1) + " ms" : s < 120 ? s.toFixed(1) + " s" : s < 7200 ? (s / 60).toFixed(0) + " min" : (s / 3600).toFixed(0) + " h";
};

function choose(at) {
  story = data.stories[at];
  rows = story.rows;
  const count = rows.length;
  depths = new Int32Array(count);
  ends = new Int32Array(count).fill(0);
  closed = new Uint8Array(count);
  haystacks = new Array(count);
  for (let i = 0; i < count; i++) depths[i] = rows[i].p === undefined ? 0 : depths[rows[i].p] + 1;
  for (let i = count - 1; i >= 0; i--) {
    if (ends[i] === 0) ends[i] = i + 1;
    const parent = rows[i].p;
    if (parent !== undefined && ends[parent] < ends[i]) ends[parent] = ends[i];
  }
  current = count ? 0 : -1;
  found = [];
  view = [0, Math.max(story.extent, 1)];
  [...$("stories").children].forEach((tab, number) => tab.setAttribute("aria-selected", String(number === at)));
  $("details").hidden = true;
  head();
  search();
}

function head() {
  $("asked").replaceChildren();
  words($("asked"), story.title);
  if (story.took !== null) {
    $("asked").append(" in ", make("span", "s", named(story.took)));
    if (story.extent - story.took > story.extent / 1000) $("asked").append(" ", make("span", "d", "(all of it: " + named(story.extent) + ")"));
  }
  const facts = $("facts");
  facts.replaceChildren("trace ", make("code", "", story.trace), " at " + story.begins + " · ");
  words(facts, story.facts);
  $("gaps").replaceChildren(...story.gaps.map((gap) => make("p", "", gap)));
  const verdict = $("verdict");
  verdict.replaceChildren();
  if (story.shares.length) {
    const bar = make("div"), legend = make("div");
    bar.id = "shares";
    legend.id = "legend";
    const seen = new Set();
    for (const share of story.shares) {
      const go = () => share.row !== null && reveal(share.row);
      const part = make("button", color(share.service) + (share.waits ? " waits" : seen.has(share.service) ? " again" : ""));
      seen.add(share.service);
      part.style.flexGrow = String(Math.max(share.percent, 0.3));
      part.title = share.percent + " % " + share.words;
      part.tabIndex = -1;
      part.setAttribute("aria-hidden", "true");
      part.onclick = go;
      bar.append(part);
      if (share.percent < 1) continue;
      const entry = make("button");
      entry.append(make("span", "dot " + color(share.service)), make("b", "", share.percent + " %"), " " + share.words);
      entry.onclick = go;
      legend.append(entry);
    }
    legend.append(make("span", "sure", "how sure: " + story.sure));
    verdict.append(bar, legend);
  }
  for (const [label, text] of story.notes) {
    const note = make("p", "note " + (label === "failed" || label === "doubt" ? label : ""));
    note.append(make("b", "", label), make("span", "", text));
    verdict.append(note);
  }
  const left = [];
  if (story.rows_left_out) left.push(story.rows_left_out + " rows are left out, those farthest from the beginning");
  if (story.details_left_out) left.push("of " + story.details_left_out + " rows nothing more is told");
  if (data.left_out.length) left.push(data.left_out.length + " more traces of this request are left out: " + data.left_out.slice(0, 3).join(", "));
  $("left").textContent = left.length ? left.join("; ") + " (throughline trace " + story.trace.slice(0, 12) + " --json has all)" : "";
  const name = unit(story.extent)[1];
  $("took").textContent = "took " + name;
  $("own").textContent = "own " + name;
}

function haystack(i) {
  if (haystacks[i] === undefined) {
    const row = rows[i];
    let text = row.w.map((word) => word[1]).join(" ");
    if (row.s !== undefined) text += " " + story.services[row.s];
    if (row.l) text += " " + row.l;
    if (row.d) text += " " + JSON.stringify(row.d);
    haystacks[i] = text.toLowerCase();
  }
  return haystacks[i];
}

function search() {
  const query = $("query").value.trim().toLowerCase();
  found = [];
  if (query) for (let i = 0; i < rows.length; i++) if (haystack(i).includes(query)) found.push(i);
  arrange();
}

/** Which rows are to be seen, in their order. */
function arrange() {
  const withLines = $("lines").checked, onlyFailed = $("failed").checked, only = $("only").checked && $("query").value.trim() !== "";
  const count = rows.length;
  let wanted = null;
  if (onlyFailed || only) {
    const matches = only ? new Set(found) : null;
    wanted = new Uint8Array(count);
    for (let i = count - 1; i >= 0; i--) {
      if ((!onlyFailed || rows[i].f) && (!matches || matches.has(i))) wanted[i] = 1;
      if (wanted[i] && rows[i].p !== undefined) wanted[rows[i].p] = 1;
    }
  }
  shown = [];
  places = new Int32Array(count).fill(-1);
  for (let i = 0; i < count; ) {
    if ((!withLines && rows[i].l !== undefined) || (wanted && !wanted[i])) {
      i = wanted && !wanted[i] ? ends[i] : i + 1;
      continue;
    }
    places[i] = shown.length;
    shown.push(i);
    i = closed[i] && !wanted ? ends[i] : i + 1;
  }
  if (current >= 0 && places[current] < 0) {
    while (current >= 0 && places[current] < 0) current = rows[current].p === undefined ? -1 : rows[current].p;
    if (current < 0 && shown.length) current = shown[0];
  }
  const at = found.indexOf(current);
  $("count").textContent = $("query").value.trim() ? (found.length ? (at < 0 ? "" : at + 1 + " of ") + found.length : "none") : "";
  $("table").setAttribute("aria-rowcount", String(shown.length + 1));
  axis();
  draw();
}

const percent = (ns) => ((ns - view[0]) / (view[1] - view[0])) * 100;

function axis() {
  const length = view[1] - view[0];
  const wanted = length / Math.max(2, Math.min(8, $("axis").clientWidth / 90));
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= wanted) || wanted;
  const marks = [];
  const [size, name] = unit(story.extent);
  for (let at = Math.ceil(view[0] / step) * step; at < view[1]; at += step) {
    const mark = make("span", "", parseFloat((at / size).toFixed(6)) + " " + name);
    mark.style.left = percent(at) + "%";
    marks.push(mark);
  }
  $("axis").replaceChildren(...marks);
  $("rows").style.setProperty("--step", view[0] === 0 ? (step / length) * 100 + "%" : "100%");
  $("titles").style.setProperty("--bar", $("scroll").offsetWidth - $("scroll").clientWidth + "px");
}

/** Which parts of a row's time the rows beneath it cover. */
function stretches(i) {
  const row = rows[i], list = [], least = (view[1] - view[0]) / 2000;
  const end = row.b + row.t;
  for (let child = i + 1; child < ends[i] && list.length < MOST_STRETCHES; child = ends[child]) {
    const one = rows[child];
    if (one.t === undefined || one.h) continue;
    const from = Math.max(one.b, row.b), to = Math.min(one.b + one.t, end), last = list[list.length - 1];
    if (to <= from) continue;
    if (last && from <= last[1] + least) last[1] = Math.max(last[1], to);
    else list.push([from, to]);
  }
  return list;
}

function lane(i) {
  const row = rows[i], cell = make("div", "lane");
  cell.setAttribute("role", "gridcell");
  if (row.b === undefined || row.g) return cell;
  if (row.t === undefined) {
    const tick = make("div", "tick");
    tick.style.left = percent(row.b) + "%";
    cell.append(tick);
    return cell;
  }
  const bar = make("div", row.h ? "bar waits" : "bar");
  bar.style.left = percent(row.b) + "%";
  bar.style.width = (row.t / (view[1] - view[0])) * 100 + "%";
  for (const [from, to] of stretches(i)) {
    const part = make("i");
    part.style.left = ((from - row.b) / row.t) * 100 + "%";
    part.style.width = ((to - from) / row.t) * 100 + "%";
    bar.append(part);
  }
  cell.append(bar);
  cell.title = exact(row.t) + ", from " + exact(row.b) + " to " + exact(row.b + row.t);
  return cell;
}

function draw_row(i, matches) {
  const row = rows[i], element = make("div", "row " + color(row.h ? rows[row.p].s : row.s));
  element.id = "row" + i;
  element.setAttribute("role", "row");
  element.setAttribute("aria-level", String(depths[i] + 1));
  element.setAttribute("aria-rowindex", String(places[i] + 2));
  element.style.top = places[i] * HEIGHT + "px";
  if (row.f) element.classList.add("failed");
  if (row.l !== undefined) element.classList.add("said");
  if (matches.has(i)) element.classList.add("match");
  if (i === current) element.classList.add("current");
  element.setAttribute("aria-selected", String(i === current));
  const name = make("div", "name"), twist = make("span", "twist");
  name.setAttribute("role", "gridcell");
  name.style.paddingLeft = 6 + Math.min(depths[i], 10) * 13 + Math.max(0, Math.min(depths[i] - 10, 30)) * 2 + "px";
  if (ends[i] > i + 1) {
    twist.textContent = closed[i] ? "▶" : "▼";
    element.setAttribute("aria-expanded", String(!closed[i]));
    twist.onclick = (event) => { event.stopPropagation(); current = i; turn(i, !closed[i]); };
  }
  name.append(twist);
  const above = row.p === undefined ? undefined : rows[row.p].s;
  if (row.l !== undefined) name.append(make("span", "level " + (row.f ? "b" : row.l === "WARN" ? "w" : "d"), row.l || "LINE"));
  if (row.s !== undefined && (row.s !== above || row.l !== undefined)) name.append(make("span", "chip", story.services[row.s]));
  words(name, row.w);
  if (closed[i]) name.append(make("span", "d", "  +" + (ends[i] - i - 1)));
  const number = (value, extra) => {
    const cell = make("div", "num " + extra, value === undefined ? "" : time(value));
    cell.setAttribute("role", "gridcell");
    return cell;
  };
  element.append(name, number(row.t, ""), number(row.o, "own d"), lane(i));
  element.onclick = () => { current = i; draw(); details(); };
  element.ondblclick = () => turn(i, !closed[i]);
  return element;
}

let is_printing = false;
function draw() {
  const box = $("scroll"), matches = new Set(found);
  $("rows").style.height = shown.length * HEIGHT + "px";
  let from = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - 12);
  let to = Math.min(shown.length, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + 12);
  if (is_printing) [from, to] = [0, Math.min(shown.length, MOST_PRINTED)];
  const drawn = [];
  for (let at = from; at < to; at++) drawn.push(draw_row(shown[at], matches));
  $("rows").replaceChildren(...drawn);
  if (current >= 0 && places[current] >= from && places[current] < to) $("table").setAttribute("aria-activedescendant", "row" + current);
  else $("table").removeAttribute("aria-activedescendant");
}

function into_view() {
  const box = $("scroll"), top = places[current] * HEIGHT;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + HEIGHT - box.clientHeight;
}

function move(i) {
  if (i === undefined || i < 0) return;
  current = i;
  const at = found.indexOf(current);
  if (at >= 0) $("count").textContent = at + 1 + " of " + found.length;
  into_view();
  draw();
  if (!$("details").hidden) details();
}

/** Goes to a row wherever it is. */
function reveal(i) {
  for (let one = rows[i].p; one !== undefined; one = rows[one].p) closed[one] = 0;
  current = i;
  if (rows[i].l !== undefined) $("lines").checked = true;
  arrange();
  if (places[i] < 0) { $("only").checked = $("failed").checked = false; arrange(); current = i; }
  move(i);
  details();
}

function turn(i, is_closed) {
  if (ends[i] === i + 1) return;
  closed[i] = is_closed ? 1 : 0;
  arrange();
  into_view();
  draw();
}

function next_match(by) {
  if (!found.length) return;
  let at = found.findIndex((i) => i >= current);
  if (at < 0) at = by > 0 ? 0 : found.length - 1;
  else if (found[at] === current) at += by;
  else if (by < 0) at -= 1;
  reveal(found[(at + found.length) % found.length]);
}

function table_of(pairs) {
  const table = make("table");
  for (const [name, value] of pairs) {
    const row = make("tr"), head = make("th", "", name);
    head.scope = "row";
    row.append(head, make("td", "", value));
    table.append(row);
  }
  return table;
}

function details() {
  const panel = $("details"), row = rows[current];
  if (!row) return;
  panel.replaceChildren();
  panel.hidden = false;
  const close = make("button", "x", "×");
  close.type = "button";
  close.setAttribute("aria-label", "Close details");
  close.onclick = close_details;
  const title = make("h2");
  words(title, row.w.slice(0, 1));
  panel.append(close, title);
  const service = make("p", color(row.s));
  if (row.s !== undefined) service.append(make("span", "chip", story.services[row.s]));
  if (row.l) service.append(make("span", row.f ? "b" : "d", row.l));
  words(service, row.w.slice(1));
  panel.append(service);
  const known = row.d || {}, facts = [];
  if (known.kind) facts.push(["kind", known.kind]);
  if (row.b !== undefined) facts.push(["starts", exact(row.b)]);
  if (row.t !== undefined) facts.push(["took", exact(row.t)]);
  if (row.o !== undefined) facts.push(["own time", exact(row.o)]);
  if (known.moved) facts.push(["clock", "its times were moved by " + exact(known.moved)]);
  if (known.id) facts.push(["span id", known.id]);
  if (known.instance) facts.push(["instance", known.instance]);
  if (known.logger) facts.push(["logger", known.logger]);
  if (known.message && !row.w.some((word) => word[1].includes(known.message))) panel.append(make("p", "message", known.message));
  panel.append(table_of(facts));
  const section = (name, ...parts) => panel.append(make("h3", "", name), ...parts);
  if (known.attributes && known.attributes.length) section(row.l === undefined ? "attributes" : "fields", table_of(known.attributes));
  for (const [at, name, attributes] of known.events || []) {
    section("event at " + exact(at), make("p", name === "exception" ? "event b" : "event", name), table_of(attributes));
  }
  for (const [trace, span, text, attributes] of known.links || []) {
    const there = data.stories.findIndex((one) => one.trace === trace);
    const line = make("p", "", text);
    section("link", line, table_of([["trace id", trace], ["span id", span], ...attributes]));
    if (there >= 0) {
      const go = make("button", "go", "go there");
      go.onclick = () => {
        if (data.stories[there] !== story) choose(there);
        const at = rows.findIndex((one) => one.d && one.d.id === span);
        if (at >= 0) reveal(at);
      };
      panel.append(go);
    }
  }
  if (!row.d && !row.g && !row.h) panel.append(make("p", "d", "Nothing more of it is in this file, which is kept small: throughline trace " + story.trace.slice(0, 12) + " --json has it."));
  panel.scrollTop = 0;
  into_view();
}

function close_details() {
  $("details").hidden = true;
  $("table").focus();
  axis();
  draw();
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = places[current], page = Math.max(1, Math.floor($("scroll").clientHeight / HEIGHT) - 1);
  const last = shown.length - 1, to = (place) => move(shown[Math.max(0, Math.min(last, place))]);
  const actions = {
    ArrowDown: () => to(at + 1), ArrowUp: () => to(at - 1), j: () => to(at + 1), k: () => to(at - 1),
    PageDown: () => to(at + page), PageUp: () => to(at - page), Home: () => to(0), End: () => to(last),
    ArrowRight: () => (closed[current] ? turn(current, false) : ends[current] > current + 1 && to(at + 1)),
    ArrowLeft: () => (!closed[current] && ends[current] > current + 1 ? turn(current, true) : move(rows[current].p)),
    Enter: () => details(), " ": () => turn(current, !closed[current]),
    n: () => next_match(1), N: () => next_match(-1), z: zoom, 0: whole,
    Escape: () => ($("details").hidden ? whole() : close_details()),
  };
  if (current >= 0 && actions[event.key]) {
    event.preventDefault();
    actions[event.key]();
  }
}

function zoom() {
  const row = rows[current];
  if (!row || row.b === undefined) return;
  const room = Math.max((row.t || 0) * 0.04, 1);
  view = [row.b - room, row.b + (row.t || 0) + room];
  axis();
  draw();
}
function whole() {
  view = [0, Math.max(story.extent, 1)];
  axis();
  draw();
}

if (data.stories.length > 1) {
  $("stories").hidden = false;
  data.stories.forEach((one, at) => {
    const tab = make("button", "", (at ? apart(one.later) + " later: " : "") + one.title.map((word) => word[1]).join(" "));
    tab.type = "button";
    tab.title = tab.textContent;
    if (one.rows.some((row) => row.f)) tab.className = "b";
    tab.setAttribute("role", "tab");
    tab.onclick = () => choose(at);
    $("stories").append(tab);
  });
}
$("scroll").addEventListener("scroll", draw, { passive: true });
$("table").addEventListener("keydown", keys);
// The first search reads all that is known of every row: of a large trace, only once the typing rests.
let resting;
$("query").addEventListener("input", () => {
  clearTimeout(resting);
  resting = setTimeout(() => { resting = undefined; search(); }, rows.length > 5000 ? 250 : 0);
});
$("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    if (resting !== undefined) { clearTimeout(resting); resting = undefined; search(); }
    next_match(event.shiftKey ? -1 : 1);
  }
  if (event.key === "Escape") { $("query").value = ""; search(); $("table").focus(); }
});
for (const id of ["only", "failed", "lines"]) $(id).addEventListener("change", arrange);
$("next").onclick = () => next_match(1);
$("previous").onclick = () => next_match(-1);
$("zoom").onclick = zoom;
$("whole").onclick = whole;
$("open").onclick = () => { closed.fill(0); arrange(); };
$("close").onclick = () => { for (let i = 0; i < rows.length; i++) closed[i] = rows[i].p === undefined ? 0 : 1; arrange(); };
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== $("query")) { event.preventDefault(); $("query").focus(); }
});
new ResizeObserver(() => { axis(); draw(); }).observe($("scroll"));
addEventListener("beforeprint", () => { is_printing = true; draw(); });
addEventListener("afterprint", () => { is_printing = false; draw(); });
choose(Math.max(0, data.stories.findIndex((one) => location.hash && one.trace === location.hash.slice(1))));
$("table").focus({ preventScroll: true });
