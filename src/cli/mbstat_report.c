/* mbstat_report: the page, in four pieces, and the lines between them. */
#include "cli/mbstat_report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static const char page_begin[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<title>MemoryBucket report</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; --text: #1d1f23; --soft: #667; --line: #d8dbe0;\n"
    "  --page: #ffffff; --a: #1f6fb2; --b: #c2541b; --c: #2f8a4c; --d: #8b4fb3; --e: #a08010; }\n"
    "@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --soft: #9aa; --line: "
    "#3a3f47;\n"
    "  --page: #16181c; --a: #6db3f2; --b: #f0935e; --c: #74cf92; --d: #c79be8; --e: #dcc04c; } }\n"
    "body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);\n"
    "  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }\n"
    "h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; }\n"
    "p { color: var(--soft); margin: .2rem 0 .6rem; } svg { width: 100%; height: auto; }\n"
    "svg text { font-size: 11px; fill: var(--soft); } .grid { stroke: var(--line); }\n"
    "polyline { fill: none; stroke-width: 1.6; }\n"
    "table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: right; padding: .15rem .5rem; border-bottom: 1px solid var(--line); }\n"
    ".key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }\n"
    "</style></head><body>\n"
    "<h1 id=\"title\">MemoryBucket</h1><p id=\"summary\"></p><div id=\"charts\"></div>\n"
    "<h2>Pools at the end</h2><table id=\"pools\"></table>\n"
    "<script type=\"application/json\" id=\"readings\">[\n";

static const char page_script[] =
    "]</script>\n"
    "<script>\n"
    "'use strict';\n"
    "const readings = JSON.parse(document.getElementById('readings').textContent);\n"
    "const first = readings[0], last = readings[readings.length - 1];\n"
    "const time = r => (r.totals.published_ns - first.totals.published_ns) / 1e9;\n"
    "function short(n, unit) {\n"
    "  let i = 0;\n"
    "  while (n >= 1000 && i < 5) { n /= unit; i++; }\n"
    "  return (i === 0 && Number.isInteger(n) ? n : n < 10 ? n.toFixed(1) : n.toFixed(0)) "
    "+ ['', 'K', 'M', 'G', 'T', 'P'][i];\n"
    "}\n"
    "const sum = (r, f) => r.pools.reduce((all, pool) => all + f(pool), 0);\n"
    "/* What happened a second, at each reading that has a publication of its own. */\n"
    "function rates(f) {\n"
    "  const points = [];\n"
    "  for (let i = 1; i < readings.length; i++) {\n"
    "    const s = time(readings[i]) - time(readings[i - 1]);\n"
    "    points.push([time(readings[i]), s > 0 ? Math.max(0, f(readings[i]) - f(readings[i "
    "- 1])) / s : 0]);\n"
    "  }\n"
    "  return points;\n"
    "}\n"
    "const levels = f => readings.map(r => [time(r), f(r)]);\n"
    "function node(parent, name, attributes, text) {\n"
    "  const made = document.createElementNS('http://www.w3.org/2000/svg', name);\n"
    "  for (const key in attributes) made.setAttribute(key, attributes[key]);\n"
    "  if (text !== undefined) made.textContent = text;\n"
    "  return parent.appendChild(made);\n"
    "}\n"
    "function element(parent, name, text) {\n"
    "  const made = document.createElement(name);\n"
    "  if (text !== undefined) made.textContent = text;\n"
    "  return parent.appendChild(made);\n"
    "}\n";

