package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestVerifyBesideAWriter: verify runs over and over while a writer commits, writes and
// packs checkpoints, goes on with a mailbox as it is, and forgets and deletes others: it
// never finds damage, and never fails.
func TestVerifyBesideAWriter(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 15
	}
	dir := filepath.Join(t.TempDir(), "archive")
	shut(t, open(t, dir, Options{})) // the last look comes when all is done
	done, finished := make(chan struct{}), make(chan struct{})
	looks := 0
	go func() {
		defer close(finished)
		for {
			if err := alarm(dir); err != nil {
				t.Errorf("look %d: %v", looks, err)
				return
			}
			looks++
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	for round := range rounds {
		writeBeside(t, dir, round)
		if t.Failed() {
			break
		}
	}
	close(done)
	<-finished
	t.Logf("%d looks", looks)
}

// alarm returns the first damage that verify finds, in the order in which the command
// reads.
func alarm(dir string) error {
	a, err := Open(dir)
	if err != nil {
		return err
	}
	defer a.Close()
	whole, err := a.VerifyCheckpoints()
	if err != nil {
		return err
	}
	c, err := a.ReadCheckpoints()
	if err != nil {
		return err
	}
	boxes, err := a.ToVerify(c, "")
	if err != nil {
		return err
	}
	results := []*VerifyResult{whole}
	for _, b := range boxes {
		v, err := a.Verify(context.Background(), b, VerifyOptions{Checkpoints: c})
		if err != nil {
			return err
		}
		results = append(results, v)
	}
	for _, v := range results {
		for _, f := range v.Findings {
			if f.Damage {
				return fmt.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
	}
	return nil
}

// writeBeside is one round of the writer: a run of three mailboxes, then its owner's
// decisions about two of them.
func writeBeside(t *testing.T, dir string, round int) {
	t.Helper()
	w := openOnly(t, dir, Options{})
	defer shut(t, w)
	w.checkpoints.maxSize = 2000
	if err := w.CheckCheckpoints(CheckpointsMark{}); err != nil {
		t.Fatal(err)
	}
	for run := range 2 {
		var batches []*Batch
		for _, name := range []string{"INBOX", "Adopted", "Adopted/Forgotten", "Forgotten"} {
			m := mailbox(t, w, name)
			b := begin(t, m)
			if m.end().Offset == 0 {
				b.Record(opened(name, 1))
			}
			add(t, b, uint32(2*round+run+1), fmt.Sprintf("%s, message %d.%d", name, round, run))
			batches = append(batches, b)
		}
		commit(t, w, batches...)
		for _, b := range batches {
			if err := b.mailbox.Release(); err != nil {
				t.Fatal(err)
			}
		}
		checkpoint(t, w)
	}
	// An interrupted write left a message file in the mailbox that is adopted.
	month := filepath.Join(dir, "alice", "Adopted", "2026-11")
	if err := os.MkdirAll(month, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, fmt.Appendf(nil, "found %d", round), month, fmt.Sprintf("20261122T190000Z.1.%d.eml", 100000+round))
	adopted := MailboxDir{"alice", "alice/Adopted"}
	if _, err := w.Adopt([]MailboxDir{adopted}, knowsNothing, nameOf); err != nil {
		t.Fatal(err)
	}
	forgotten := []MailboxDir{{"alice", "alice/Adopted/Forgotten"}, {"alice", "alice/Forgotten"}}
	if _, err := w.Forget(forgotten, "removed", round%3 > 0); err != nil {
		t.Fatal(err)
	}
}
