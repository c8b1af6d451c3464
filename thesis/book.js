'use strict';
(() => {
  const $ = id => document.getElementById(id), root = document.documentElement;
  const keep = (name, value) => { try { localStorage.setItem(name, value) } catch {} };
  const recall = name => { try { return localStorage.getItem(name) } catch { return null } };

  // light and dark
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const name = () => { $('theme').textContent = dark() ? 'Light' : 'Dark' };
  $('theme').onclick = () => { root.dataset.theme = dark() ? 'light' : 'dark'; keep('drumnb-theme', root.dataset.theme); name() };
  name();

  // code
  const cells = [...document.querySelectorAll('details.cell')], first = cells.map(d => d.open);
  const fold = open => { cells.forEach((d, i) => { d.open = open || first[i] }); $('code').setAttribute('aria-pressed', open); keep('drumnb-code', open ? 'open' : '') };
  $('code').onclick = () => fold($('code').getAttribute('aria-pressed') !== 'true');
  if (recall('drumnb-code') === 'open') fold(true);
  $('code').hidden = !cells.length;

  // contents on small screens
  const menu = open => { $('contents').classList.toggle('open', open); $('menu').setAttribute('aria-expanded', open) };
  $('menu').onclick = event => { event.stopPropagation(); menu(!$('contents').classList.contains('open')) };
  document.addEventListener('click', event => { if (!$('contents').contains(event.target) || event.target.closest('a')) menu(false) });
  $('contents').querySelector('[aria-current]')?.scrollIntoView({ block: 'center' });

  // search
  const index = window.BOOK_INDEX || [], single = root.dataset.book === 'single', box = $('query'), hits = $('hits');
  const plain = s => s.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').toLowerCase();
  const prepared = index.map(e => ({ e, title: plain(e[4]), chapter: plain(e[3]), words: plain(e[5]) }));
  const starts = (s, w) => { const at = s.indexOf(w); return at < 0 ? -1 : at && /[\p{L}\p{N}]/u.test(s[at - 1]) ? 0.5 : 1 };
  const count = (s, w) => { let n = 0; for (let at = s.indexOf(w); at >= 0 && n < 8; at = s.indexOf(w, at + w.length)) n++; return n };
  const find = query => {
    const words = plain(query).split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    return prepared.map(p => {
      let score = 0;
      for (const w of words) {
        const t = starts(p.title, w), c = starts(p.chapter, w), n = count(p.words, w);
        if (t < 0 && c < 0 && !n) return null;
        score += (t > 0 ? 12 * t : 0) + (c > 0 ? 5 * c : 0) + n;
      }
      return { ...p, score: score + (p.words.includes(words.join(' ')) ? 4 : 0) };
    }).filter(Boolean).sort((a, b) => b.score - a.score).slice(0, 14);
  };
  const excerpt = (text, words) => {
    const low = plain(text), at = Math.max(0, Math.min(...words.map(w => low.indexOf(w)).filter(i => i >= 0), low.length) - 50);
    const piece = text.slice(at, at + 150), out = document.createElement('small');
    const pattern = new RegExp('(' + words.map(w => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|') + ')', 'gi');
    out.append(at ? '… ' : '');
    piece.split(pattern).forEach((s, i) => { if (i % 2) { const m = document.createElement('mark'); m.textContent = s; out.append(m) } else out.append(s) });
    out.append(at + 150 < text.length ? ' …' : '');
    return out;
  };
  let at = -1;
  const show = () => {
    const words = plain(box.value).split(/\s+/).filter(Boolean), found = find(box.value);
    at = -1; hits.hidden = !words.length; hits.replaceChildren();
    for (const { e } of found) {
      const a = document.createElement('a');
      a.href = single ? '#' + e[1] : e[0] + '.html#' + e[1];
      a.append((e[2] ? e[2] + ' ' : '') + (e[3] === e[4] ? e[3] : e[3] + ': ' + e[4]), excerpt(e[5], words));
      a.onclick = () => { hits.hidden = true };
      hits.append(a);
    }
    if (!found.length) { const p = document.createElement('p'); p.textContent = 'Nothing found.'; hits.append(p) }
  };
  box.oninput = show; box.onfocus = () => { if (box.value) show() };
  box.onkeydown = event => {
    const links = [...hits.querySelectorAll('a')];
    if (event.key === 'Escape') { hits.hidden = true; box.blur() }
    else if (event.key === 'Enter' && links.length) links[Math.max(at, 0)].click();
    else if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && links.length) {
      event.preventDefault();
      at = (at + (event.key === 'ArrowDown' ? 1 : -1) + links.length) % links.length;
      links.forEach((a, i) => a.classList.toggle('at', i === at)); links[at].scrollIntoView({ block: 'nearest' });
    }
  };
  document.addEventListener('click', event => { if (!event.target.closest('.search')) hits.hidden = true });
  document.addEventListener('keydown', event => {
    if (event.target.closest('input, textarea, select, audio, summary, button') || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '/') { event.preventDefault(); box.focus() }
    else if (event.key === 'ArrowLeft') document.querySelector('a[rel=prev]')?.click();
    else if (event.key === 'ArrowRight') document.querySelector('a[rel=next]')?.click();
  });

  // one sound at a time
  document.addEventListener('play', event => document.querySelectorAll('audio').forEach(a => { if (a !== event.target) a.pause() }), true);
})();
