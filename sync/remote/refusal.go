package remote

import (
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/uid"
)

var (
	// ErrNoMailbox is returned when the server lists no mailbox of that name.
	ErrNoMailbox = errors.New("the server has no mailbox of that name")
	// ErrNoMessage is returned when the mailbox has no message of that UID.
	ErrNoMessage = errors.New("the mailbox has no message of that UID")
	// ErrRefused is returned when something is not done because mail could be lost.
	ErrRefused = errors.New("refused")
)

// RefusedError is returned when a mailbox is not deleted because not every
// message in it is proven to be in the archive. It wraps ErrRefused.
type RefusedError struct {
	Mailbox  string
	Messages int // in it
	Unproven []Unproven
}

// maxReasons is how many reasons, or mailboxes, an error names.
const maxReasons = 20

func (e *RefusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: mailbox %q is not deleted, %d of its %s %s not proven to be in the archive:",
		ErrRefused, e.Mailbox, len(e.Unproven), english.Plural(e.Messages, "message", ""), english.PluralWord(len(e.Unproven), "is", "are"))
	for _, line := range Reasons(e.Unproven) {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// Unproven is a message at the server that is not proven to be in the archive.
type Unproven struct {
	Mailbox string `json:"mailbox"`
	UID     uint32 `json:"uid"`
	Reason  string `json:"reason"` // and what to do
	Damage  bool   `json:"damage"` // the archive itself is damaged
}

func (u Unproven) String() string {
	return fmt.Sprintf("mailbox %q, UID %d: %s", u.Mailbox, u.UID, u.Reason)
}

// Reasons returns lines for people that say why messages of one mailbox are not
// proven: one line for each reason, and after maxReasons lines the number of the rest.
func Reasons(list []Unproven) []string {
	var order []string
	of := map[string]*uid.Set{}
	for _, u := range list {
		if of[u.Reason] == nil {
			of[u.Reason] = &uid.Set{}
			order = append(order, u.Reason)
		}
		of[u.Reason].Add(u.UID)
	}
	var out []string
	rest := len(list)
	for _, reason := range order[:min(len(order), maxReasons)] {
		set := of[reason]
		rest -= set.Len()
		if set.Len() == 1 {
			out = append(out, Unproven{Mailbox: list[0].Mailbox, UID: set.Max(), Reason: reason}.String())
			continue
		}
		text := set.String()
		if len(text) > 100 {
			text = text[:strings.LastIndexByte(text[:100], ',')+1] + "…"
		}
		out = append(out, fmt.Sprintf("mailbox %q, %d messages, UIDs %s: %s", list[0].Mailbox, set.Len(), text, reason))
	}
	if rest > 0 {
		out = append(out, fmt.Sprintf("%d more in mailbox %q", rest, list[0].Mailbox))
	}
	return out
}
