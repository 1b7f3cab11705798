package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/testing/dovecot"
)

// way is a way to bring the messages back into an account that is empty, but for
// again, which is given the one of the way before.
type way struct {
	name  string
	again bool
	take  func(u *dovecot.User) (measured, error)
	took  []measured
}

// benchRestore measures the ways back into a Dovecot that writes to the disk as it
// does by default, over a line with that round-trip time; the table goes to out.
func benchRestore(t testing.TB, out io.Writer, dir string, messages, rounds, connections int, rtt time.Duration) (err error) {
	dir, program, remove, err := begin(dir)
	if err != nil {
		return err
	}
	defer remove(&err)
	srv := dovecot.StartWith(t, dovecot.Options{Extra: "mail_fsync = optimized"})
	source := srv.User(t, "bench")
	corpus := dovecot.Corpus(1, messages)
	source.Dial(t).Load(corpus)
	s, err := newSite(filepath.Join(dir, "site"), program, srv, source, connections)
	if err != nil {
		return err
	}
	if _, err := s.run("sync"); err != nil {
		return err
	}
	addr, err := delayed(t, srv.Addr, rtt)
	if err != nil {
		return err
	}
	target := func(u *dovecot.User, connections int) string {
		return "archive:\n  path: archive\naccounts:\n" + entry("target", addr, srv.CAFile, u, connections)
	}
	restore := func(connections int) func(*dovecot.User) (measured, error) {
		return func(u *dovecot.User) (measured, error) {
			if err := s.configure(target(u, connections)); err != nil {
				return measured{}, err
			}
			return s.run("restore", "--from", "bench", "--to", "target", "--yes")
		}
	}
	ways := []*way{
		{name: fmt.Sprintf("archiverd restore, %d connections", connections), take: restore(connections)},
		{name: "the same again: all is there", again: true, take: restore(connections)},
		{name: "archiverd restore, 1 connection", take: restore(1)},
		{name: "APPEND one by one, 1 connection", take: func(u *dovecot.User) (measured, error) {
			c, err := dovecot.DialAt(t, addr, srv.TLS, u.Name, u.Password)
			if err != nil {
				return measured{}, err
			}
			defer c.Close()
			return appendAll(c, corpus), nil
		}},
	}
	if rtt == 0 {
		ways = append(ways, &way{name: "doveadm import, at the server", take: func(u *dovecot.User) (measured, error) {
			began := time.Now()
			u.ImportFrom(t, source, "mdbox")
			return measured{wall: time.Since(began)}, nil
		}})
	}
	if err := measureWays(t, srv, ways, rounds); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d messages back into Dovecot over TLS, %v round-trip time; on %s; %d processors; medians of %d, and the least and the most\n\n",
		messages, rtt, fileSystem(dir), runtime.NumCPU(), rounds)
	return printWays(out, ways)
}

// appendAll appends the messages one by one, as a simple client does.
func appendAll(c *dovecot.Client, corpus []dovecot.Mailbox) measured {
	began := time.Now()
	for _, box := range corpus {
		if box.Name != "INBOX" {
			c.Create(box.Name)
		}
		for _, m := range box.Msgs {
			c.Append(box.Name, m)
		}
	}
	return measured{wall: time.Since(began)}
}

// measureWays runs each way in turn, round by round, with a new account for each but
// those that continue with the account of the way before.
func measureWays(t testing.TB, srv *dovecot.Server, ways []*way, rounds int) error {
	for round := range rounds {
		var u *dovecot.User
		for i, w := range ways {
			if !w.again {
				u = srv.User(t, fmt.Sprintf("r%dw%d", round, i))
			}
			m, err := w.take(u)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.took = append(w.took, m)
		}
	}
	return nil
}

// printWays prints what each way took, and how often that goes into the time of
// archiverd's first.
func printWays(out io.Writer, ways []*way) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\twall\tleast\tmost\tto the first\tCPU\tpeak memory\t")
	first := median(ways[0].took).wall
	for _, way := range ways {
		walls := make([]time.Duration, len(way.took))
		for i, m := range way.took {
			walls[i] = m.wall
		}
		m, cpu, peak := median(way.took), "", ""
		if m.peak > 0 {
			cpu, peak = m.cpu.Round(time.Millisecond).String(), humanize.IBytes(uint64(m.peak))
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t%.2f\t%s\t%s\t\n", way.name, m.wall.Round(time.Millisecond), slices.Min(walls).Round(time.Millisecond),
			slices.Max(walls).Round(time.Millisecond), m.wall.Seconds()/first.Seconds(), cpu, peak)
	}
	return w.Flush()
}
