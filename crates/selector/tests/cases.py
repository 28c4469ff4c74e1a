#!/usr/bin/env python3
"""Writes cases.tsv, the table of the selector language: python3 crates/selector/tests/cases.py

Every case starts as a structure, never as a text: the text, the canonical form, the id and what labels match are each
derived from the structure, by the grammar and the facts of the semantics page (section 3). Nothing here shares a line
with the crate that the table judges.
"""

import base64
import hashlib
import itertools
import os

HERE = os.path.dirname(os.path.abspath(__file__))

# --- Structures -----------------------------------------------------------------------------------------------------
# ("all",) ("global",) ("has", k) ("==", k, v) ... ("in", k, [v]) ("not in", k, [v]) ("!", x) ("&&", [x]) ("||", [x])

COMPARISONS = ["==", "!=", "contains", "starts with", "ends with"]
SETS = ["in", "not in"]


def canonical(x):
    op = x[0]
    if op in ("all", "global"):
        return op + "()"
    if op == "has":
        return "has(%s)" % x[1]
    if op in COMPARISONS:
        return "%s %s %s" % (x[1], op, quoted(x[2]))
    if op in SETS:
        values = sorted(set(x[2]), key=lambda value: value.encode())
        return "%s %s {%s}" % (x[1], op, ", ".join(quoted(value) for value in values))
    if op == "!":
        # Two negations are none, also over parentheses.
        return canonical(x[1][1]) if x[1][0] == "!" else "!" + canonical(x[1])
    return "(" + (" %s " % op).join(canonical(each) for each in x[1]) + ")"


def quoted(value):
    return "'%s'" % value if '"' in value else '"%s"' % value


def identity(x):
    digest = hashlib.sha224(("s:" + canonical(x)).encode()).digest()
    return "s:" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def matches(x, labels):
    op = x[0]
    if op in ("all", "global"):
        return True
    if op == "has":
        return x[1] in labels
    if op == "!":
        return not matches(x[1], labels)
    if op == "&&":
        return all(matches(each, labels) for each in x[1])
    if op == "||":
        return any(matches(each, labels) for each in x[1])
    absent = x[1] not in labels
    if op == "!=":
        return absent or labels[x[1]] != x[2]
    if op == "not in":
        return absent or labels[x[1]] not in x[2]
    if absent:
        return False
    value = labels[x[1]]
    return {
        "==": lambda: value == x[2],
        "contains": lambda: x[2] in value,
        "starts with": lambda: value.startswith(x[2]),
        "ends with": lambda: value.endswith(x[2]),
        "in": lambda: value in x[2],
    }[op]()


# --- Texts ----------------------------------------------------------------------------------------------------------


class Style:
    """How a structure is written: the blanks, the quotes, parentheses that are not needed."""

    def __init__(self, blank, gap, quote, joined, around=""):
        self.blank = blank  # where none is needed
        self.gap = gap  # where one is needed
        self.quote = quote
        self.joined = joined  # `startswith`, `notin`
        self.around = around  # "(" puts every part in parentheses

    def string(self, value):
        quote = self.quote
        if quote in value:
            quote = '"' if quote == "'" else "'"
        return quote + value + quote

    def word(self, op):
        if op in ("starts with", "ends with", "not in"):
            first, second = op.split()
            return first + ("" if self.joined else self.gap) + second
        return op

    def text(self, x, above=""):
        text = self.plain(x)
        needed = (x[0] == "||" and above in ("&&", "!")) or (x[0] == "&&" and above == "!")
        needed = needed or (above and x[0] == above and above != "!")
        if needed or (self.around and x[0] not in ("!",)):
            text = "(" + self.blank + text + self.blank + ")"
        return text

    def plain(self, x):
        op, blank = x[0], self.blank
        if op in ("all", "global"):
            return op + "(" + blank + ")"
        if op == "has":
            return "has(" + blank + x[1] + blank + ")"
        if op in ("==", "!="):
            return x[1] + blank + op + blank + self.string(x[2])
        if op in COMPARISONS:
            return x[1] + self.gap + self.word(op) + blank + self.string(x[2])
        if op in SETS:
            inside = (blank + "," + blank).join(self.string(value) for value in x[2])
            return x[1] + self.gap + self.word(op) + blank + "{" + blank + inside + blank + "}"
        if op == "!":
            return "!" + blank + self.text(x[1], "!")
        return (blank + op + blank).join(self.text(each, op) for each in x[1])


