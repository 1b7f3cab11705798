// Package demomail is a small mail account for demonstrations: mailboxes and messages
// that were written for archiverd and are embedded in the binary.
//
// The messages lie in mail/, octet for octet as a server sends them. index.json there
// lists the mailbox, flags and INTERNALDATE of each. Names and subjects are in several
// scripts; there are attachments, a message within a message, one with bare LFs, one
// with NULs and without a line end at its end, one without a header, and one that is in
// two mailboxes. All addresses are in example.com, example.net and example.org.
//
// The package has no server: package imapd serves the messages.
package demomail

import (
	"embed"
	"encoding/json"
	"fmt"
	"time"
)

//go:embed mail/*.eml mail/index.json
var files embed.FS

// Mailbox is a mailbox of the account: its name in UTF-8, with "/" between the
// levels, and its attributes as in LIST (\Noselect, and the special uses of RFC
// 6154).
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
	Date    string   `json:"date"` // RFC 9051 9, date-time
}

// Mailboxes returns all mailboxes, parents before children.
func Mailboxes() ([]Mailbox, error) {
	x, err := read()
	return x.Mailboxes, err
}

// Load returns the messages that the account has at the start, in the order of their
// UIDs.
func Load() ([]Item, error) {
	x, err := read()
	if err != nil {
		return nil, err
	}
	return items(x.Messages)
}

// Later returns the messages that arrive later, in the order of their arrival.
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
