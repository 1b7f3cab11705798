// Command bench measures archiverd against a real Dovecot on this machine: wall
// time, CPU time and peak memory of a first run, of one without changes and of
// one with 100 new messages. It is what "make bench" runs.
//
// With -peers it compares archiverd with other clients on the same server, and with
// the limit: a program that only reads and writes. "make bench-peers" runs that.
//
// With -restore it measures the way back: archiverd restore into empty accounts,
// beside the same messages appended one by one over one connection, and beside the
// server's own tool.
//
// With -search it measures searches of an archive of -messages small messages, with an
// index and without one.
//
// With -memory it measures the memory that one mailbox of -messages messages takes.
//
// Layout: main.go is the course of it, restore.go that of the way back, peers.go that
// of the comparison, peer.go the clients, limit.go the limit, search.go the searches, memory.go the mailbox
// of very many messages, disk.go a new file system, delay.go a line with a round-trip time, measure.go one run of archiverd, tb.go what package dovecot wants
// to be given.
//
// It builds archiverd, loads a corpus into a private Dovecot and archives it over
// TLS as a person would, into a directory of its own that it removes. Each number
// is the median of several rounds, each with a new archive. The numbers depend on the
// disk above all: every commit waits for it. What they are compared with is for
// whoever compares.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"archiverd/internal/testing/dovecot"
)

