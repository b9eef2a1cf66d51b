# Sourced by run.sh: programs with windows, documents and pages, without a screen. See there.

soffice_() {
    needs soffice gs
    seq 3000 | sed 's/$/ lines of a text that is to become pages/' >"$work/in.txt"
    measured soffice -env:UserInstallation="file://$work/profile" --headless --convert-to pdf --outdir "$work" "$work/in.txt" >/dev/null 2>&1
    gs -q -dNOPAUSE -dBATCH -sDEVICE=txtwrite -sOutputFile=- "$work/in.pdf" | sha256sum
}

chromium_() {
    needs chromium
    cat >"$work/page.html" <<'HTML'
<!DOCTYPE html><title>page</title><body style="font: 14px DejaVu Sans"><script>
for (let i = 0; i < 800; i++) { const p = document.createElement('span'); p.textContent = ' ' + i * i; p.style.color = `hsl(${i}, 70%, 40%)`; document.body.append(p); }
</script>
HTML
    measured chromium --headless=old --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir="$work/profile" \
        --window-size=800,600 --screenshot="$work/page.png" "file://$work/page.html" >/dev/null 2>&1
    sha256sum <"$work/page.png"
}


qt_() {
    needs xvfb-run python3
    cat >"$work/program.py" <<'PY'
import sys
from PyQt5.QtWidgets import QApplication, QListWidget
app = QApplication(sys.argv)
window = QListWidget()
window.resize(400, 300)
for i in range(5000):
    window.addItem(f"item {i}")
window.show()
for i in range(0, 5000, 100):
    window.scrollToItem(window.item(i))
    app.processEvents()
image = window.grab().toImage()
print(window.count(), image.width(), image.height(), sum(image.pixel(x, 150) & 255 for x in range(400)))
PY
    measured xvfb-run -a -s '-screen 0 800x600x24' python3 "$work/program.py" 2>/dev/null
}

gtk_() {
    needs xvfb-run python3
    cat >"$work/program.py" <<'PY'
import gi
gi.require_version("Gtk", "3.0")
from gi.repository import Gtk
window = Gtk.OffscreenWindow()
window.set_default_size(400, 300)
text = Gtk.TextView()
window.add(text)
window.show_all()
for i in range(300):
    text.get_buffer().insert_at_cursor(f"line {i}\n")
    while Gtk.events_pending():
        Gtk.main_iteration()
image = window.get_pixbuf()
print(text.get_buffer().get_char_count(), image.get_width() >= 400)
PY
    measured xvfb-run -a -s '-screen 0 800x600x24' python3 "$work/program.py" 2>/dev/null
}
