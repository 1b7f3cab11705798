// Command bench measures archiverd against a real Dovecot on this machine: wall time,
// CPU time and peak memory of a first run, of a run without changes and of one with 100
// new messages. "make bench" runs it.
//
//	-peers     compares archiverd with other clients on the same server, and with the
//	           limit: a program that only reads and writes ("make bench-peers")
//	-restore   measures archiverd restore into empty accounts, beside the same messages
//	           appended one by one over one connection, and beside the server's own tool
//	-search    measures searches of an archive of -messages small messages, with an index
//	           and without one
//	-memory    measures the memory that one mailbox of -messages messages takes
//
// It builds archiverd, loads a corpus into a private Dovecot and archives it over TLS as a
// person would, into a directory of its own that it removes. Each number is the median of
// several rounds, each with a new archive. The numbers depend most of all on the disk,
// because every commit waits for it. The command prints them and judges nothing.
//
// Layout: main.go flags and the measurement of sync, restore.go, search.go (its archive
// in search_archive.go), memory.go and peers.go the other measurements, peer.go the
// clients and limit.go the limit; measure.go one run of a command, delay.go a round-trip
// time, disk.go a new file system, tb.go the testing.TB that package dovecot needs.
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
	if runAsLimit() {
		return
	}
	testing.Init() // package dovecot calls testing.Short
	messages := flag.Int("messages", 5000, "number of `messages` in the corpus")
	rounds := flag.Int("rounds", 3, "number of `rounds`; the median counts")
	connections := flag.Int("connections", 4, "number of `connections` of archiverd to the server")
	dir := flag.String("dir", os.TempDir(), "`directory` below which the archive is written, on the disk to measure")
	restore := flag.Bool("restore", false, "measure restore")
	search := flag.Bool("search", false, "measure searches, with an index and without one")
	memory := flag.Bool("memory", false, "measure the memory for one mailbox of -messages messages")
	rtt := flag.Duration("rtt", 0, "round-trip `time` to the server; with -peers: measured in addition to 0")
	peers := flag.String("peers", "", "compare with other clients, on the `corpus` small, mid, many or tiny")
	only := flag.String("only", "", "with -peers and -search: regular `expression` that selects clients or queries")
	disk := flag.String("disk", "", "with -peers: make a new ext4 of this `size`, for example 3GiB, for each client and round; needs root")
	patience := flag.Duration("patience", 20*time.Minute, "with -peers: the longest `time` that a run may take")
	flag.Parse()
	// After a signal the cleanups still unmount file systems and stop servers.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	t := &benchTB{context: func() context.Context { return ctx }}
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
			c := comparison{dir: *dir, corpus: *peers, rounds: max(1, *rounds), connections: *connections,
				rtts: rtts, only: pattern, maxTime: *patience, maxRepeatedTime: time.Minute}
			if *disk != "" {
				octets, err := humanize.ParseBytes(*disk)
				if err != nil {
					return err
				}
				c.diskOctets = int64(octets)
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

// newMessages is the number of messages that arrive before the third run of a round.
const newMessages = 100

// bench measures sync and prints the table to out.
func bench(t testing.TB, out io.Writer, dir string, messages, rounds, connections int) (err error) {
	dir, program, remove, err := buildProgram(dir)
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
	results := make([][]measurement, len(kinds))
	for round := range rounds {
		s, err := newInstallation(filepath.Join(dir, fmt.Sprint(round)), program, srv, u, connections)
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

// buildProgram makes a directory below another and builds archiverd in it, as make build
// does. The caller calls remove, which removes the directory and joins its error to the
// one that it gets.
func buildProgram(below string) (dir, program string, remove func(*error), err error) {
	if dir, err = os.MkdirTemp(below, "archiverd-bench-"); err != nil {
		return "", "", nil, err
	}
	program = filepath.Join(dir, "archiverd")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "archiverd/cmd/archiverd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return "", "", nil, errors.Join(fmt.Errorf("go build: %w: %s", err, output), os.RemoveAll(dir))
	}
	return dir, program, func(err *error) { *err = errors.Join(*err, os.RemoveAll(dir)) }, nil
}

// lastUID returns the highest UID in INBOX.
func lastUID(c *dovecot.Client) (last uint32) {
	for _, m := range c.Read("INBOX") {
		last = max(last, m.UID)
	}
	return last
}

// printTable prints the medians of each kind of run. messages and octets are those of the
// first run.
func printTable(out io.Writer, kinds []string, results [][]measurement, messages int, octets int64) error {
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

// median returns the median of each number, which may be of different runs.
func median(list []measurement) (m measurement) {
	by := func(of func(measurement) int64) int64 {
		var numbers []int64
		for _, r := range list {
			numbers = append(numbers, of(r))
		}
		slices.Sort(numbers)
		return numbers[len(numbers)/2]
	}
	return measurement{
		wall: time.Duration(by(func(m measurement) int64 { return int64(m.wall) })),
		cpu:  time.Duration(by(func(m measurement) int64 { return int64(m.cpu) })),
		peak: by(func(m measurement) int64 { return m.peak }),
	}
}

// fileSystem returns the name of the type of file system that dir is on.
func fileSystem(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return "an unknown file system"
	}
	names := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "XFS", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs (in memory: no run waits for a disk)", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}
	if name, ok := names[int64(fs.Type)]; ok {
		return name
	}
	return strings.ToLower(fmt.Sprintf("a file system of type %#x", fs.Type))
}
