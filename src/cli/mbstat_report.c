/* mbstat_report: the page, in four pieces, and the lines between them. */
#include "cli/mbstat_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    "p { color: var(--soft); margin: .2rem 0 .6rem; } svg { width: 100%; height: auto;\n"
    "  min-width: 34rem; }\n"
    "svg text { font-size: 11px; fill: var(--soft); } .grid { stroke: var(--line); }\n"
    "polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }\n"
    ".dashed { stroke-dasharray: 6 4; }\n"
    "table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }\n"
    ".wide { overflow-x: auto; }\n"
    "th, td { white-space: nowrap; text-align: right; padding: .15rem .5rem;\n"
    "  border-bottom: 1px solid var(--line); }\n"
    ".named { white-space: nowrap; margin: 0 .5em; }\n"
    ".key { display: inline-block; width: .8em; height: .8em; margin-right: .3em; }\n"
    "</style></head><body>\n"
    "<h1 id=\"title\">MemoryBucket</h1><p id=\"summary\"></p><div id=\"charts\"></div>\n"
    "<h2>Pools at the end</h2><p>Bytes of slots, by where they are, and how "
    "often things happened.</p>\n"
    "<div class=\"wide\"><table id=\"pools\"></table></div>\n"
    "<script type=\"application/json\" id=\"readings\">[\n";

static const char page_script[] =
    "]</script>\n"
    "<script>\n"
    "'use strict';\n"
    "addEventListener('error', event => {\n"
    "  document.getElementById('summary').textContent = `The recording is damaged: "
    "${event.message}`;\n"
    "});\n"
    "const readings = JSON.parse(document.getElementById('readings').textContent);\n"
    "const first = readings[0], last = readings[readings.length - 1];\n"
    "const time = r => (r.totals.published_ns - first.totals.published_ns) / 1e9;\n"
    "/* Numbers go up in steps of 1000, or of 1024 bytes; an axis reaches to `least`. */\n"
    "const counts = { step: 1000, least: 5, names: ['', 'K', 'M', 'G', 'T', 'P'] };\n"
    "const bytes = { step: 1024, least: 5120,\n"
    "  names: [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB'] };\n"
    "function short(n, unit) {\n"
    "  let i = 0;\n"
    "  while (n >= 999.5 && i < 5) { n /= unit.step; i++; }\n"
    "  const digits = n < 9.95 && !(i === 0 && Number.isInteger(n)) ? 1 : 0;\n"
    "  return n.toFixed(digits) + (n > 0 ? unit.names[i] : '');\n"
    "}\n"
    "/* 1, 2 or 5 times a power of ten: at most `parts` of it reach as far. */\n"
    "function roundStep(far, parts) {\n"
    "  const ten = 10 ** Math.floor(Math.log10(far / parts));\n"
    "  return ten * [1, 2, 5, 10].find(n => n * ten * parts >= far * 0.999999);\n"
    "}\n"
    "/* The marks of an axis, in one unit: [value, text], from 0 on. */\n"
    "function marks(far, parts, scale, name, beyond) {\n"
    "  const step = roundStep(far / scale, parts), made = [];\n"
    "  const steps = far / scale / step;\n"
    "  const count = beyond ? Math.ceil(steps - 1e-6) : Math.floor(steps + 1e-6);\n"
    "  for (let i = 0; i <= count; i++) {\n"
    "    const n = +(i * step).toPrecision(9);\n"
    "    made.push([n * scale, n === 0 ? '0' : n + name]);\n"
    "  }\n"
    "  return made;\n"
    "}\n"
    "function valueMarks(far, unit) {\n"
    "  let i = 0;\n"
    "  while (far >= unit.step ** (i + 1) && i < 5) i++;\n"
    "  return marks(far, 5, unit.step ** i, unit.names[i], true);\n"
    "}\n"
    "function timeMarks(end) {\n"
    "  const [scale, name] = [[86400, ' d'], [3600, ' h'], [60, ' min'], [1, ' s']]\n"
    "    .find(unit => end >= 2 * unit[0] || unit[0] === 1);\n"
    "  return marks(end, 6, scale, name, false);\n"
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
    "  const W = 900, H = 220, L = 62, R = W - 8, T = 10, B = H - 25;\n"
    "  const end = time(last) > 0 ? time(last) : 1; /* of one publication: a second */\n"
    "  const values = series.flatMap(s => s.points.map(p => p[1]));\n"
    "  const greatest = values.reduce((all, n) => n > all ? n : all, unit.least);\n"
    "  const rows = valueMarks(greatest, unit);\n"
    "  const most = rows[rows.length - 1][0];\n"
    "  const x = s => L + (R - L) * s / end, y = n => B - (B - T) * n / most;\n"
    "  const wide = element(box, 'div');\n"
    "  wide.className = 'wide';\n"
    "  const svg = node(wide, 'svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': "
    "title });\n"
    "  for (const [n, text] of rows) {\n"
    "    node(svg, 'line', { x1: L, x2: R, y1: y(n), y2: y(n), class: 'grid' });\n"
    "    node(svg, 'text', { x: L - 6, y: y(n) + 4, 'text-anchor': 'end' }, text);\n"
    "  }\n"
    "  for (const [s, text] of timeMarks(end)) {\n"
    "    node(svg, 'line', { x1: x(s), x2: x(s), y1: B, y2: B + 4, class: 'grid' });\n"
    "    node(svg, 'text', { x: x(s), y: H - 6, 'text-anchor': x(s) > R - 15 ? 'end' : 'middle' }, "
    "text);\n"
    "  }\n"
    "  series.forEach((s, i) => {\n"
    "    const colour = `var(--${'abcde'[i]})`;\n"
    "    const points = s.points.map(p => x(p[0]).toFixed(1) + ',' + y(p[1]).toFixed(1));\n"
    "    node(svg, 'polyline', { points: points.join(' '), class: s.dashed ? 'dashed' : '',\n"
    "      style: `stroke:${colour}` });\n"
    "    legend.append(' ');\n"
    "    const named = element(legend, 'span');\n"
    "    named.className = 'named';\n"
    "    const key = element(named, 'span');\n"
    "    key.className = 'key';\n"
    "    key.style.background = colour;\n"
    "    named.append(s.name);\n"
    "  });\n"
    "}\n"
    "document.getElementById('title').textContent = `MemoryBucket: ${last.name} (${last.pid})`;\n"
    "document.getElementById('summary').textContent = `${readings.length} readings in `\n"
    "  + `${time(last).toFixed(1)} s; ${last.totals.threads} threads at the end`;\n"
    "const total = (name, key) => ({ name, points: levels(r => r.totals[key]) });\n"
    "const slots = (name, ...keys) => ({ name, points: levels(r => sum(r, p =>\n"
    "  p.slot_bytes * keys.reduce((all, key) => all + p[key], 0))) });\n"
    "const events = (name, key, dashed) => ({ name, dashed,\n"
    "  points: rates(r => sum(r, p => p[key])) });\n"
    "chart('Memory', 'Of the process, and of the pools.', bytes, [\n"
    "  total('process resident', 'process_resident_bytes'), total('committed', "
    "'committed_bytes'),\n"
    "  slots('live', 'live'), total('given back', 'released_bytes')]);\n"
    "chart('Free memory', 'Free slots, by where they are.', bytes, [\n"
    "  slots('cached by threads', 'magazines', 'parked'), slots('centre', 'central', 'loose'),\n"
    "  slots('sorted', 'sorted')]);\n"
    "chart('Transfers', 'A second: magazines moved, and large requests.', counts, [\n"
    "  events('refills', 'refills'), events('flushes', 'flushes', true),\n"
    "  { name: 'large requests', points: rates(r => r.totals.large_allocs) }]);\n"
    "chart('Contention', 'A second, in all pools.', counts, [\n"
    "  events('failed compare-and-swaps', 'cas_retries'), events('waits for a lock', "
    "'mutex_waits')]);\n"
    "const table = document.getElementById('pools');\n"
    "const row = (cells, name) => { const tr = element(table, 'tr');\n"
    "  for (const cell of cells) element(tr, name, cell); };\n"
    "row(['size', 'live', 'cached', 'central', 'sorted', 'given back', 'refills', "
    "'flushes', 'retries',\n"
    "  'waits'], 'th');\n"
    "for (const p of last.pools) {\n"
    "  const b = n => short(n * p.slot_bytes, bytes), n = count => short(count, counts);\n"
    "  row([p.size_bytes, b(p.live), b(p.magazines + p.parked), b(p.central + p.loose), "
    "b(p.sorted),\n"
    "    short(p.released_bytes, bytes), n(p.refills), n(p.flushes), n(p.cas_retries), "
    "n(p.mutex_waits)], 'td');\n"
    "}\n"
    "</script></body></html>\n";

