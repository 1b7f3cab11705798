package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/testing/dovecot"
)

// corpora are the mail that is copied in a comparison, by name.
var corpora = map[string]struct {
	messages int
	sizes    dovecot.Sizes
}{
	"tiny":  {100, dovecot.Sizes{Median: 5000, Max: 300_000, Spread: 1}},
	"small": {5000, dovecot.Sizes{Median: 5000, Max: 300_000, Spread: 1}},
	"mid":   {20_000, dovecot.Sizes{Median: 10_000, Max: 31e6, Spread: 1.8}},
	"many":  {100_000, dovecot.Sizes{Median: 1800, Max: 100_000, Spread: 0.85}},
}

// comparison is the configuration of a comparison of clients.
type comparison struct {
	dir             string
	corpus          string
	rounds          int
	connections     int
	rtts            []time.Duration
	only            *regexp.Regexp // selects peers by name
	maxTime         time.Duration  // of one run
	maxRepeatedTime time.Duration  // a client that takes longer runs in the first round only
	diskOctets      int64          // size of a new ext4 for each client and round; 0: use dir
}

// phases are the runs of a client in a round.
var phases = [...]string{"initial", "no change", "100 new"}

// roundResult is the result of one client in one round.
type roundResult struct {
	runs  [len(phases)]measurement // a wall of 0: the run failed
	ratio [len(phases)]float64     // to the time of the limit in the same round
	notes []string
}

