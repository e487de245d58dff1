// What of a page people cannot read, or programs that read it aloud cannot say: a list of complaints.
() => {
  const found = [], about = (one) => one.outerHTML.slice(0, 90);
  const seen = (one) => one.checkVisibility({ opacityProperty: false, visibilityProperty: true }) && one.getClientRects().length;
  const text = (one) => one ? one.textContent.trim() : "";
  const named = (one) => one.getAttribute("aria-label")
    || (one.getAttribute("aria-labelledby") || "").split(" ").map((id) => text(document.getElementById(id))).join("")
    || [...(one.labels || [])].map(text).join("") || (one.matches("a, button, summary") && text(one)) || one.title;
  for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href], summary, [role=radiogroup]"))
    if (seen(one) && !named(one)) found.push("no name: " + about(one));
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push("id twice: " + id);
  for (const one of document.querySelectorAll("[for], [aria-labelledby], [aria-describedby], [aria-controls]"))
    for (const name of ["for", "aria-labelledby", "aria-describedby", "aria-controls"])
      for (const id of (one.getAttribute(name) || "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) found.push(name + " of nothing: " + about(one));
  for (const [what, selector] of [["main", "main"], ["h1", "h1"], ["language", "html[lang]"], ["place for news", "[role=status]"]])
    if (document.querySelectorAll(selector).length < 1) found.push("no " + what);
  const colour = (value) => { const [r, g, b, a = 1] = value.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3])).concat(1);
  const behind = (one) => one ? over(colour(getComputedStyle(one).backgroundColor), behind(one.parentElement)) : [255, 255, 255, 1];
  const light = (c) => c.slice(0, 3).map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const faint = (one) => one ? Number(getComputedStyle(one).opacity) * faint(one.parentElement) : 1;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !seen(one) || one.closest(":disabled, script, .visually-hidden, .skip")) continue;
    const ground = behind(one), ink = colour(getComputedStyle(one).color);
    ink[3] *= faint(one);
    const [a, b] = [light(over(ink, ground)), light(ground)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ` + about(one));
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the window");
  return found;
}