STYLES = [
    Style("", " ", "'", False),
    Style("", "\t", '"', True),
    Style(" ", " ", "'", True),
    Style(" \t ", "  \t", '"', False),
    Style(" ", " ", "'", False, around="("),
]

LABELS = ["a", "contains", "starts", "ends", "with", "in", "not", "has", "all", "global", "A", "1", "-/._", "p.q/r-s_T9"]
VALUES = ["", "x", "it's", 'say "x"', " x ", "&& || ! ( ) { } ,", "all()", "global()", "ü✓", "a\\b", "x\ny", "a == 'b'"]
LISTS = [[], ["x"], ["y", "x"], ["x", "x"], ["", "it's", 'say "x"'], ["B", "a", "A", "b", "ü"]]
MAPS = [{}, {"a": ""}, {"a": "x"}, {"a": "xy"}, {"a": "yx"}, {"b": "x"}, {"a": "X"}, {"A": "x"}, {"a": "x", "b": "y"}]


def structures():
    yield ("all",)
    yield ("global",)
    for label in LABELS + ["l" * 512]:
        yield ("has", label)
    for op, label in itertools.product(COMPARISONS, LABELS):
        yield (op, label, "x")
    for op, value in itertools.product(COMPARISONS, VALUES):
        yield (op, "a", value)
    for op, label in itertools.product(SETS, LABELS):
        yield (op, label, ["x", "y"])
    for op, values in itertools.product(SETS, LISTS):
        yield (op, "a", values)
    leaves = [("has", "a"), ("==", "a", "x"), ("!=", "b", "y"), ("in", "a", ["x", "y"]), ("not in", "in", ["x"]), ("all",)]
    for leaf in leaves + [("contains", "a", "x"), ("starts with", "not", "x"), ("ends with", "a", "x"), ("global",)]:
        yield ("!", leaf)
    for op, left, right in itertools.product(["&&", "||"], leaves, leaves):
        yield (op, [left, right])
    a, b, c = ("has", "a"), ("==", "b", "y"), ("contains", "a", "x")
    for one, other in [("&&", "||"), ("||", "&&"), ("&&", "&&"), ("||", "||")]:
        yield (one, [a, (other, [b, c])])
        yield (one, [(other, [a, b]), c])
        yield (one, [(other, [a, b]), ("!", c)])
        yield ("!", (one, [a, (other, [b, c])]))
        yield (one, [("!", (other, [a, b])), ("!", ("!", c))])
        yield (one, [a, b, c, (other, [c, b, a])])
    for depth in range(1, 9):
        x = ("has", "z")
        for level in range(depth):
            x = ("||" if level % 2 else "&&", [("==", "a", "x"), ("!", x) if level % 3 == 0 else x])
        yield x


def accepted():
    for number, x in enumerate(structures()):
        # Each structure in two styles, so that every style meets every form.
        for style in {number % len(STYLES), (number * 2 + 1) % len(STYLES)}:
            yield STYLES[style].text(x), x
    # Facts that a structure does not have: parentheses, negations and commas that change nothing.
    plain = ("==", "a", "x")
    for text, x in [
        ("", ("all",)),
        (" \t ", ("all",)),
        ("((((a=='x'))))", plain),
        ("!!a=='x'", plain),
        ("! ! ! a=='x'", ("!", plain)),
        ("!!(!!(a=='x'))", plain),
        ("!(!a=='x')", plain),
        ("!(!(!(a=='x')))", ("!", plain)),
        ("a in {'x',}", ("in", "a", ["x"])),
        ("a in {'x' , 'y' , }", ("in", "a", ["x", "y"])),
        ("a notin{}", ("not in", "a", [])),
        ("a not in { }", ("not in", "a", [])),
        ("a=='x'&&b=='y'||has(c)", ("||", [("&&", [plain, ("==", "b", "y")]), ("has", "c")])),
        ("a=='x'||b=='y'&&has(c)", ("||", [plain, ("&&", [("==", "b", "y"), ("has", "c")])])),
        ("contains contains 'contains'", ("contains", "contains", "contains")),
        ("in in {'in'}", ("in", "in", ["in"])),
        ("not not in {'not'}", ("not in", "not", ["not"])),
        ("not notin {'not'}", ("not in", "not", ["not"])),
        ("starts startswith 'with'", ("starts with", "starts", "with")),
        ("allx == 'x'", ("==", "allx", "x")),
        ("hasa == 'x'", ("==", "hasa", "x")),
    ]:
        yield text, x


