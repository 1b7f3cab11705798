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

// restoreWay is a way to bring the messages back into an empty account.
type restoreWay struct {
	name        string
	sameAccount bool // the account of the way before is used, which is full
	run         func(u *dovecot.User) (measurement, error)
	results     []measurement
}

// benchRestore measures the ways back into a Dovecot that syncs its files as it does by
// default, over a connection with the round-trip time rtt. It prints the table to out.
func benchRestore(t testing.TB, out io.Writer, dir string, messages, rounds, connections int, rtt time.Duration) (err error) {
	dir, program, remove, err := buildProgram(dir)
	if err != nil {
		return err
	}
	defer remove(&err)
	srv := dovecot.StartWith(t, dovecot.Options{Extra: "mail_fsync = optimized"})
	source := srv.User(t, "bench")
	corpus := dovecot.Corpus(1, messages)
	source.Dial(t).Load(corpus)
	s, err := newInstallation(filepath.Join(dir, "site"), program, srv, source, connections)
	if err != nil {
		return err
	}
	if _, err := s.run("sync"); err != nil {
		return err
	}
	addr, err := delayedAddress(t, srv.Addr, rtt)
	if err != nil {
		return err
	}
	target := func(u *dovecot.User, connections int) string {
		return "archive:\n  path: archive\naccounts:\n" + accountYAML("target", addr, srv.CAFile, u, connections)
	}
	restore := func(connections int) func(*dovecot.User) (measurement, error) {
		return func(u *dovecot.User) (measurement, error) {
			if err := s.configure(target(u, connections)); err != nil {
				return measurement{}, err
			}
			return s.run("restore", "--from", "bench", "--to", "target", "--yes")
		}
	}
	ways := []*restoreWay{
		{name: fmt.Sprintf("archiverd restore, %d connections", connections), run: restore(connections)},
		{name: "the same again: everything is there", sameAccount: true, run: restore(connections)},
		{name: "archiverd restore, 1 connection", run: restore(1)},
		{name: "APPEND one by one, 1 connection", run: func(u *dovecot.User) (measurement, error) {
			c, err := dovecot.DialAt(t, addr, srv.TLS, u.Name, u.Password)
			if err != nil {
				return measurement{}, err
			}
			defer c.Close()
			return appendAll(c, corpus), nil
		}},
	}
	if rtt == 0 {
		ways = append(ways, &restoreWay{name: "doveadm import, at the server", run: func(u *dovecot.User) (measurement, error) {
			started := time.Now()
			u.ImportFrom(t, source, "mdbox")
			return measurement{wall: time.Since(started)}, nil
		}})
	}
	if err := measureWays(t, srv, ways, rounds); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d messages back into Dovecot over TLS, %v round-trip time; on %s; %d processors; medians of %d, minimum and maximum\n\n",
		messages, rtt, fileSystem(dir), runtime.NumCPU(), rounds)
	return printWays(out, ways)
}

// appendAll appends the messages one by one, as a simple client does.
func appendAll(c *dovecot.Client, corpus []dovecot.Mailbox) measurement {
	started := time.Now()
	for _, box := range corpus {
		if box.Name != "INBOX" {
			c.Create(box.Name)
		}
		for _, m := range box.Msgs {
			c.Append(box.Name, m)
		}
	}
	return measurement{wall: time.Since(started)}
}

// measureWays runs each way in turn, round by round, each with a new account unless it has
// sameAccount.
func measureWays(t testing.TB, srv *dovecot.Server, ways []*restoreWay, rounds int) error {
	for round := range rounds {
		var u *dovecot.User
		for i, w := range ways {
			if !w.sameAccount {
				u = srv.User(t, fmt.Sprintf("r%dw%d", round, i))
			}
			m, err := w.run(u)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.results = append(w.results, m)
		}
	}
	return nil
}

// printWays prints the times of each way, and their ratio to those of the first.
func printWays(out io.Writer, ways []*restoreWay) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\twall\tminimum\tmaximum\trelative to the first\tCPU\tpeak memory\t")
	first := median(ways[0].results).wall
	for _, way := range ways {
		walls := make([]time.Duration, len(way.results))
		for i, m := range way.results {
			walls[i] = m.wall
		}
		m, cpu, peak := median(way.results), "", ""
		if m.peak > 0 {
			cpu, peak = m.cpu.Round(time.Millisecond).String(), humanize.IBytes(uint64(m.peak))
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t%.2f\t%s\t%s\t\n", way.name, m.wall.Round(time.Millisecond), slices.Min(walls).Round(time.Millisecond),
			slices.Max(walls).Round(time.Millisecond), m.wall.Seconds()/first.Seconds(), cpu, peak)
	}
	return w.Flush()
}
