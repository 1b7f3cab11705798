package pattern

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Match reports whether a mailbox name matches a pattern with the wildcards of LIST:
// * stands for any text, % for any text without the delimiter (RFC 9051 6.3.9). The
// delimiter is the server's, one octet, or "" for none. INBOX is compared without
// case (RFC 9051 5.1), also as the first level of a name. Names that differ only in
// Unicode normalisation are equal. The time is bounded by the product of both
// lengths, because patterns may come from anybody.
func Match(pattern, name, delimiter string) bool {
	if IsInbox(name) {
		pattern = strings.ToUpper(pattern)
	}
	pattern, name = canonical(pattern, delimiter), canonical(name, delimiter)
	// matched[j] reports whether the pattern so far matches name[:j].
	matched := make([]bool, len(name)+1)
	matched[0] = true
	for i := range len(pattern) {
		before := matched[0] // matched[j-1] before this octet of the pattern
		wild := pattern[i] == '*' || pattern[i] == '%'
		matched[0] = matched[0] && wild
		for j := range len(name) {
			now := before && pattern[i] == name[j]
			if wild {
				now = matched[j+1] || matched[j] && (pattern[i] == '*' || name[j:j+1] != delimiter)
			}
			before, matched[j+1] = matched[j+1], now
		}
	}
	return matched[len(name)]
}

// canonical returns a name or pattern in NFC, with INBOX in upper case where that
// is the name or its first level.
func canonical(name, delimiter string) string {
	name = norm.NFC.String(name)
	if len(name) < len(Inbox) || !IsInbox(name[:len(Inbox)]) {
		return name
	}
	if rest := name[len(Inbox):]; rest == "" || delimiter != "" && strings.HasPrefix(rest, delimiter) {
		return Inbox + rest
	}
	return name
}