# --- Refusals: the fault's place follows from how the text is put together -------------------------------------------


def refused():
    operator = 'expected operator after label "a"'
    words = ["contains", "starts with", "startswith", "ends with", "endswith", "in", "not in", "notin"]
    for word in words:
        for letter in ["x", "Z", "1", "_", ".", "/", "-"]:
            yield "a " + word + letter + " 'b'", 2, operator
        yield "a " + word.upper() + " 'b'", 2, operator
        yield "a  \t" + word.capitalize() + " {'b'}", 4, operator
    for word in ["b", "all", "has", "starts", "ends", "not", "starts in", "not with", "ends  in", "~", "+", "%", ";", "\n", "ü"]:
        yield "a " + word, 2, operator
        yield "has(b) && a \t" + word, 13, operator
    for op in COMPARISONS + ["startswith", "endswith"]:
        for blank in ["", " ", "\t  "]:
            head = "a " + op + blank
            if blank or op in ("==", "!="):
                yield head + "b", len(head), "expected string"
            for behind in ["", "(", ")", "{", "}", ",", "&&", "||", "!", "==", "{'x'}"]:
                if op in ("==", "!=") and blank == "" and behind == "==":
                    continue
                yield head + behind, len(head), "expected string"
            for quote in "'\"":
                yield head + quote + "x", len(head), "unterminated string"
    for op in ["in", "not in", "notin"]:
        for blank in ["", " ", " \t"]:
            head = "a " + op + blank
            for behind in ["", "(", ")", "}", ",", "&&", "||", "!", "==", "'x'", '"x"']:
                yield head + behind, len(head), "expected set literal"
            for inside in ["", "'x'", "'x',", "'x' , \"y\""]:
                yield head + "{" + inside, len(head + "{" + inside), "expected }"
                if not inside.endswith("'") and not inside.endswith('"'):
                    yield head + "{" + inside + ",}", len(head + "{" + inside), "expected }"
            yield head + "{'x' 'y'}", len(head + "{'x' "), "expected }"
            yield head + "{b}", len(head + "{"), "expected }"
            yield head + "{{'x'}}", len(head + "{"), "expected }"
            yield head + "{('x')}", len(head + "{"), "expected }"
    expressions = ["has(a)", "all()", "global()", "a=='x'", "a in {'x'}", "!has(a)", "(has(a))", "a starts with 'x'"]
    for text in expressions:
        end = len(text)
        yield "(" + text, end + 1, "expected )"
        yield "((" + text + ")", end + 3, "expected )"
        yield "!(" + text + " ", end + 3, "expected )"
        yield text + ")", end, "unexpected content at end of selector: )"
        yield text + " has(b)", end + 1, "unexpected content at end of selector: has(b)"
        yield text + " 'x'", end + 1, 'unexpected content at end of selector: string "x"'
        yield text + " }", end + 1, "unexpected content at end of selector: }"
        yield text + " !", end + 1, "unexpected content at end of selector: !"
        yield text + "\t,", end + 1, "unexpected content at end of selector: ,"
        for op, single in [("&&", "&"), ("||", "|")]:
            yield text + op, end + 2, "unexpected end of string looking for op"
            yield text + " " + op + " \t", end + 5, "unexpected end of string looking for op"
            yield text + op + op + text, end + 2, "unexpected token: " + op
            yield op + text, 0, "unexpected token: " + op
            yield text + op + ")", end + 2, "unexpected token: )"
            yield text + " " + single + " " + text, end + 1, "expected " + op
            yield text + single, end, "expected " + op
        yield text + " = 'x'", end + 1, "expected =="
        yield text + "\n", end, "unexpected character '\\n'"
        yield text + " %", end + 1, "unexpected character '%'"
    for character in "%;:#@$^*+~?<>[]\\`ü":
        shown = "\\\\" if character == "\\" else character
        yield character, 0, "unexpected character '%s'" % shown
        yield "! " + character + "a == 'x'", 2, "unexpected character '%s'" % shown
    for function in ["all", "global"]:
        yield function + "(", len(function) + 1, "no closing ')' after %s(" % function
        yield function + "( x)", len(function) + 2, "no closing ')' after %s(" % function
        yield function + " ()", len(function) + 1, "expected == or != not: ("
        yield function, len(function), "unexpected end of string looking for op"
    for behind, offset in [("", 4), (")", 4), (" )", 5), ("'a')", 4), ("(a))", 4), ("\n)", 4)]:
        yield "has(" + behind, offset, "no label name in has( expression"
    for behind, offset in [("a", 5), ("a b)", 6), ("a == 'x')", 6), ("a,b)", 5), ("a\n)", 5)]:
        yield "has(" + behind, offset, "no closing ')' after has("
    for behind, found in [("'x'", 'string "x"'), ("&& has(b)", "&&"), ("|| has(b)", "||"), (")", ")"), ("(", "("), ("{", "{"), ("!", "!"), (",", ",")]:
        yield "a " + behind, 2, "expected == or != not: " + found
    yield "a", 1, "unexpected end of string looking for op"
    yield "a == 'x' && b", 13, "unexpected end of string looking for op"
    for text, offset, found in [("'x' == a", 0, 'string "x"'), ("{}", 0, "{"), ("()", 1, ")"), (", has(a)", 0, ","), ("== 'x'", 0, "=="), ("!= 'x'", 0, "!="), ("!}", 1, "}")]:
        yield text, offset, "unexpected token: " + found
    for text in ["", " ", "!", "! !", "("]:
        if text.strip():
            yield text, len(text), "unexpected end of string looking for op"
    for long in ["l" * 513, "l" * 600]:
        yield long + " == 'x'", 0, "label too long: at most 512 bytes"
        yield "has( " + long + ")", 5, "label too long: at most 512 bytes"
    yield "(" * 513 + "has(a)" + ")" * 513, 512, "nesting too deep: at most 512 levels of parentheses"


