# What the charts of compare.gnuplot and memory.gnuplot share: from `allocators`, a list of names, who
# is drawn in which colour and under which name; bars beside each other; the terminals.
allocator_count = words(allocators)

# MemoryBucket's forms are the blues; allocators that are not known here take turns with the rest.
known = 'inlined #08519c called #3f8fcb dropin #9ecae8 glibc #8a8a8a mimalloc #e0a23c jemalloc #b8604f tcmalloc #6f9f5e tbbmalloc #9678ae'
others = '#4f4f4f #c9bb4b #58a5a0 #cf8fb4'
colour(i) = strstrt(' '.known.' ', ' '.word(allocators, i).' #') \
    ? substr(known, strstrt(' '.known.' ', ' '.word(allocators, i).' #') + strlen(word(allocators, i)) + 1, \
             strstrt(' '.known.' ', ' '.word(allocators, i).' #') + strlen(word(allocators, i)) + 7) \
    : word(others, i % 4 + 1)
is_ours(i) = strstrt(' inlined called dropin ', ' '.word(allocators, i).' ') > 0
full_name(i) = is_ours(i) ? 'MemoryBucket, '.word(allocators, i) : word(allocators, i)
terminal_of(format, width, height) = format eq 'png' \
    ? sprintf("set terminal pngcairo noenhanced size %d,%d font 'DejaVu Sans,10'", width, height) \
    : sprintf("set terminal svg noenhanced size %d,%d font 'DejaVu Sans,12' background '#ffffff'", width, height)
line_width(i) = is_ours(i) ? 2.5 : 1.5
bar_width = 0.88 / allocator_count
bar_x(row, i) = row + (i - (allocator_count + 1) / 2.0) * bar_width
