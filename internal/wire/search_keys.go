package wire

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"archiverd/internal/uid"
)

// textKeys are the search keys that take text, with the number of their arguments (RFC
// 9051 6.4.4, and Gmail's).
var textKeys = map[string]int{
	"BCC": 1, "BODY": 1, "CC": 1, "FROM": 1, "HEADER": 2, "SUBJECT": 1, "TEXT": 1, "TO": 1,
	"X-GM-LABELS": 1, "X-GM-RAW": 1,
}

// SearchKeys returns the UIDs of the messages of the open mailbox that match keys as a
// person writes them (RFC 9051 6.4.4): {"FROM", "bob smith", "SINCE", "1-Jan-2026"}.
// Without keys it returns all. Each element is one key, argument or parenthesis. The
// argument of a key that takes text is sent as a string; other elements are sent as they
// are, unless they hold octets that no atom can. Text beyond ASCII is sent as a literal
// in UTF-8.
//
// If the server refuses the keys, the error is of ClassMailbox and the connection stays.
func (c *Conn) SearchKeys(ctx context.Context, keys []string) (uid.Set, error) {
	cmd := command{name: cmdSearch, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassMailbox}
	if len(keys) == 0 {
		keys = []string{"ALL"}
	}
	parts, err := c.searchParts(keys)
	if err != nil {
		return uid.Set{}, c.annotate(cmd, err)
	}
	return c.search(ctx, cmd, parts)
}

// searchParts returns a search command in parts; each but the last ends in the size of a
// literal.
func (c *Conn) searchParts(keys []string) ([]string, error) {
	line := c.searchCommand()
	for _, k := range keys {
		if !utf8.ValidString(k) || strings.ContainsAny(k, "\x00\r\n") {
			return nil, &Error{Class: ClassMailbox, Err: fmt.Errorf("search for %q: not one line of UTF-8 text", k)}
		}
	}
	if !isASCII(strings.Join(keys, "")) {
		line += " CHARSET UTF-8"
	}
	var parts []string
	texts := 0 // arguments that follow and are text
	for _, k := range keys {
		line += " "
		switch quoted, _ := quote(k); {
		case !isASCII(k):
			parts, line = append(parts, fmt.Sprintf("%s{%d}", line, len(k))), k
		case texts > 0 || !isBareKey(k):
			line += quoted
		default:
			line += k
			texts = textKeys[strings.ToUpper(strings.TrimLeft(k, "("))]
			continue
		}
		texts = max(texts-1, 0)
	}
	return append(parts, line), nil
}

// isBareKey says whether a key can be sent as it is: visible ASCII that can't be read as
// a string or as the size of a literal.
func isBareKey(key string) bool {
	for i := range len(key) {
		if b := key[i]; b <= ' ' || b >= 0x7f || strings.IndexByte("\"\\{}%", b) >= 0 {
			return false
		}
	}
	return key != ""
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