// benchPeers compares the clients on one server. It prints a table in Markdown for each
// round-trip time to out.
func benchPeers(t testing.TB, out io.Writer, c comparison) (err error) {
	dir, program, remove, err := buildProgram(c.dir)
	if err != nil {
		return err
	}
	defer remove(&err)
	c.dir = dir
	if err := os.Chmod(c.dir, 0o755); err != nil { // some clients run as another user
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	corpus, ok := corpora[c.corpus]
	if !ok {
		return fmt.Errorf("no corpus %q", c.corpus)
	}
	srv := dovecot.Start(t)
	u := srv.User(t, "bench")
	octets := loadCorpus(u.Dial(t), corpus.messages, corpus.sizes)
	var list []peer
	var absent []string
	for _, p := range peers(program, self, c.connections) {
		if p.name != limitName && c.only != nil && !c.only.MatchString(p.name) {
			continue
		}
		if _, err := exec.LookPath(p.program); p.program != "" && err != nil {
			absent = append(absent, p.name)
			continue
		}
		list = append(list, p)
	}
	on := fileSystem(filepath.Clean(c.dir))
	if c.diskOctets > 0 {
		on = "a new ext4 in a file for each client and round, on " + on
	}
	fmt.Fprintf(out, "%s\n", describeMachine(on))
	for _, rtt := range c.rtts {
		addr, err := delayedAddress(t, srv.Addr, rtt)
		if err != nil {
			return err
		}
		l, err := newEndpoint(addr, srv.CAFile, u)
		if err != nil {
			return err
		}
		results, err := c.compare(t, l, list, corpus.messages)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s: %d messages, %s, round-trip time %v\n\n", c.corpus, corpus.messages, humanize.IBytes(uint64(octets)), rtt)
		printPeers(out, list, results)
	}
	if len(absent) > 0 {
		fmt.Fprintf(out, "\nNot installed and not measured: %s.\n", strings.Join(slices.Compact(absent), ", "))
	}
	return nil
}

// loadCorpus appends the messages of a corpus, in parts that fit into memory, and returns
// their octets.
func loadCorpus(c *dovecot.Client, messages int, sizes dovecot.Sizes) (octets int64) {
	const part = 1000
	made := map[string]bool{"INBOX": true}
	for seed := uint64(1); messages > 0; seed++ {
		for _, m := range dovecot.CorpusOf(seed, min(messages, part), sizes) {
			if !made[m.Name] {
				c.Create(m.Name)
				made[m.Name] = true
			}
			c.Append(m.Name, m.Msgs...)
			for _, msg := range m.Msgs {
				octets += msg.Size
			}
		}
		messages -= part
	}
	return octets
}

// compare runs all clients in turn, round by round.
func (c *comparison) compare(t testing.TB, l endpoint, list []peer, messages int) (map[string][]roundResult, error) {
	results := map[string][]roundResult{}
	for round := range c.rounds {
		var limit roundResult
		for _, p := range list {
			if before := results[p.name]; len(before) > 0 && slices.ContainsFunc(before[0].runs[:], func(m measurement) bool { return m.wall > c.maxRepeatedTime }) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s, round %d: %s\n", c.corpus, round+1, p.name)
			r, err := c.measure(t, p, l, messages)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if p.name == limitName {
				limit = r
				if len(r.notes) > 0 {
					return nil, fmt.Errorf("%s: %s", p.name, r.notes[0])
				}
			}
			for i := range phases {
				r.ratio[i] = r.runs[i].wall.Seconds() / limit.runs[i].wall.Seconds()
			}
			results[p.name] = append(results[p.name], r)
		}
	}
	return results, nil
}

// measure runs all phases of one client in a new directory. Afterwards the account is as it
// was before.
func (c *comparison) measure(t testing.TB, p peer, l endpoint, messages int) (r roundResult, err error) {
	dir, err := os.MkdirTemp(c.dir, "peer-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if c.diskOctets > 0 {
		d, err := newTestDisk(dir, c.diskOctets)
		if err != nil {
			return r, err
		}
		dir = d.dir
		defer func() { err = cmp.Or(err, d.remove()) }()
	}
	s, err := p.prepareIn(l, dir)
	if err != nil {
		return r, err
	}
	// Use a connection for each call: a client may run for many minutes in between.
	on := func(do func(*dovecot.Client)) {
		client := l.user.Dial(t)
		defer client.Close()
		do(client)
	}
	var next uint32
	on(func(client *dovecot.Client) { next = uidNext(client) })
	fresh := dovecot.Corpus(1<<32, 5*newMessages)[0].Msgs[:newMessages] // of INBOX
	for i := range phases {
		want := messages
		switch i {
		case 1:
			time.Sleep(p.pause)
		case 2:
			on(func(client *dovecot.Client) { client.Append("INBOX", fresh...) })
			want += newMessages
		}
		if err := syncFileSystem(dir); err != nil { // the run must not wait for earlier writes
			return r, err
		}
		var failed error
		r.runs[i], failed = s.run(t.Context(), c.maxTime)
		if t.Context().Err() != nil {
			return r, context.Cause(t.Context())
		}
		n, err := s.countMessages()
		if err != nil {
			return r, err
		}
		if failed == nil && n != want {
			failed = fmt.Errorf("%d files for %d messages", n, want)
		}
		if failed != nil {
			r.runs[i].wall = 0
			r.notes = append(r.notes, fmt.Sprintf("%s: %v", phases[i], failed))
		}
	}
	on(func(client *dovecot.Client) { expungeFrom(client, next) })
	return r, nil
}

// expungeFrom removes the messages of INBOX from a UID on.
func expungeFrom(client *dovecot.Client, first uint32) {
	var uids []uint32
	for u := first; u < uidNext(client); u++ {
		uids = append(uids, u)
	}
	client.Expunge("INBOX", uids...)
}

var uidNextText = regexp.MustCompile(`UIDNEXT (\d+)`)

// uidNext returns the UIDNEXT of INBOX.
func uidNext(c *dovecot.Client) (next uint32) {
	for _, line := range c.Do("STATUS INBOX (UIDNEXT)") {
		if found := uidNextText.FindStringSubmatch(line); found != nil {
			n, _ := strconv.ParseUint(found[1], 10, 32) // the expression matches digits
			next = uint32(n)
		}
	}
	return next
}

// printPeers prints a table of the medians, and below it the notes.
func printPeers(out io.Writer, list []peer, results map[string][]roundResult) {
	fmt.Fprint(out, "| client | runs |")
	for _, phase := range phases {
		fmt.Fprintf(out, " %s | x limit (minimum to maximum) |", phase)
	}
	fmt.Fprint(out, " CPU, initial | resident, peak | of that private |\n|---|---|", strings.Repeat("---|---|", len(phases)), "---|---|---|\n")
	var notes []string
	for _, p := range list {
		rounds := results[p.name]
		fmt.Fprintf(out, "| %s | %d |", p.name, len(rounds))
		var peak, own int64
		var initial []measurement
		for i := range phases {
			var runs []measurement
			var ratios []float64
			for _, r := range rounds {
				peak, own = max(peak, r.runs[i].peak), max(own, r.runs[i].private)
				if r.runs[i].wall > 0 {
					runs, ratios = append(runs, r.runs[i]), append(ratios, r.ratio[i])
				}
			}
			if len(runs) == 0 {
				fmt.Fprint(out, " failed | |")
				continue
			}
			if i == 0 {
				initial = runs
			}
			slices.Sort(ratios)
			fmt.Fprintf(out, " %.3g s | %.2f (%.2f to %.2f) |", median(runs).wall.Seconds(), ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1])
		}
		cpu := "|"
		if len(initial) > 0 {
			cpu = fmt.Sprintf("%.3g s |", median(initial).cpu.Seconds())
		}
		fmt.Fprintf(out, " %s %s | %s |\n", cpu, humanize.IBytes(uint64(peak)), humanize.IBytes(uint64(own)))
		for _, r := range rounds {
			for _, n := range r.notes {
				notes = append(notes, p.name+": "+n)
			}
		}
	}
	slices.Sort(notes)
	for i, n := range slices.Compact(notes) {
		if i == 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "- %s\n", n)
	}
}

// describeMachine returns a line about the machine and its load.
func describeMachine(fileSystem string) string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
			}
		}
	}
	load, _, _ := strings.Cut(readProc("/proc/loadavg"), " ")
	output, _ := exec.Command("dovecot", "--version").Output() // empty if it is not in PATH
	version, _, _ := strings.Cut(string(output), " ")
	return fmt.Sprintf("%d processors (%s), %s, Linux %s, %s, Dovecot %s; load at the start: %s.",
		runtime.NumCPU(), model, fileSystem, strings.TrimSpace(readProc("/proc/sys/kernel/osrelease")), runtime.Version(), strings.TrimSpace(version), load)
}

// readProc returns the text of a file of /proc, "" if there is none.
func readProc(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}
