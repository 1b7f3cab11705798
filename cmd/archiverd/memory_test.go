package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"archiverd/internal/imapd"
)

// peakMemory watches a process until it ends and returns the peak of its resident
// memory in octets. The peak that wait4 reports includes the test's own memory before exec.
func peakMemory(t *testing.T, p *process) (peak int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if found := highWater.FindSubmatch(status); err == nil && found != nil {
			kib, err := strconv.Atoi(string(found[1]))
			if err != nil {
				t.Fatal(err)
			}
			peak = kib << 10
		}
		select {
		case <-p.done:
			return peak
		case <-tick.C:
		}
	}
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// largeFile writes a message of at least size octets, of which no two lines are the
// same, and returns it with its size and its SHA-256 in hex. The end of the test closes it.
func largeFile(t *testing.T, path string, size int) (file *os.File, octets int64, sum string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	hash := sha256.New()
	w := io.MultiWriter(file, hash)
	line := []byte("all work and no play makes a long message, of which no line is the same: 0000000000\r\n")
	var block bytes.Buffer
	for n := 0; n < size; n += block.Len() {
		block.Reset()
		for i := range 1000 {
			copy(line[len(line)-12:], fmt.Sprintf("%010d", n+i))
			block.Write(line)
		}
		if _, err := w.Write(block.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return file, info.Size(), fmt.Sprintf("%x", hash.Sum(nil))
}

// TestMemory archives messages of 200 MB with less than 64 MiB of memory: what
// archiverd needs does not depend on the size of a message.
func TestMemory(t *testing.T) {
	t.Parallel()
	const size, maxMemory, messages = 200_000_000, 64 << 20, 4
	s := newSiteOnDisk(t) // hundreds of megabytes
	s.program = plainProgram(t)
	large, octets, sum := largeFile(t, filepath.Join(s.dir, "large"), size)
	server := newIMAPServer(t, imapd.Options{})
	inbox := server.mailbox(server.AddUser("alice", "secret"), "INBOX")
	for range messages { // one for each connection
		inbox.Append(imapd.Message{Large: io.NewSectionReader(large, 0, octets), InternalDate: time.Unix(1e9, 0)})
	}
	s.configureAlice(server)
	p := s.start("sync")
	peak := peakMemory(t, p)
	p.wait().want(0)
	if peak > maxMemory || peak == 0 {
		t.Errorf("%d messages of %d octets took %d octets of memory, want %d at most", messages, octets, peak, maxMemory)
	}
	t.Logf("peak memory %d MiB", peak>>20)
	var list []listedMessage
	s.run("list", "--json", "alice", "INBOX").want(0).decode(&list)
	for _, l := range list {
		if l.Size != octets || l.SHA256 != sum {
			t.Errorf("UID %d has %d octets with SHA-256 %s", l.UID, l.Size, l.SHA256)
		}
	}
	if len(list) != messages {
		t.Errorf("%d messages, want %d", len(list), messages)
	}
}
