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
	"archiverd/internal/testing/dovecot"
)

// peakMemory watches a process until it ends and returns the most octets that it
// had resident. What wait4 tells begins with the memory of the test itself.
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

// TestMemory archives a message of 200 MB with less than 64 MiB of memory: what
// archiverd needs does not depend on how large a message is.
func TestMemory(t *testing.T) {
	t.Parallel()
	const size, most = 200_000_000, 64 << 20
	s := newSiteOnDisk(t) // hundreds of megabytes
	s.program = plainProgram(t)
	large, err := os.Create(filepath.Join(s.dir, "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	sum := sha256.New()
	w := io.MultiWriter(large, sum)
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
	info, err := large.Stat()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := imapd.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	server := imapd.New(imapd.Options{TLS: cert.Server})
	defer server.Close()
	inbox, err := server.AddUser("alice", "secret").Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // one for each connection
		inbox.Append(imapd.Message{Large: io.NewSectionReader(large, 0, info.Size()), InternalDate: time.Unix(1e9, 0)})
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.configure("accounts:\n", s.account(&dovecot.User{Name: "alice", Password: "secret"}, addr, "tls_ca_file: "+s.write("ca.pem", string(cert.PEM))))
	p := s.start("sync")
	peak := peakMemory(t, p)
	p.wait().want(0)
	if peak > most || peak == 0 {
		t.Errorf("4 messages of %d octets took %d octets of memory, want %d at most", info.Size(), peak, most)
	}
	t.Logf("peak memory %d MiB", peak>>20)
	var list []listedMessage
	s.run("list", "--json", "alice", "INBOX").want(0).decode(&list)
	for _, l := range list {
		if l.Size != info.Size() || l.SHA256 != fmt.Sprintf("%x", sum.Sum(nil)) {
			t.Errorf("UID %d has %d octets with SHA-256 %s", l.UID, l.Size, l.SHA256)
		}
	}
	if len(list) != 4 {
		t.Errorf("%d messages, want 4", len(list))
	}
}