func main() {
	if isLimit() {
		return
	}
	testing.Init() // package dovecot asks whether tests are to be short
	messages := flag.Int("messages", 5000, "`messages` of the corpus")
	rounds := flag.Int("rounds", 3, "`rounds`, of which the median counts")
	connections := flag.Int("connections", 4, "`connections` of archiverd to the server")
	dir := flag.String("dir", os.TempDir(), "directory below which the archive is written, on the disk to measure")
	restore := flag.Bool("restore", false, "measure the way back")
	search := flag.Bool("search", false, "measure searches, with an index and without one")
	memory := flag.Bool("memory", false, "measure the memory for one mailbox of so many messages")
	rtt := flag.Duration("rtt", 0, "round-trip `time` to the server; with -peers: measured besides 0")
	peers := flag.String("peers", "", "compare with other clients, on the `corpus` small, mid, many or tiny")
	only := flag.String("only", "", "with -peers and -search: `pattern` of the clients' names, or queries, that are wanted")
	disk := flag.String("disk", "", "with -peers: a new ext4 of that `size` for each run, which needs root: 3GiB")
	patience := flag.Duration("patience", 20*time.Minute, "with -peers: longest `time` of one run")
	flag.Parse()
	// What is mounted and started is undone.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	t := &tb{ctx: ctx}
	err := t.run(func() error {
		pattern, err := regexp.Compile(*only)
		if err != nil {
			return err
		}
		if *peers != "" {
			rtts := []time.Duration{0}
			if *rtt > 0 {
				rtts = append(rtts, *rtt)
			}
			c := contest{dir: *dir, corpus: *peers, rounds: max(1, *rounds), connections: *connections,
				rtts: rtts, only: pattern, patience: *patience, slow: time.Minute}
			if *disk != "" {
				octets, err := humanize.ParseBytes(*disk)
				if err != nil {
					return err
				}
				c.disk = int64(octets)
			}
			return benchPeers(t, os.Stdout, c)
		}
		if *memory {
			_, err := benchMemory(t, os.Stdout, *dir, *messages, *connections)
			return err
		}
		if *search {
			return benchSearch(os.Stdout, *dir, *messages, max(1, *rounds), pattern)
		}
		if *restore {
			return benchRestore(t, os.Stdout, *dir, *messages, max(1, *rounds), *connections, *rtt)
		}
		return bench(t, os.Stdout, *dir, *messages, max(1, *rounds), *connections)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// newMessages is how many come in before the third run of a round.
const newMessages = 100

// bench is the whole measurement; the table goes to out.
func bench(t testing.TB, out io.Writer, dir string, messages, rounds, connections int) (err error) {
	dir, program, remove, err := begin(dir)
	if err != nil {
		return err
	}
	defer remove(&err)
	srv := dovecot.Start(t)
	u := srv.User(t, "bench")
	c := u.Dial(t)
	corpus := dovecot.Corpus(1, messages)
	c.Load(corpus)
	var octets int64
	for _, m := range corpus {
		for _, msg := range m.Msgs {
			octets += msg.Size
		}
	}
	fresh := dovecot.Corpus(2, 5*newMessages)[0].Msgs[:newMessages] // of INBOX
	fmt.Fprintf(out, "%d messages, %s, from Dovecot over TLS and %d connections; written to %s; %d processors; medians of %d\n\n",
		messages, humanize.IBytes(uint64(octets)), connections, fileSystem(dir), runtime.NumCPU(), rounds)

	kinds := []string{"first run", "no change", "100 new"}
	results := make([][]measured, len(kinds))
	for round := range rounds {
		s, err := newSite(filepath.Join(dir, fmt.Sprint(round)), program, srv, u, connections)
		if err != nil {
			return err
		}
		last := uint32(0)
		for i := range kinds {
			if i == 2 {
				last = lastUID(c)
				c.Append("INBOX", fresh...)
			}
			m, err := s.run("sync")
			if err != nil {
				return fmt.Errorf("%s: %w", kinds[i], err)
			}
			results[i] = append(results[i], m)
		}
		var uids []uint32
		for _, m := range c.Read("INBOX") {
			if m.UID > last {
				uids = append(uids, m.UID)
			}
		}
		c.Expunge("INBOX", uids...)
		if err := os.RemoveAll(s.dir); err != nil {
			return err
		}
	}
	return printTable(out, kinds, results, messages, octets)
}

// begin makes a directory below another, with archiverd built in it as make build does. remove removes it;
// what fails then is added to the error that it is given.
func begin(below string) (dir, program string, remove func(*error), err error) {
	if dir, err = os.MkdirTemp(below, "archiverd-bench-"); err != nil {
		return "", "", nil, err
	}
	program = filepath.Join(dir, "archiverd")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "archiverd/cmd/archiverd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return "", "", nil, errors.Join(fmt.Errorf("go build: %w: %s", err, said), os.RemoveAll(dir))
	}
	return dir, program, func(err *error) { *err = errors.Join(*err, os.RemoveAll(dir)) }, nil
}

// lastUID is the highest UID in INBOX.
func lastUID(c *dovecot.Client) (last uint32) {
	for _, m := range c.Read("INBOX") {
		last = max(last, m.UID)
	}
	return last
}

func printTable(out io.Writer, kinds []string, results [][]measured, messages int, octets int64) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\twall\tCPU\tpeak memory\tmessages/s\toctets/s\t")
	for i, kind := range kinds {
		m := median(results[i])
		rate, speed := "", ""
		if i == 0 {
			rate = fmt.Sprintf("%.0f", float64(messages)/m.wall.Seconds())
			speed = humanize.IBytes(uint64(float64(octets) / m.wall.Seconds()))
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t%s\t%s\t%s\t\n", kind, m.wall.Round(time.Millisecond), m.cpu.Round(time.Millisecond),
			humanize.IBytes(uint64(m.peak)), rate, speed)
	}
	return w.Flush()
}

// median is the median of each number by itself.
func median(list []measured) (m measured) {
	by := func(of func(measured) int64) int64 {
		var numbers []int64
		for _, r := range list {
			numbers = append(numbers, of(r))
		}
		slices.Sort(numbers)
		return numbers[len(numbers)/2]
	}
	return measured{
		wall: time.Duration(by(func(m measured) int64 { return int64(m.wall) })),
		cpu:  time.Duration(by(func(m measured) int64 { return int64(m.cpu) })),
		peak: by(func(m measured) int64 { return m.peak }),
	}
}

// fileSystem names the kind of the file system that dir is on.
func fileSystem(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "an unknown file system"
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs (memory: no disk is waited for)", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
	if name, ok := names[int64(fs.Type)]; ok {
		return name
	}
	return strings.ToLower(fmt.Sprintf("a file system of type %#x", fs.Type))
}
