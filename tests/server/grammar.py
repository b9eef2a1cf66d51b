"""Makes random sessions, in the form of the files in sessions/: right, nearly right, and wrong commands.

Nothing in them depends on chance in memcached: numbers that are counted up and down are not fetched
(whether memcached pads them depends on what its threads hold at the moment), no get has a key that is
too long (it loses the answers that wait before it), and times are none, far ahead, or long ago.
"""

KEYS = ("a", "b", "c", "\\xc3\\xa4", "k{k*249}")
NUMBERS = ("n", "p")
MISSING = ("none", "q")
LONG = "{k*251}"
LARGEST = "18446744073709551615"
TOO_LARGE = "18446744073709551616"
TIMES = ("0", "0", "100", "5000", "-1", "4000000000", "2592001", "+7", "007", "x", "", "1x",
         "99999999999999999999")
FLAGS = ("0", "0", "5", "4294967295", "4294967296", "-1", "x", "+3", "1x")
DELTAS = ("0", "1", "9", "10", LARGEST, TOO_LARGE, "-1", "x", "1x", "007", "")
SIZES_WRONG = ("-1", "x", "1x", "", "2147483646", "99999999999999999999")
WORDS = ("noreply", "noreply ", "x", "0", "1", "NOREPLY")
JUNK = ("", " ", "x", "\\x00", "\\xff\\xfe", "get", "gets", "gat", "gat 0", "set", "mg", "md", "ms", "END", "STORED", "incr", "decr a", "touch", "touch a", "delete", "cas", "verbosity", "ms a",
        "set a 0 0", "{x *40}", "{y*1500}", "versionx", "version 1", "mn", "mn x", "verbosity 0",
        "verbosity 0 noreply", "VERSION", "gets\\ta", "quitx", "flush_all", "flush_all 0",
        "flush_all noreply", "flush_all x", "stats nothing")
JUNK_LENGTHS = (0, 1, 100, 1000000, 2147483645, 2**31, 2**63, -1)