static const char page_charts[] =
    "function chart(title, note, unit, series) {\n"
    "  const box = document.getElementById('charts');\n"
    "  element(box, 'h2', title);\n"
    "  const legend = element(box, 'p', note);\n"
    "  const W = 900, H = 220, L = 55, B = 25, end = Math.max(time(last), 1e-9);\n"
    "  const most = Math.max(1, ...series.flatMap(s => s.points.map(p => p[1])));\n"
    "  const svg = node(box, 'svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': "
    "title });\n"
    "  for (let i = 0; i <= 4; i++) {\n"
    "    const y = 10 + (H - B - 10) * (1 - i / 4);\n"
    "    node(svg, 'line', { x1: L, x2: W, y1: y, y2: y, class: 'grid' });\n"
    "    node(svg, 'text', { x: L - 6, y: y + 4, 'text-anchor': 'end' }, short(most * i / "
    "4, unit));\n"
    "    node(svg, 'text', { x: L + (W - L - 30) * i / 4, y: H - 6 }, (end * i / "
    "4).toFixed(1) + ' s');\n"
    "  }\n"
    "  series.forEach((s, i) => {\n"
    "    const colour = `var(--${'abcde'[i]})`;\n"
    "    const points = s.points.map(p => (L + (W - L) * p[0] / end).toFixed(1) + ','\n"
    "      + (10 + (H - B - 10) * (1 - p[1] / most)).toFixed(1)).join(' ');\n"
    "    node(svg, 'polyline', { points, style: `stroke:${colour}` });\n"
    "    const key = element(legend, 'span');\n"
    "    key.className = 'key';\n"
    "    key.style.background = colour;\n"
    "    element(legend, 'span', s.name);\n"
    "  });\n"
    "}\n"
    "document.getElementById('title').textContent = `MemoryBucket: ${last.name} (${last.pid})`;\n"
    "document.getElementById('summary').textContent = `${readings.length} readings in `\n"
    "  + `${time(last).toFixed(1)} s; ${last.totals.threads} threads at the end`;\n"
    "const total = (name, key) => ({ name, points: levels(r => r.totals[key]) });\n"
    "const slots = (name, ...keys) => ({ name, points: levels(r => sum(r, p =>\n"
    "  p.slot_bytes * keys.reduce((all, key) => all + p[key], 0))) });\n"
    "const events = (name, key) => ({ name, points: rates(r => sum(r, p => p[key])) });\n"
    "chart('Memory', 'Bytes of the process, and of the pools.', 1024, [\n"
    "  total('process resident', 'process_resident_bytes'), total('committed', "
    "'committed_bytes'),\n"
    "  slots('live', 'live'), total('given back', 'released_bytes')]);\n"
    "chart('Free memory', 'Bytes of free slots, by where they are.', 1024, [\n"
    "  slots('cached by threads', 'magazines', 'parked'), slots('centre', 'central', 'loose'),\n"
    "  slots('sorted', 'sorted')]);\n"
    "chart('Transfers', 'Magazines moved a second, and large requests.', 1000, [\n"
    "  events('refills', 'refills'), events('flushes', 'flushes'),\n"
    "  { name: 'large requests', points: rates(r => r.totals.large_allocs) }]);\n"
    "chart('Contention', 'A second, over all pools.', 1000, [\n"
    "  events('failed compare-and-swaps', 'cas_retries'), events('waits for a lock', "
    "'mutex_waits')]);\n"
    "const table = document.getElementById('pools');\n"
    "const row = (cells, name) => { const tr = element(table, 'tr');\n"
    "  for (const cell of cells) element(tr, name, cell); };\n"
    "row(['size', 'live', 'cached', 'central', 'sorted', 'given back', 'refills', "
    "'flushes', 'retries',\n"
    "  'waits'], 'th');\n"
    "for (const p of last.pools) {\n"
    "  const b = n => short(n * p.slot_bytes, 1024), n = count => short(count, 1000);\n"
    "  row([p.size_bytes, b(p.live), b(p.magazines + p.parked), b(p.central + p.loose), "
    "b(p.sorted),\n"
    "    short(p.released_bytes, 1024), n(p.refills), n(p.flushes), n(p.cas_retries), "
    "n(p.mutex_waits)], 'td');\n"
    "}\n"
    "</script></body></html>\n";

/* Whether mbstat wrote the line, and wrote all of it. */
static bool is_reading(const char *line, size_t bytes)
{
    static const char begin[] = "{\"format\":1,";
    static const char end[] = "]}\n";
    return bytes > sizeof begin + sizeof end && strncmp(line, begin, sizeof begin - 1) == 0
           && strcmp(line + bytes - (sizeof end - 1), end) == 0;
}

/* "<" would end the script; in JSON it stands only inside of texts, where it may be written so. */
static void write_line(FILE *page, const char *line, bool is_first)
{
    fputs(is_first ? "" : ",", page);
    for (; *line != '\0'; line++) {
        if (*line == '<') {
            fputs("\\u003c", page);
        } else {
            fputc(*line, page);
        }
    }
}

bool report_write(FILE *page, FILE *recording, const char *recording_name)
{
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;
    ssize_t bytes;
    bool good = true;
    fputs(page_begin, page);
    while (good && (bytes = getline(&line, &room, recording)) >= 0) {
        good = is_reading(line, (size_t)bytes);
        if (good) {
            write_line(page, line, count == 0);
            count++;
        }
    }
    free(line);
    if (!good || count == 0) {
        fprintf(stderr, "mbstat: %s: %s %zu is no reading of mbstat --record\n", recording_name,
                "line", count + 1);
        return false;
    }
    fputs(page_script, page);
    fputs(page_charts, page);
    return true;
}
