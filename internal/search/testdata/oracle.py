"""Answers queries about messages with Python's email package: a second, independent
implementation of archiverd's search.

Reads {"files": [...], "queries": [[term, ...]]} with terms {"field", "words", "prefix",
"not"}. Writes {"answers": [[file, ...]], "words": {file: {field: [word, ...]}},
"doubtful": [file, ...], "rendered": [file, ...]}. Python finds the doubtful messages
malformed; they have neither words nor answers. The rendered ones have text that is
converted: HTML, reports, attached messages.

All header fields are parsed as unstructured text. Python would change structured fields:
it corrects the day of the week of a date, drops the comments of addresses (RFC 5322
3.2.2) and puts a space between two encoded words (RFC 2047 6.2 has none)."""

import email, email.headerregistry, email.policy, html.parser, json, re, sys, unicodedata

LETTERS = str.maketrans({"ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "þ": "th", "æ": "ae", "œ": "oe"})
SOLID = [(0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007),
         (0x3021, 0x3035), (0x3040, 0x318F), (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA960, 0xA97F),
         (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0x1B000, 0x1B16F), (0x20000, 0x3FFFF)]
TRACE = {"received", "return-path", "received-spf", "authentication-results", "dkim-signature", "domainkey-signature",
         "autocrypt", "face", "x-face", "x-received", "x-gm-message-state", "thread-index"}
TRACES = ("arc-", "dkim-", "x-google-", "x-ms-", "x-microsoft-", "x-forefront-")
COLUMN = {"from": "from", "sender": "from", "to": "to", "cc": "cc", "bcc": "cc", "subject": "subject", "message-id": "message-id"}
BLOCK = set("p h1 h2 h3 h4 h5 h6 blockquote pre div section article header footer nav aside main form fieldset address "
            "center body hr ul ol li dl dt dd table tr caption figure option textarea td th br img area a".split())


FIELD = email.headerregistry.HeaderRegistry(use_default_map=False)


def accent(c):
    n = unicodedata.combining(c)
    return unicodedata.category(c) == "Mn" and (n == 1 or 10 <= n <= 36 or n >= 200)


def fold(s):
    s = unicodedata.normalize("NFKD", s)
    s = "".join(c for c in s if not accent(c) and unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFC", s.casefold().translate(LETTERS))


def words(s):
    if s.isascii():  # faster, with the same result
        return [w[:64] for w in re.findall("[a-z0-9]+", s.lower())]
    out, word = [], ""
    for c in fold(s) + " ":
        inside = unicodedata.category(c)[0] in "LMN"
        if inside and unicodedata.category(c)[0] != "N" and any(a <= ord(c) <= b for a, b in SOLID):
            out += [word, c]
            word = ""
        elif inside:
            word += c
        else:
            out.append(word)
            word = ""
    return [w[:64] for w in out if w]


class Text(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.out, self.skip = [], 0

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "style", "title"):
            self.skip += 1
        if tag in BLOCK:
            self.out.append(" ")
        self.out += [" " + (v or "") + " " for k, v in attrs if tag in ("img", "area") and k == "alt"]

    def handle_endtag(self, tag):
        if tag in ("script", "style", "title"):
            self.skip = max(0, self.skip - 1)
        if tag in BLOCK:
            self.out.append(" ")

    def handle_data(self, data):
        if not self.skip:
            self.out.append(data)


def decoded(part):
    raw = part.get_payload(decode=True) or b""
    charset = (part.get_content_charset() or "utf-8").lower()
    charset = {"iso-8859-1": "cp1252", "us-ascii": "utf-8", "gb2312": "gb18030", "gbk": "gb18030"}.get(charset, charset)
    try:
        return raw.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return None


def document(file):
    with open(file, "rb") as f:
        m = email.message_from_binary_file(f, policy=email.policy.default.clone(raise_on_defect=False))
    cols = {c: [] for c in ("from", "to", "cc", "subject", "message-id", "other", "text", "filename")}
    doubtful = rendered = False
    for name, value in m.raw_items():
        if name.lower() in TRACE or name.lower().startswith(TRACES):
            continue
        value = re.sub(r"[\r\n]+", "", value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        value = FIELD(name, value)
        doubtful |= bool(value.defects) or "\ufffd" in value
        cols[COLUMN.get(name.lower(), "other")].append(str(value))
    for part in m.walk():
        doubtful |= bool(part.defects)
        rendered |= part.get_content_type() != "text/plain" and part.get_content_maintype() in ("text", "message")
        rendered |= part.get_param("format") is not None
        name = part.get_filename()
        if name:
            cols["filename"].append(re.split(r"[/\\]", name)[-1])
        if part is not m and not part.is_multipart() or part is m and not m.is_multipart():
            if part.get_content_maintype() == "text":
                s = decoded(part)
                if s is None:
                    doubtful = True
                elif part.get_content_type() == "text/html":
                    t = Text()
                    t.feed(s)
                    t.close()
                    cols["text"].append("".join(t.out))
                else:
                    cols["text"].append(s)
        elif part.get_content_type() == "message/rfc822":
            for inner in part.get_payload():
                cols["text"] += [str(v) for k, v in inner.items() if k.lower() in ("from", "to", "cc", "date", "subject")]
    return {c: [words(s) for s in list_] for c, list_ in cols.items()}, doubtful, rendered


def holds(doc, term, want):
    columns = {"": list(doc), "to": ["to", "cc"]}.get(term["field"], [term["field"]])
    want = " " + " ".join(want) + ("" if term["prefix"] else " ")
    return any(want in " " + " ".join(have) + " " for c in columns for have in doc[c]) != term["not"]


def main():
    task = json.load(sys.stdin)
    docs, doubtful, rendered = {}, [], []
    for file in task["files"]:
        try:
            doc, bad, made = document(file)
        except Exception as e:  # Python fails on some malformed messages
            print(file, repr(e), file=sys.stderr)
            doc, bad, made = {}, True, False
        if bad:
            doubtful.append(file)
        else:
            docs[file] = doc
        if made:
            rendered.append(file)
    answers = []
    for query in task["queries"]:
        query = [(t, words(t["words"])) for t in query]
        answers.append([f for f, doc in docs.items() if all(holds(doc, t, want) for t, want in query)])
    all_words = {f: {c: sum(texts, []) for c, texts in doc.items()} for f, doc in docs.items()}
    json.dump({"answers": answers, "words": all_words, "doubtful": doubtful, "rendered": rendered}, sys.stdout)


main()
