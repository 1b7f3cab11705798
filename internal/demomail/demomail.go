// Package demomail is a small mail account to show things with: mailboxes and
// messages that were written for archiverd, and go with the binary.
//
// The messages lie in mail/, each byte for byte as a server would send it, and
// index.json there says which mailbox holds which of them, with what flags and
// INTERNALDATE. Mailbox names and subjects come in several scripts; there are
// attachments, a message within a message, one in bare LFs, one with NULs and no
// line end at its end, one without any header, and one that stands in two mailboxes.
// All addresses are in example.com, example.net and example.org.
//
// The package knows the mail, not what to do with it: it speaks no IMAP.
package demomail

import (
	"embed"
	"encoding/json"
	"fmt"
	"time"
)

//go:embed mail/*.eml mail/index.json
var files embed.FS

// Mailbox is a mailbox of the account: its true name, with "/" between the levels,
// and its attributes as in LIST (\Noselect, and the special uses of RFC 6154).
type Mailbox struct {
	Name  string   `json:"name"`
	Attrs []string `json:"attrs"`
}

// Item is one message in one mailbox.
type Item struct {
	Mailbox      string
	File         string // in mail/
	Flags        []string
	InternalDate time.Time // with its zone
	Body         []byte    // the octets
}

type index struct {
	Mailboxes []Mailbox
	Messages  []entry
	Later     []entry
}

type entry struct {
	Mailbox string   `json:"mailbox"`
	File    string   `json:"file"`
	Flags   []string `json:"flags"`
	Date    string   `json:"date"` // as IMAP writes it
}

// Mailboxes returns all mailboxes, parents before children.
func Mailboxes() ([]Mailbox, error) {
	x, err := read()
	return x.Mailboxes, err
}

// Load returns the messages that are there from the start, each mailbox's in their order.
func Load() ([]Item, error) {
	x, err := read()
	if err != nil {
		return nil, err
	}
	return items(x.Messages)
}

// Later returns the messages that arrive later, in their order.
func Later() ([]Item, error) {
	x, err := read()
	if err != nil {
		return nil, err
	}
	return items(x.Later)
}

func read() (index, error) {
	var x index
	text, err := files.ReadFile("mail/index.json")
	if err == nil {
		err = json.Unmarshal(text, &x)
	}
	if err != nil {
		return index{}, fmt.Errorf("read demo mail: %w", err)
	}
	return x, nil
}

func items(entries []entry) ([]Item, error) {
	var all []Item
	for _, e := range entries {
		date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", e.Date)
		if err != nil {
			return nil, fmt.Errorf("read demo mail %s: %w", e.File, err)
		}
		body, err := files.ReadFile("mail/" + e.File)
		if err != nil {
			return nil, fmt.Errorf("read demo mail: %w", err)
		}
		all = append(all, Item{Mailbox: e.Mailbox, File: e.File, Flags: e.Flags, InternalDate: date, Body: body})
	}
	return all, nil
}
