"""Makes answers of two servers comparable: lists of lines in which what may differ is named, not shown.

A unique number (cas) becomes <cas N>, numbered in the order of their first appearance: so the answers
agree where the same numbers are equal, and the numbers themselves may differ. Seconds that depend on
when the clock ticked stay numbers, and may differ by one. Lines of `stats` are sorted, and what they say
of memory and time becomes <number>.
"""
import difflib
import itertools
import re

SHOWN_MAX = 60
VALUE = re.compile(rb"VALUE \S+ [0-9]+ ([0-9]+)( [0-9]+)?\r\n")
META_VALUE = re.compile(rb"VA ([0-9]+)( .*)?\r\n")
META = re.compile(rb"(VA|HD|EN|NF|NS|EX) .*\r\n")
META_CAS = re.compile(r"^(c)([1-9][0-9]*)$")
# What commands count is compared: a session about it has servers of its own.
COUNTED = re.compile(r"STAT (cmd_(get|set|flush|touch)|[a-z]+_(hits|misses|badval)) ")
# Flags of a meta reply: seconds to live, seconds since the last access.
SECONDS = re.compile(r"(?:t|l)(?P<seconds>[0-9]+)")


def split(answer):
    """The answer as a list: lines with their ends, and data blocks with theirs."""
    parts, at = [], 0
    while at < len(answer):
        end = answer.find(b"\n", at) + 1 or len(answer)
        line = answer[at:end]
        parts.append(line)
        at = end
        found = VALUE.fullmatch(line) or META_VALUE.fullmatch(line)
        if found:
            end = at + int(found.group(1)) + 2
            parts.append(answer[at:end])
            at = end
    return parts


class _Cas:
    def __init__(self):
        self.names = {}

    def name(self, number):
        return self.names.setdefault(number, f"<cas {len(self.names) + 1}>")


def _text(part):
    return part.decode("latin-1").encode("unicode_escape").decode()


def _shorten(text):
    return text if len(text) <= 300 else f"{text[:200]}...{text[-60:]} ({len(text)} characters)"


def normalise(answer):
    """A list of texts, one for each line or data block."""
    numbers, texts, is_data = _Cas(), [], False
    for part in split(answer):
        if is_data:
            texts.append(_text(part))
            is_data = False
            continue
        value, meta = VALUE.fullmatch(part), META.fullmatch(part)
        is_data = bool(value or META_VALUE.fullmatch(part))
        text = _text(part)
        if value and value.group(2):
            start, number = text[:-4].rsplit(" ", 1)
            text = f"{start} {numbers.name(number)}\\r\\n"
        elif meta:
            words = text[:-4].split(" ")
            first = 2 if words[0] == "VA" else 1 # what is behind the size
            words[first:] = [META_CAS.sub(lambda found: found.group(1) + numbers.name(found.group(2)), word)
                             for word in words[first:]]
            text = " ".join(words) + "\\r\\n"
        elif text.startswith("STAT ") and not COUNTED.match(text):
            text = re.sub(r"(?<= )-?[0-9]+(\.[0-9]+)?\\r\\n$", r"<number>\\r\\n", text)
        texts.append(text)
    return _sort_stats(texts)


def _sort_stats(texts):
    """The order of figures says nothing."""
    sorted_texts = []
    for is_stat, group in itertools.groupby(texts, lambda text: text.startswith("STAT ")):
        sorted_texts += sorted(group) if is_stat else group
    return sorted_texts


def same(one, other):
    """Whether two normalised lines agree: equal, or with seconds of meta replies one apart."""
    if one == other:
        return True
    words, others = one.split(" "), other.split(" ")
    if len(words) != len(others) or words[0] not in ("VA", "HD", "EN"):
        return False
    for word, another in zip(words, others):
        if word == another:
            continue
        found = [SECONDS.fullmatch(each.removesuffix("\\r\\n")) for each in (word, another)]
        if not all(found) or abs(int(found[0]["seconds"]) - int(found[1]["seconds"])) > 1:
            return False
    return True


def difference(expected, got):
    """None, or a text with the places where two lists of normalised lines differ."""
    if len(expected) == len(got) and all(map(same, expected, got)):
        return None
    agreed = [one if same(one, other) else other for one, other in zip(expected, got)]
    lines = list(difflib.unified_diff(expected, agreed + got[len(expected):], n=2, lineterm=""))[2:]
    shown = [f"    {_shorten(line)}" for line in lines[:SHOWN_MAX]]
    return "\n".join(shown + [f"    ... {len(lines)} lines in all"] * (len(lines) > SHOWN_MAX))
