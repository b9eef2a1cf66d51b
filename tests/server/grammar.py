"""Makes random sessions, in the form of the files in sessions/: commands that are right, nearly right, and wrong.

Nothing in them depends on chance in memcached: numbers that are counted up and down are not fetched (whether memcached
pads them depends on what its threads hold at the moment), no get has a key that is too long (it loses the answers that
wait before it), and times are none, far ahead, or long ago.
"""

KEYS = ("a", "b", "c", "\\xc3\\xa4", "k{k*249}")
NUMBERS = ("n", "p")
MISSING = ("none", "q")
LONG = "{k*251}"
TIMES = ("0", "0", "100", "5000", "-1", "4000000000", "2592001", "+7", "007", "x", "", "1x", "99999999999999999999")
FLAGS = ("0", "0", "5", "4294967295", "4294967296", "-1", "x", "+3", "1x")
DELTAS = ("0", "1", "9", "10", "18446744073709551615", "18446744073709551616", "-1", "x", "1x", "007", "")
SIZES_WRONG = ("-1", "x", "1x", "", "2147483646", "99999999999999999999")
WORDS = ("noreply", "noreply ", "x", "0", "1", "NOREPLY")
JUNK = ("", " ", "x", "\\x00", "\\xff\\xfe", "get", "gets", "gat", "gat 0", "set", "mg", "md", "ms", "ma", "me", "END", "STORED",
        "incr", "decr a", "touch", "touch a", "delete", "cas", "verbosity", "ms a", "set a 0 0", "{x *40}", "{y*1500}",
        "versionx", "version 1", "mn", "mn x", "verbosity 0", "verbosity 0 noreply", "VERSION", "gets\ta", "quitx",
        "flush_all", "flush_all 0", "flush_all noreply", "flush_all x", "stats nothing")


class Grammar:
    def __init__(self, random):
        self.random = random

    def session(self, commands):
        """The text of a session."""
        lines = ["@delivery " + self.random.choice(("at-once", "by-line", "by-byte"))]
        for _ in range(commands):
            make = self.random.choice((self._storage, self._storage, self._retrieval, self._arithmetic, self._small,
                                       self._meta_get, self._meta_get, self._meta_set, self._meta_set, self._meta_delete,
                                       self._meta_arithmetic))
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
            text = self._one(("0", "7", "99", "1000"), ("18446744073709551615", "18446744073709551616", "x", "", "1x", "-5"))
            return str(len(text)), text
        text, size = self.random.choice((("", 0), ("v", 1), ("word", 4), ("w\\r\\nx", 4), ("w\\x00\\xff", 3), ("z{0123456789*30}", 301),
                                         ("y{y*1500}", 1501)))
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
        unique = " " + self._unique(key) if verb == "cas" else ""
        return [f"{verb} {key} {self._one(FLAGS[:4], FLAGS)} {self._time()} {size}{unique}{self._end()}", data]

    def _unique(self, key):
        return self.random.choice(("1", "1", "18446744073709551615", "x", "0", "-1"))

    def _retrieval(self):
        verb = self.random.choice(("get", "gets", "gat", "gats"))
        keys = KEYS if verb.startswith("get") else KEYS[:-1] # other lines of more than 2,048 bytes end the connection
        keys = " ".join(self._one(keys, MISSING) for _ in range(self.random.choice((1, 1, 2, 3, 30))))
        return [f"{verb} {self._time() + ' ' if verb.startswith('gat') else ''}{keys}"]

    def _arithmetic(self):
        key = self._one(NUMBERS, MISSING + (LONG,), 0.15)
        return [f"{self.random.choice(('incr', 'decr'))} {key} {self._one(DELTAS[:5], DELTAS)}{self._end()}"]

    def _small(self):
        return [self.random.choice((lambda: f"delete {self._one(KEYS + NUMBERS, MISSING + (LONG,))}{self._end()}",
                                    lambda: f"touch {self._one(KEYS + NUMBERS, MISSING + (LONG,))} {self._time()}{self._end()}",
                                    lambda: self.random.choice(JUNK)))()]

    def _flags(self, usual, tokens):
        """Some of these flags, in any order; now and then one that is wrong, or twice."""
        flags = self.random.sample(usual, self.random.randrange(0, min(len(usual), 6) + 1))
        for at, flag in enumerate(flags):
            if flag in tokens:
                flags[at] = flag + self.random.choice(tokens[flag])
        if self.random.random() < 0.06:
            flags.append(self.random.choice(("z", "v", "k", "T", "Tx", "O", "C", "b", "M", "", "E", "1", "-", "vv", "S", "I", "q", "N")))
        return "".join(" " + flag for flag in flags)

    def _meta_key(self):
        return self._one(KEYS, MISSING + (LONG,), 0.15)

    def _meta_get(self):
        tokens = {"O": ("1", "abc", "{o*31}", "{o*33}"), "N": ("0", "30", "x"), "R": ("0", "30", "1000000", "x"), "T": TIMES[:5],
                  "P": ("", "x"), "L": ("", "y")}
        usual = list("vvvfsktchlqu") + ["O", "T"] + self.random.choice(([], [], ["N"], ["R"], ["N", "R"], ["P", "L"]))
        return [f"mg {self._meta_key()}{self._flags(sorted(set(usual)), tokens)}"]

    def _meta_set(self):
        tokens = {"O": ("1", "abc"), "T": TIMES[:5], "F": FLAGS, "M": ("E", "A", "P", "R", "S", "e", "a", "p", "r", "s", "x", ""),
                  "C": ("1", "18446744073709551615", "x"), "N": ("0", "30"), "P": ("x",), "L": ("y",)}
        size, data = self._data()
        return [f"ms {self._meta_key()} {size}{self._flags(['c', 'k', 'q', 'I', 'O', 'T', 'F', 'M', 'C', 'N', 'P', 'L'], tokens)}", data]

    def _meta_delete(self):
        tokens = {"O": ("1",), "T": ("0", "30", "x"), "C": ("1", "x"), "P": ("x",), "L": ("y",)}
        return [f"md {self._meta_key()}{self._flags(['q', 'k', 'I', 'I', 'O', 'T', 'C', 'P', 'L'], tokens)}"]

    def _meta_arithmetic(self):
        tokens = {"O": ("1",), "T": ("0", "30", "x"), "C": ("1", "x"), "N": ("0", "30", "x"), "J": ("0", "5", "18446744073709551615", "x"),
                  "D": DELTAS[:8], "M": ("I", "D", "+", "-", "i", "d", "x", "incr", "decr")}
        key = self._one(NUMBERS, MISSING + (LONG,), 0.15)
        return [f"ma {key}{self._flags(['q', 'k', 'O', 't', 'v', 'c', 'N', 'J', 'D', 'M', 'T', 'C'], tokens)}"]
