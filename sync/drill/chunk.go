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

// A chunk ends with the message that reaches one of these limits, because imapd keeps
// small messages in memory.
const (
	maxChunk       = 1000     // messages
	maxChunkOctets = 32 << 20 // octets
)

// chunk is the messages that are restored and compared together. Its mailboxes have
// the same delimiter, so that one server can have all of their names unchanged.
type chunk struct {
	delimiter string
	parts     []part
	messages  int
	octets    int64
}

// part is a chunk's messages of one mailbox.
type part struct {
	restore.Source
	items []restore.Item
	alias string // the mailbox's name in the drill, where no server takes its own; "": its own is used
}

// add adds a message of mailbox s. Messages come mailbox by mailbox: one of another
// mailbox than the last begins a new part.
func (ch *chunk) add(s restore.Source, it restore.Item) {
	if n := len(ch.parts); n == 0 || ch.parts[n-1].Name != s.Name {
		ch.parts = append(ch.parts, part{Source: s})
	}
	last := &ch.parts[len(ch.parts)-1]
	last.items = append(last.items, it)
	ch.messages++
	ch.octets += it.Size
}

// sources returns the parts as sources of a restore.
func (ch *chunk) sources() []restore.Source {
	sources := make([]restore.Source, len(ch.parts))
	for i, part := range ch.parts {
		sources[i] = restore.Source{Account: part.Account, Name: part.name(), Load: func() ([]restore.Item, error) { return part.items, nil }}
	}
	return sources
}

// name returns the name under which the mailbox is restored.
func (p *part) name() archive.Name {
	if p.alias == "" {
		return p.Name
	}
	return archive.Name{Mailbox: p.alias, Delimiter: p.Name.Delimiter}
}

// runChunks draws the sample and runs it chunk by chunk. shares says how many
// messages of each source are taken.
func (r *run) runChunks(ctx context.Context, shares []int) error {
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
		ch := chunk{delimiter: delimiter}
		for _, i := range byDelimiter[delimiter] {
			if shares[i] == 0 {
				continue
			}
			items, err := r.Sources[i].Load()
			if err != nil {
				r.addDifference(Difference{Mailbox: r.Sources[i].Name.Mailbox, In: []string{inError}, What: err.Error()})
				continue
			}
			r.result.Mailboxes++
			for _, it := range sampleItems(items, shares[i]) {
				ch.add(r.Sources[i].Source, it)
				if ch.messages < maxChunk && ch.octets < maxChunkOctets {
					continue
				}
				if err := r.runChunk(ctx, ch); err != nil {
					return err
				}
				ch = chunk{delimiter: delimiter}
			}
			r.meter.Change(func(p *progress.Progress) { p.Finished++ })
		}
		if err := r.runChunk(ctx, ch); err != nil {
			return err
		}
	}
	return nil
}

// runChunk restores a chunk, reads it back, compares it, and removes it.
func (r *run) runChunk(ctx context.Context, ch chunk) (err error) {
	if ch.messages == 0 {
		return nil
	}
	r.result.Messages += ch.messages
	r.setAliases(&ch)
	r.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailbox = "restoring", ch.parts[0].Name.Mailbox })
	job := &restore.Job{Sources: ch.sources(), Open: r.Open, Temporary: true, Log: slog.New(slog.DiscardHandler)}
	if r.To != nil {
		job.Account, job.Into, job.Slots, job.Log = *r.To, r.Into, r.Slots, r.Log
		defer func() {
			if r.removeErr = r.remove(ctx, ch); r.removeErr != nil {
				err = errors.Join(err, r.removeErr)
			}
		}()
	} else {
		server, serr := r.Scratch(delimiterFor(ch))
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
	r.meter.Change(func(p *progress.Progress) { p.Stage = "comparing" })
	back, err := r.readBack(ctx, &job.Account, ch)
	if err != nil {
		return fmt.Errorf("read back what was restored: %w", err)
	}
	r.compareChunk(ch, restored, back)
	return nil
}

// setAliases gives another name to mailboxes that no server can be asked for by
// theirs, and adds a note: a restore of such a mailbox needs --map.
func (r *run) setAliases(ch *chunk) {
	for i := range ch.parts {
		part := &ch.parts[i]
		if !part.Name.Raw && !strings.ContainsAny(part.Name.Mailbox, "\x00\r\n") && !slices.Contains(part.Name.Levels(), "") {
			continue
		}
		part.alias = "drill " + archive.Escape(part.Name.Mailbox+"\x00")
		if d := part.Name.Delimiter; d != "" {
			part.alias = strings.ReplaceAll(part.alias, d, "_")
		}
		r.addNote("mailbox %q was rehearsed as %q: no server can be relied on to take its own name, so restore it with --map", part.Name.Mailbox, part.alias)
	}
}

// delimiters are those that a throw-away server may have.
const delimiters = "/.|^~+=;,:!_-@#$\\"

// delimiterFor returns the delimiter of a throw-away server to which every name of
// the chunk goes as it is, if there is one.
func delimiterFor(ch chunk) string {
	if len(ch.delimiter) == 1 && strings.Contains(delimiters, ch.delimiter) {
		return ch.delimiter
	}
	for _, d := range delimiters {
		if !slices.ContainsFunc(ch.parts, func(p part) bool { return strings.ContainsRune(p.name().Mailbox, d) }) {
			return string(d)
		}
	}
	return "/"
}