# --- The file -------------------------------------------------------------------------------------------------------


def escaped(text):
    for plain, letter in [("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), (" ", "\\s"), ("|", "\\p")]:
        text = text.replace(plain, letter)
    return text


def column(text):
    """A text as a column: blanks may stand in it, tabs and line ends may not."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def written(labels):
    return " ".join("%s=%s" % (key, escaped(value)) for key, value in sorted(labels.items())) or "-"


def label_maps(x):
    """The maps that every case is judged by, and some of the case's own labels and values."""
    maps = [dict(each) for each in MAPS]
    own = []

    def walk(x):
        if x[0] == "!":
            walk(x[1])
        elif x[0] in ("&&", "||"):
            for each in x[1]:
                walk(each)
        elif len(x) > 1:
            values = [] if len(x) == 2 else x[2] if isinstance(x[2], list) else [x[2]]
            own.append((x[1], list(values) + ["other"]))

    walk(x)
    for key, values in own:
        for value in values:
            for around in ["%s", "-%s", "%s-", "-%s-"]:
                maps.append({key: around % value})
    return [dict(each) for each in {tuple(sorted(each.items())) for each in maps}]


def main():
    lines = [
        "# The selector language, a case a line. Written by cases.py; not by the parser that it judges.",
        "# accept: text, canonical form, id, labels that match, labels that do not. Maps of labels are k=v k=v, divided by |,",
        "# - is the empty one. refuse: text, byte of the fault, message. \\t \\n \\\\ are escapes; in labels \\s is a blank, \\p is |.",
    ]
    seen = set()
    for text, x in accepted():
        if text in seen:
            continue
        seen.add(text)
        maps = sorted(label_maps(x), key=written)
        sides = {True: [], False: []}
        for labels in maps:
            side = sides[matches(x, labels)]
            if len(side) < 6:
                side.append(written(labels))
        row = ["accept", column(text), column(canonical(x)), identity(x)]
        lines.append("\t".join(row + ["|".join(sides[True]), "|".join(sides[False])]))
    for text, offset, message in refused():
        if text in seen:
            continue
        seen.add(text)
        offset = len(text[:offset].encode())
        lines.append("\t".join(["refuse", column(text), str(offset), column(message)]))
    with open(os.path.join(HERE, "cases.tsv"), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(len(seen), "cases")


main()
