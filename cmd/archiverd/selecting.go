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

// selecting are the flags, as they were typed, of the commands that select
// messages of the archive: what account is meant is the command's to say.
type selecting struct {
	mailboxes     []string
	after, before string
	at, since     string
	gone          bool
}

// timesHelp says in a command's help how times are written.
const timesHelp = `TIME is RFC 3339, or in the local zone 2026-11-01, "2026-11-01 15:04", today,
yesterday, now, or how long ago: 6h, 3d, 2w, 1y. A date alone is where that day begins,
but after --at (and --until of log) where it ends: --at 2026-11-01 is the mailbox with all that
came that day, --at yesterday that of last midnight.
`

// flags adds the flags to a command.
func (s *selecting) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&s.mailboxes, "mailbox", nil, "only mailboxes that match `PATTERN`, * and % as in LIST; may be repeated")
	f.StringVar(&s.after, "after", "", "only messages with an INTERNALDATE at or after `TIME`")
	f.StringVar(&s.before, "before", "", "only messages with an INTERNALDATE before `TIME`")
	f.StringVar(&s.at, "at", "", "the mailboxes as they were at `TIME`, with the messages and flags of then")
	f.BoolVar(&s.gone, "gone", false, "what the server no longer has, instead of what it has")
	f.StringVar(&s.since, "since", "", "with --gone, only what disappeared at `TIME` or later")
}

// set says whether any of the flags was given, --mailbox aside.
func (s *selecting) set() bool {
	return s.after != "" || s.before != "" || s.at != "" || s.since != "" || s.gone
}

// selection is what the flags select of an account of the archive, which is
// named as its directory; of all with account "".
func (s *selecting) selection(account string) (out history.Selection, err error) {
	for _, p := range s.mailboxes {
		if p == "" {
			return out, usage(errors.New("--mailbox: no mailbox has an empty name"))
		}
	}
	out = history.Selection{Account: account, Gone: s.gone}
	if len(s.mailboxes) > 0 {
		out.Mailbox = func(n archive.Name) bool {
			return slices.ContainsFunc(s.mailboxes, func(pattern string) bool { return matches(pattern, n) })
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
		err = errors.New("--since says when what is gone disappeared: use it with --gone")
	case !out.At.IsZero() && out.Since.After(out.At):
		err = fmt.Errorf("nothing that disappeared since %s had done so at %s", s.since, s.at)
	}
	return out, usage(err)
}

// missing is a usage error if a pattern matches none of the names.
func (s *selecting) missing(account string, names []archive.Name) error {
	for _, pattern := range s.mailboxes {
		if !slices.ContainsFunc(names, func(n archive.Name) bool { return matches(pattern, n) }) {
			return usage(fmt.Errorf("no mailbox %q in account %q of the archive; it has %q", pattern, account, mailboxes(names)))
		}
	}
	return nil
}

// narrowed says in words what the flags leave of the messages of a mailbox.
func (s *selecting) narrowed() (text string) {
	if s.after != "" {
		text += " after " + s.after
	}
	if s.before != "" {
		text += " before " + s.before
	}
	return text
}

// matches says whether a pattern of LIST matches a mailbox's name.
func matches(text string, n archive.Name) bool {
	return pattern.Match(text, n.Mailbox, n.Delimiter)
}

func mailboxes(names []archive.Name) (out []string) {
	for _, n := range names {
		out = append(out, n.Mailbox)
	}
	return out
}
