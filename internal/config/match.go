package config

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// specialUse is the attributes a pattern may name: RFC 6154 2, RFC 8457 and the IANA
// registry of mailbox name attributes.
func specialUse() []string {
	return []string{`\All`, `\Archive`, `\Drafts`, `\Flagged`, `\Important`, `\Junk`, `\Memos`, `\Scheduled`, `\Sent`, `\Snoozed`, `\Trash`}
}

// checkPatterns reports the patterns of a list that can match nothing.
func checkPatterns(r *report, key string, patterns []string) {
	for i, p := range patterns {
		if err := checkPattern(p); err != nil {
			r.at(fmt.Sprintf("%s[%d]", key, i), "%v", err)
		}
	}
}

// checkPattern returns an error for a pattern that can match nothing.
func checkPattern(p string) error {
	if invisible(p) {
		return fmt.Errorf("%q has a control or invisible character", p)
	}
	if !strings.HasPrefix(p, `\`) || slices.ContainsFunc(specialUse(), func(a string) bool { return strings.EqualFold(a, p) }) {
		return nil
	}
	if near := nearest(p, specialUse()); near != "" {
		return fmt.Errorf("unknown special use %s; did you mean %s?", p, near)
	}
	return fmt.Errorf("unknown special use %s; known are %s", p, strings.Join(specialUse(), " "))
}

// Selects tells whether a mailbox is to be archived, by its true name (UTF-8, with the
// server's hierarchy delimiter, "" for none) and the attributes LIST gave it. Without
// include all are; exclude is stronger than include. If not, rule says which line of the
// configuration was the reason: exclude "\Junk" or: not in include.
//
// A pattern that begins with a backslash is a special use (RFC 6154), compared without
// case; every other one is matched by Match.
func (a *Account) Selects(name, delimiter string, attrs []string) (ok bool, rule string) {
	hit := func(pattern string) bool {
		if strings.HasPrefix(pattern, `\`) {
			return slices.ContainsFunc(attrs, func(attr string) bool { return strings.EqualFold(attr, pattern) })
		}
		return Match(pattern, name, delimiter)
	}
	if i := slices.IndexFunc(a.Exclude, hit); i >= 0 {
		return false, `exclude "` + a.Exclude[i] + `"`
	}
	if len(a.Include) > 0 && !slices.ContainsFunc(a.Include, hit) {
		return false, "not in include"
	}
	return true, ""
}

// Match tells whether a mailbox name matches a pattern with the wildcards of LIST: * is
// any text, % any text without the delimiter (RFC 9051 6.3.9). INBOX is compared without
// case (RFC 9051 5.1), also as the first part of a name; Unicode normalisation makes no
// difference. It takes time in proportion to the product of both lengths.
func Match(pattern, name, delimiter string) bool {
	if strings.EqualFold(name, inbox) {
		pattern = strings.ToUpper(pattern)
	}
	pattern, name = canonical(pattern, delimiter), canonical(name, delimiter)
	// matched[j] tells whether the pattern so far matches name[:j].
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

const inbox = "INBOX"

// canonical writes INBOX in capitals where it is the name or its first part.
func canonical(name, delimiter string) string {
	name = norm.NFC.String(name)
	if len(name) < len(inbox) || !strings.EqualFold(name[:len(inbox)], inbox) {
		return name
	}
	if rest := name[len(inbox):]; rest == "" || delimiter != "" && strings.HasPrefix(rest, delimiter) {
		return inbox + rest
	}
	return name
}