bool report_say_error(const char *path)
{
    fprintf(stderr, "mbstat: %s: %s\n", path, strerror(errno));
    return false;
}

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

static bool write_page(FILE *page, FILE *recording, const char *recording_name)
{
    char *line = NULL;
    size_t room = 0;
    size_t count = 0;
    bool good = true;
    fputs(page_begin, page);
    for (int begin; good && (begin = getc(recording)) != EOF;) {
        ungetc(begin, recording);
        /* Looked at first: a line of /dev/zero has no end. */
        ssize_t bytes = begin == '{' ? getline(&line, &room, recording) : 0;
        good = bytes > 0 && is_reading(line, (size_t)bytes);
        if (good) {
            write_line(page, line, count == 0);
            count++;
        }
    }
    free(line);
    if (ferror(recording)) {
        return report_say_error(recording_name);
    }
    if (!good || count == 0) {
        fprintf(stderr, "mbstat: %s: line %zu is no reading of mbstat --record\n", recording_name,
                count + 1);
        return false;
    }
    fputs(page_script, page);
    fputs(page_charts, page);
    return (fflush(page) == 0 && !ferror(page)) || report_say_error("a temporary file");
}

static bool is_same_file(FILE *open_file, const char *path)
{
    struct stat one;
    struct stat other;
    return fstat(fileno(open_file), &one) == 0 && S_ISREG(one.st_mode) && stat(path, &other) == 0
           && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool copy(FILE *from, const char *path)
{
    char text[16 * 1024];
    size_t bytes;
    FILE *to = fopen(path, "we");
    bool good = to != NULL;
    rewind(from);
    while (good && (bytes = fread(text, 1, sizeof text, from)) > 0) {
        good = fwrite(text, 1, bytes, to) == bytes;
    }
    good = good && ferror(from) == 0;
    int why = errno;
    if (to != NULL && fclose(to) != 0 && good) {
        good = false;
        why = errno;
    }
    errno = why;
    return good || report_say_error(path);
}

bool report_write(const char *path, FILE *recording, const char *recording_name)
{
    if (is_same_file(recording, path)) {
        fprintf(stderr, "mbstat: %s: is the recording itself; name another file for the page\n",
                path);
        return false;
    }
    FILE *page = tmpfile();
    if (page == NULL) {
        return report_say_error("a temporary file");
    }
    bool good = write_page(page, recording, recording_name) && copy(page, path);
    fclose(page);
    return good;
}
