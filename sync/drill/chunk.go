package drill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"archiverd/archive"
	"archiverd/internal/progress"
	"archiverd/sync/restore"
)

// A portion ends with the message that reaches one of these: imapd holds small
// messages in memory.
const (
	portionMessages = 1000
	portionOctets   = 32 << 20
)

// portions does the sample, a portion at a time. A portion is of mailboxes whose
// names are separated alike, so that a server can be made to which each name goes
// as it is.
func (r *rehearsal) portions(ctx context.Context, shares []int) error {
	byDelimiter := map[string][]int{}
	var order []string
	for i, s := range r.Sources {
		d := s.Name.Delimiter
		if byDelimiter[d] == nil {
			order = append(order, d)
		}
		byDelimiter[d] = append(byDelimiter[d], i)
	}
	for _, delimiter := range order {
		p := portion{delimiter: delimiter}
		for _, i := range byDelimiter[delimiter] {
			if shares[i] == 0 {
				continue
			}
			items, err := r.Sources[i].Load()
			if err != nil {
				r.differs(Difference{Mailbox: r.Sources[i].Name.Mailbox, In: []string{inError}, What: err.Error()})
				continue
			}
			r.result.Mailboxes++
			for _, it := range pick(items, shares[i]) {
				p.add(r.Sources[i].Source, it)
				if p.messages < portionMessages && p.octets < portionOctets {
					continue
				}
				if err := r.rehearse(ctx, p); err != nil {
					return err
				}
				p = portion{delimiter: delimiter}
			}
			r.meter.Change(func(p *progress.Progress) { p.Finished++ })
		}
		if err := r.rehearse(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// portion is what is restored and compared in one go.
type portion struct {
	delimiter string
	parts     []part
	messages  int
	octets    int64
}

// part is a portion's messages of one mailbox.
type part struct {
	restore.Source
	items []restore.Item
	alias string // what the mailbox is called in the drill, where its name is none to rehearse
}

// add adds a message of the mailbox s, which is that of the message before, or new.
func (p *portion) add(s restore.Source, it restore.Item) {
	if n := len(p.parts); n == 0 || p.parts[n-1].Name != s.Name {
		p.parts = append(p.parts, part{Source: s})
	}
	last := &p.parts[len(p.parts)-1]
	last.items = append(last.items, it)
	p.messages++
	p.octets += it.Size
}

// sources are the parts as Restore takes them.
func (p *portion) sources() []restore.Source {
	out := make([]restore.Source, len(p.parts))
	for i, part := range p.parts {
		out[i] = restore.Source{Account: part.Account, Name: part.rehearsed(), Load: func() ([]restore.Item, error) { return part.items, nil }}
	}
	return out
}

// rehearsed is the name under which the mailbox is restored.
func (p *part) rehearsed() archive.Name {
	if p.alias == "" {
		return p.Name
	}
	return archive.Name{Mailbox: p.alias, Delimiter: p.Name.Delimiter}
}

// rehearse restores a portion, reads it back, compares, and removes it.
func (r *rehearsal) rehearse(ctx context.Context, p portion) (err error) {
	if p.messages == 0 {
		return nil
	}
	r.result.Messages += p.messages
	r.aliases(&p)
	r.meter.Change(func(q *progress.Progress) { q.Stage, q.Mailbox = "restoring", p.parts[0].Name.Mailbox })
	job := &restore.Job{Sources: p.sources(), Open: r.Open, Log: slog.New(slog.DiscardHandler)}
	if r.To != nil {
		job.Account, job.Into, job.Slots, job.Log = *r.To, r.Into, r.Slots, r.Log
		defer func() {
			if r.left = r.remove(ctx, p); r.left != nil {
				err = errors.Join(err, r.left)
			}
		}()
	} else {
		server, serr := r.Scratch(delimiterFor(p))
		if serr != nil {
			return fmt.Errorf("start the server to restore to: %w", serr)
		}
		job.Account = server.Account
		defer func() { err = errors.Join(err, server.Close()) }()
	}
	restored, err := job.Run(ctx)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	r.meter.Change(func(q *progress.Progress) { q.Stage = "comparing" })
	back, err := r.readBack(ctx, &job.Account, p)
	if err != nil {
		return fmt.Errorf("read back what was restored: %w", err)
	}
	r.judge(p, restored, back)
	return nil
}

// aliases gives a name to the mailboxes that no server can be asked for by
// theirs. A restore of them needs --map, which is noted.
func (r *rehearsal) aliases(p *portion) {
	for i := range p.parts {
		part := &p.parts[i]
		if !part.Name.Raw && !strings.ContainsAny(part.Name.Mailbox, "\x00\r\n") && !slices.Contains(part.Name.Levels(), "") {
			continue
		}
		part.alias = "drill " + archive.Escape(part.Name.Mailbox+"\x00")
		if d := part.Name.Delimiter; d != "" {
			part.alias = strings.ReplaceAll(part.alias, d, "_")
		}
		r.note("mailbox %q was rehearsed as %q: no server can be relied on to take its own name, so restore it with --map", part.Name.Mailbox, part.alias)
	}
}

// delimiters are what a throw-away server may separate levels with.
const delimiters = "/.|^~+=;,:!_-@#$\\"

// delimiterFor is what a throw-away server separates levels with, so that every
// name of the portion goes to it as it is.
func delimiterFor(p portion) string {
	if len(p.delimiter) == 1 && strings.Contains(delimiters, p.delimiter) {
		return p.delimiter
	}
	for _, d := range delimiters {
		if !slices.ContainsFunc(p.parts, func(part part) bool { return strings.ContainsRune(part.rehearsed().Mailbox, d) }) {
			return string(d)
		}
	}
	return "/"
}
