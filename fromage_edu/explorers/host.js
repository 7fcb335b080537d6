// Draws the explorers of a built page, with no kernel and no network, also from disk: reads texts and traits from the
// JSON in #explorers, imports each class's module once from a Blob, calls render({ model, el }) for every place, and
// keeps the state of what the reader moved in the URL: #TrustRegions?depth=30&step=0.1;ScalarNetwork?a=2
(() => {
  // The part of the Jupyter widget model that explorers use.
  function makeModel(traits) {
    const values = { ...traits },
      listeners = new Map();
    const emit = (name, ...values) =>
      [...(listeners.get(name) ?? [])].forEach((listener) => listener(...values));
    const model = {
      get: (key) => values[key],
      set(key, value) {
        const patch = typeof key === "object" ? key : { [key]: value };
        const changed = Object.keys(patch).filter((name) => values[name] !== patch[name]);
        Object.assign(values, patch);
        for (const name of changed) emit("change:" + name, model, values[name]);
        if (changed.length) emit("change", model);
      },
      save_changes() {},
      send() {},
      on(names, listener) {
        for (const name of names.split(" ")) listeners.set(name, [...(listeners.get(name) ?? []), listener]);
      },
      off(names, listener) {
        if (!names) return listeners.clear();
        for (const name of names.split(" ")) {
          listeners.set(name, listener ? (listeners.get(name) ?? []).filter((one) => one !== listener) : []);
        }
      },
    };
    return model;
  }

  const drawn = new Map(); // name in the URL → { model, opening, clean, place, moved }

  const partsOf = (hash) => hash.slice(1).split(";").map((part) => part.split("?"));
  let timer;
  let anchor = ""; // the reader's own, which returns when every explorer is back at its opening
  let known = ""; // the hash that was read or written last

  // An explorer that is named begins from its opening; the bare address, which Back may lead to, names all of them.
  function readHash() {
    clearTimeout(timer);
    known = location.hash;
    let target;
    const patches = new Map();
    const parts = location.hash ? partsOf(location.hash) : [...drawn.keys()].map((name) => [name]);
    for (const [name, query = ""] of parts) {
      const entry = drawn.get(name);
      if (!entry) continue;
      const patch = patches.get(entry) ?? { ...entry.opening };
      patches.set(entry, patch);
      for (const [key, text] of new URLSearchParams(query)) {
        if (!Object.hasOwn(entry.opening, key)) continue;
        const values = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
        const value = Array.isArray(entry.opening[key]) ? values : values.length > 1 ? NaN : values[0];
        if ([value].flat().every(Number.isFinite)) patch[key] = entry.clean(key, value);
      }
      target ??= entry.place;
    }
    for (const [{ model }, patch] of patches) model.set(patch);
    anchor = target ? "" : location.hash;
    if (target && location.hash) target.scrollIntoView({ block: "start" });
  }

  function writeHash() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (location.hash !== known) return; // changed by the reader a moment ago: its event comes next
      const parts = [];
      for (const [name, { model, opening }] of drawn) {
        const keys = Object.keys(opening);
        if (keys.every((key) => String(model.get(key)) === String(opening[key]))) continue;
        parts.push(name + "?" + keys.map((key) => `${key}=${model.get(key)}`).join("&"));
      }
      const hash = parts.length ? "#" + parts.join(";") : anchor;
      if (hash === location.hash) return;
      history.replaceState(history.state, "", hash || location.pathname + location.search);
      known = location.hash;
    }, 250);
  }

  async function start() {
    const json = document.querySelector("script#explorers");
    if (!json) return;
    const { shared, modules, given, models } = JSON.parse(json.textContent);
    const imported = {},
      live = {},
      counts = {};
    for (const place of document.querySelectorAll(".explorer[data-model]")) {
      const id = place.dataset.model,
        entry = models[id];
      if (!entry) continue;
      const { class: name, traits } = entry;
      counts[name] = (counts[name] ?? 0) + 1;
      const label = counts[name] === 1 ? name : `${name}-${counts[name]}`;
      try {
        imported[name] ??= import(
          URL.createObjectURL(new Blob([shared, "\n", modules[name]], { type: "text/javascript" }))
        );
        const { default: explorer } = await imported[name];
        const model = (live[id] ??= makeModel({ ...traits, ...given[name] }));
        explorer.render({ model, el: place });
        if (!place.id && !document.getElementById(label)) place.id = label;
        drawn.set(label, { model, opening: { ...traits }, clean: explorer.clean, place });
        place.dataset.ready = "";
      } catch (error) {
        place.textContent = "This explorer could not be drawn.";
        console.error(error);
      }
    }
    readHash();
    for (const { model } of drawn.values()) model.on("change", writeHash);
    addEventListener("hashchange", readHash);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
