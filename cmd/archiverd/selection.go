package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/pattern"
)

// selectFlags are the flags, as typed, of the commands that select messages of the
// archive. Which accounts are meant is up to the command.
type selectFlags struct {
	mailboxes     []string // patterns
	after, before string
	at, since     string
	gone          bool
}

// add adds the flags to a command.
func (s *selectFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&s.mailboxes, "mailbox", nil, "only mailboxes that match `PATTERN`, * and % as in LIST; may be repeated")
	f.StringVar(&s.after, "after", "", "only messages with an INTERNALDATE at or after `TIME`")
	f.StringVar(&s.before, "before", "", "only messages with an INTERNALDATE before `TIME`")
	f.StringVar(&s.at, "at", "", "the mailboxes as they were at `TIME`, with the messages and flags of that time")
	f.BoolVar(&s.gone, "gone", false, "what the server no longer has, instead of what it has")
	f.StringVar(&s.since, "since", "", "with --gone, only what disappeared at `TIME` or later")
}

// isSet reports whether one of the flags was given, --mailbox aside.
func (s *selectFlags) isSet() bool {
	return s.after != "" || s.before != "" || s.at != "" || s.since != "" || s.gone
}

// selection returns what the flags select of the account with this directory, of all
// accounts if it is empty. Its errors are usage errors.
func (s *selectFlags) selection(account string) (out history.Selection, err error) {
	if slices.Contains(s.mailboxes, "") {
		return out, usage(errors.New("--mailbox: no mailbox has an empty name"))
	}
	out = history.Selection{Account: account, Gone: s.gone}
	if len(s.mailboxes) > 0 {
		out.Mailbox = func(n archive.Name) bool {
			return slices.ContainsFunc(s.mailboxes, func(pattern string) bool { return matchesPattern(pattern, n) })
		}
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
		parse      func(flag, text string) (time.Time, error)
	}{
		{"--after", s.after, &out.After, parseTime}, {"--before", s.before, &out.Before, parseTime},
		{"--at", s.at, &out.At, parseEnd}, {"--since", s.since, &out.Since, parseTime},
	} {
		if *t.to, err = t.parse(t.flag, t.text); err != nil {
			return out, err
		}
	}
	switch {
	case !out.After.IsZero() && !out.Before.IsZero() && !out.After.Before(out.Before):
		err = fmt.Errorf("no message is both after %s and before %s", s.after, s.before)
	case s.since != "" && !s.gone:
		err = errors.New("--since selects by when a message disappeared: use it with --gone")
	case !out.At.IsZero() && out.Since.After(out.At):
		err = fmt.Errorf("--since %s is later than --at %s", s.since, s.at)
	}
	return out, usage(err)
}

// recordNames makes sel record the names of the mailboxes that it is asked about, for
// checkPatterns.
func recordNames(sel *history.Selection) *[]archive.Name {
	names, isSelected := &[]archive.Name{}, sel.Mailbox
	sel.Mailbox = func(n archive.Name) bool {
		*names = append(*names, n)
		return isSelected == nil || isSelected(n)
	}
	return names
}

// checkPatterns returns a usage error if a pattern of --mailbox matches none of the
// names. account is for the message.
func (s *selectFlags) checkPatterns(account string, names []archive.Name) error {
	for _, pattern := range s.mailboxes {
		if !slices.ContainsFunc(names, func(n archive.Name) bool { return matchesPattern(pattern, n) }) {
			var have []string
			for _, n := range names {
				have = append(have, n.Mailbox)
			}
			return usage(fmt.Errorf("no mailbox %q in account %q of the archive; it has %q", pattern, account, have))
		}
	}
	return nil
}

// matchesPattern reports whether a pattern of LIST (RFC 9051, 6.3.9) matches a mailbox's
// name.
func matchesPattern(text string, n archive.Name) bool {
	return pattern.Match(text, n.Mailbox, n.Delimiter)
}
