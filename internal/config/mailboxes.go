package config

import (
	"fmt"
	"slices"
	"strings"

	"archiverd/internal/pattern"
)

// specialUse returns the attributes that a pattern may name: RFC 6154 2, RFC 8457
// and the IANA registry of mailbox name attributes.
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
	if hasInvisible(p) {
		return fmt.Errorf("%q has a control or invisible character", p)
	}
	if !strings.HasPrefix(p, `\`) || slices.ContainsFunc(specialUse(), func(a string) bool { return strings.EqualFold(a, p) }) {
		return nil
	}
	if near := Nearest(p, specialUse()); near != "" {
		return fmt.Errorf("unknown special use %s; did you mean %s?", p, near)
	}
	return fmt.Errorf("unknown special use %s; known are %s", p, strings.Join(specialUse(), " "))
}

// Selects reports whether a mailbox is to be archived, by its name (UTF-8, with the
// server's hierarchy delimiter, "" for none) and the attributes LIST gave it. Without
// include all are; exclude overrides include. If ok is false, rule is the reason:
// exclude "\Junk", or: not in include.
//
// A pattern that begins with a backslash is a special use (RFC 6154), compared without
// case; every other one is matched by [pattern.Match].
func (a *Account) Selects(name, delimiter string, attrs []string) (ok bool, rule string) {
	matches := func(line string) bool {
		if strings.HasPrefix(line, `\`) {
			return slices.ContainsFunc(attrs, func(attr string) bool { return strings.EqualFold(attr, line) })
		}
		return pattern.Match(line, name, delimiter)
	}
	if i := slices.IndexFunc(a.Exclude, matches); i >= 0 {
		return false, `exclude "` + a.Exclude[i] + `"`
	}
	if len(a.Include) > 0 && !slices.ContainsFunc(a.Include, matches) {
		return false, "not in include"
	}
	return true, ""
}