class Grammar:
    def __init__(self, random):
        self.random = random

    def session(self, commands):
        """The text of a session."""
        lines = ["@delivery " + self.random.choice(("at-once", "by-line", "by-byte"))]
        for _ in range(commands):
            make = self.random.choice((
                self._storage, self._storage, self._retrieval, self._arithmetic, self._small,
                self._meta_get, self._meta_get, self._meta_set, self._meta_set, self._meta_delete))
            lines += make()
        lines += ["mn"] * 3  # which a data block that is too short takes away
        return "\n".join(lines).encode()

    def _one(self, usual, unusual, share=0.06):
        return self.random.choice(unusual if self.random.random() < share else usual)

    def _key(self):
        return self._one(KEYS, MISSING + (LONG,), 0.15)

    def _time(self):
        return self._one(TIMES[:4], TIMES, 0.15)

    def _data(self, number=False):
        """A size and a data block that mostly fits it."""
        if number:
            text = self._one(("0", "7", "99", "1000"), (LARGEST, TOO_LARGE, "x", "", "1x", "-5"))
            return str(len(text)), text
        text, size = self.random.choice((
            ("", 0), ("v", 1), ("word", 4), ("w\\r\\nx", 4), ("w\\x00\\xff", 3),
            ("z{0123456789*30}", 301), ("y{y*1500}", 1501)))
        chance = self.random.random()
        if chance < 0.03:
            return self.random.choice(SIZES_WRONG), text
        if chance < 0.06:
            return str(max(0, size + self.random.choice((-1, 1, 2)))), text
        return str(size), text

    def _end(self):
        return " " + self._one(("noreply",), WORDS) if self.random.random() < 0.2 else ""

    def _storage(self):
        verb = self.random.choice(("set", "set", "add", "replace", "append", "prepend", "cas"))
        number = verb in ("set", "add", "replace") and self.random.random() < 0.3
        key = self.random.choice(NUMBERS) if number else self._key()
        size, data = self._data(number)
        unique = ""
        if verb == "cas":
            unique = " " + self.random.choice(("1", "1", LARGEST, "x", "0", "-1"))
        flags = self._one(FLAGS[:4], FLAGS)
        return [f"{verb} {key} {flags} {self._time()} {size}{unique}{self._end()}", data]

    def _retrieval(self):
        verb = self.random.choice(("get", "gets", "gat", "gats"))
        count = self.random.choice((1, 1, 2, 3, 30))
        # Other lines than get's end the connection when they have more than 2,048 bytes and come in
        # pieces; and a get is such a line when a data block before it takes its first letter.
        usual = KEYS if count < 30 else KEYS[:-1]
        keys = " ".join(self._one(usual, MISSING) for _ in range(count))
        return [f"{verb} {self._time() + ' ' if verb.startswith('gat') else ''}{keys}"]

    def _arithmetic(self):
        key = self._one(NUMBERS, MISSING + (LONG,), 0.15)
        verb = self.random.choice(("incr", "decr"))
        return [f"{verb} {key} {self._one(DELTAS[:5], DELTAS)}{self._end()}"]

    def _small(self):
        key = self._one(KEYS + NUMBERS, MISSING + (LONG,))
        return [self.random.choice((
            f"delete {key}{'' if key == LONG else self._end()}", f"touch {key} {self._time()}{self._end()}",
            self.random.choice(JUNK)))]

    def _flags(self, usual, tokens):
        """Some of these flags, in any order; now and then one that is wrong, or twice."""
        flags = self.random.sample(usual, self.random.randrange(0, min(len(usual), 6) + 1))
        for at, flag in enumerate(flags):
            if flag in tokens:
                flags[at] = flag + self.random.choice(tokens[flag])
        if self.random.random() < 0.06:
            flags.append(self.random.choice(("z", "v", "k", "T", "Tx", "O", "C", "M", "", "E", "1",
                                             "-", "vv", "S", "I", "q", "N")))
        return "".join(" " + flag for flag in flags)

    def _meta_key(self):
        return self._one(KEYS, MISSING + (LONG,), 0.15)

    def _meta_get(self):
        tokens = {"O": ("1", "abc", "{o*31}"), "N": ("0", "30", "x"), "T": TIMES[:5],
                  "R": ("0", "30", "1000000", "x"), "P": ("", "x"), "L": ("", "y")}
        more = self.random.choice(("", "", "N", "R", "NR", "PL"))
        # Not T with R: which of them memcached looks at first depends on what T sets.
        usual = "vfsktchlquO" + ("" if "R" in more else "T") + more
        return [f"mg {self._meta_key()}{self._flags(sorted(set(usual)), tokens)}"]

    def _meta_set(self):
        tokens = {"O": ("1", "abc"), "T": TIMES[:5], "F": FLAGS, "C": ("1", LARGEST, "x"),
                  "M": ("E", "A", "P", "R", "S", "e", "a", "p", "r", "s", "x", ""),
                  "N": ("0", "30"), "P": ("x",), "L": ("y",)}
        size, data = self._data()
        return [f"ms {self._meta_key()} {size}{self._flags('ckqIOTFMCNPL', tokens)}", data]

    def _meta_delete(self):
        tokens = {"O": ("1",), "T": ("0", "30", "x"), "C": ("1", "x"), "P": ("x",), "L": ("y",)}
        return [f"md {self._meta_key()}{self._flags('qkIIOTCPL', tokens)}"]


def junk_bytes(generator):
    """Bytes that are no protocol, with some of it in between."""
    pieces = []
    for _ in range(generator.randrange(1, 40)):
        pieces.append(generator.choice((
            lambda: generator.randbytes(generator.randrange(1, 300)),
            lambda: generator.randbytes(generator.randrange(1, 3000)),
            lambda: bytes([generator.randrange(256)]) * generator.randrange(1, 5000),
            lambda: b"set j 0 0 %d\r\n" % generator.choice(JUNK_LENGTHS),
            lambda: b"ms j %d T0\r\n" % generator.choice(JUNK_LENGTHS),
            lambda: b"get " + b"j " * generator.randrange(2000),
            lambda: b"mg " + generator.randbytes(30) + b" v k b\r\n",
            lambda: b"\x80" + generator.randbytes(23),
            lambda: generator.choice((b"\r\n", b"\n", b"\r", b"\0", b" ", b"get j\r\n", b"mn\r\n",
                                      b"stats\r\n", b"quit\r\n")))))
    return b"".join(piece() for piece in pieces)
