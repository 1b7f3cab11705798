package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"archiverd/internal/durable"
)

// Adopted is what Adopt did for one mailbox.
type Adopted struct {
	MailboxDir
	Lost  string   // what was wrong; "": nothing
	Found int      // message files that no journal named, and that are in the archive now
	Left  []string // such files that may not be whole, relative to the archive; they stay as they are
	Moved string   // the directory that the mailbox was moved from; "": it was not moved

	journal Checkpoint
}

// damagedName and forgottenName are what a journal is renamed to when its owner goes on
// without it, or forgets the mailbox.
const (
	damagedName   = ".journal.damaged"
	forgottenName = ".journal.forgotten"
)

// Adopt goes on with mailboxes as they are: each gets a journal of what can be trusted of
// its old one and of the whole message files that no journal names, which count as
// archived from then on. isKnown reports whether a message with that sum was archived;
// name is what the mailbox is called if its journal does not tell. The decision is
// recorded in the checkpoints, so that what is lost alarms no more; if these are lost
// themselves they are begun anew. Called again after a crash it does the rest.
//
// Nothing is deleted: a journal that can't be trusted to its end stays beside the new
// one, as .journal.damaged.
func (w *Writer) Adopt(boxes []MailboxDir, isKnown func(Sum) bool, name func(MailboxDir) Name) ([]*Adopted, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.checkpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.stop, ErrNewer) {
		return nil, c.stop
	}
	anew := c.stop != nil
	if anew {
		if err := w.keepAside(".", checkpointsName, ".checkpoints.damaged"); err != nil {
			return nil, err
		}
		c.file, c.stop = newCheckpoints(), nil
	}
	var done []*Adopted
	var lines []checkpointLine
	boxes, err := w.withoutMoved(boxes)
	if err != nil {
		return nil, err
	}
	for _, b := range boxes {
		if w.mailboxes[b.Dir] != nil {
			return done, fmt.Errorf("adopt %s: it is open", b.Dir)
		}
		a, err := w.adopt(b, isKnown, name)
		if err != nil {
			return done, fmt.Errorf("adopt %s: %w", b.Dir, err)
		}
		done = append(done, a)
		if a.Moved != "" {
			lines = append(lines, c.file.forgotten(a.Moved, "moved to "+b.Dir))
		}
		lines = append(lines, checkpointLine{Event: acceptedWord, Mailbox: b.Dir, Journal: a.journal.Journal, Octets: a.journal.Offset, Seal: a.journal.Seal,
			Lost: cmp.Or(a.Lost, "nothing")})
	}
	switch {
	case anew: // also without a line: the file must be what archive.json names
		err = w.beginCheckpoints(newID(), lines)
	case len(lines) > 0:
		err = w.appendCheckpoints(lines)
	}
	if err != nil {
		return nil, err
	}
	for _, a := range done {
		c.ends[a.Dir] = a.journal
		delete(c.losses, a.Dir)
		delete(c.losses, a.Moved)
	}
	return done, nil
}

// withoutMoved returns boxes without the directories from which another of them was moved.
func (w *Writer) withoutMoved(boxes []MailboxDir) ([]MailboxDir, error) {
	file, from := w.checkpoints.file, map[string]bool{}
	for _, b := range boxes {
		id, err := w.journalID(b)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if other := file.dirs[id]; id != "" && other != b.Dir && file.of(b.Dir).Offset == 0 {
			from[other] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(boxes), func(b MailboxDir) bool { return from[b.Dir] }), nil
}

// adopt makes the journal of one mailbox anew, durably.
func (w *Writer) adopt(b MailboxDir, isKnown func(Sum) bool, name func(MailboxDir) Name) (*Adopted, error) {
	out := &Adopted{MailboxDir: b}
	kept, dropsSome, err := w.keptJournal(b, out)
	if err != nil {
		return nil, err
	}
	if err := w.makeDirs(b.Dir); err != nil {
		return nil, err
	}
	found, err := w.findUnnamed(b, kept.named, isKnown, out)
	if err != nil {
		return nil, err
	}
	events := kept.eventsFor(found, func() Name { return name(b) })
	for i := range events {
		events[i].At = laterTime(w.opts.Now().UTC().Truncate(time.Second), kept.lastAt)
	}
	if err := w.syncFound(b, found); err != nil {
		return nil, err
	}
	if dropsSome {
		if err := w.keepAside(b.Dir, journalName, damagedName); err != nil {
			return nil, err
		}
	}
	out.journal, err = w.writeAdopted(b, kept, events)
	return out, err
}

// laterTime is the later one of two times.
func laterTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// keepAside gives the file dir/name a second name, aside or aside with a number, durably.
// It does nothing without the file.
func (w *Writer) keepAside(dir, name, aside string) error {
	for n := 1; ; n++ {
		to := aside
		if n > 1 {
			to = fmt.Sprintf("%s-%d", aside, n)
		}
		err := w.root.Link(path.Join(dir, name), path.Join(dir, to))
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil:
			return durable.SyncDirIn(w.root, dir)
		}
		old, oerr := w.OpenFile(path.Join(dir, name)) // no links here
		if oerr != nil {
			return errors.Join(err, oerr)
		}
		defer old.Close()
		return w.replace(dir, to, func(f *os.File) error {
			_, err := io.Copy(f, old)
			return err
		})
	}
}

// writeAdopted replaces the journal of b with its kept part and the events, durably.
func (w *Writer) writeAdopted(b MailboxDir, k *keptPart, events []Event) (Checkpoint, error) {
	end := k.end
	var text []byte
	if len(events) > 0 {
		var err error
		if text, end, err = encodeCommit(k.end, events); err != nil {
			return Checkpoint{}, err
		}
	}
	old, err := w.OpenFile(b.Journal())
	if err == nil {
		defer old.Close()
	} else if k.end.Offset > 0 || !errors.Is(err, fs.ErrNotExist) {
		return Checkpoint{}, err
	}
	if err := w.step(StepAdopt); err != nil {
		return Checkpoint{}, err
	}
	err = w.replace(b.Dir, journalName, func(f *os.File) error {
		if k.end.Offset > 0 {
			if _, err := io.CopyN(f, old, k.end.Offset); err != nil {
				return err
			}
		}
		_, err := f.Write(text)
		return err
	})
	return Checkpoint{k.id, end}, err
}
