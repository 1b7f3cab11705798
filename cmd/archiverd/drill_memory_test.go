package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
)

// TestDrillMemory drills 400 MB of mail, in messages that the temporary server
// stores in memory and in larger ones: the memory does not depend on the size of the
// mail.
func TestDrillMemory(t *testing.T) {
	t.Parallel()
	const small, large, most = 3000, 100_000_000, 128 << 20
	s := newSiteOnDisk(t) // hundreds of megabytes
	s.program = plainProgram(t)
	file, err := os.Create(filepath.Join(s.dir, "large"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(large); err != nil { // NULs
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
	for i := range small {
		body := fmt.Appendf(make([]byte, 0, 64<<10), "Subject: %d\r\n\r\n", i)
		inbox.Append(imapd.Message{Body: body[:cap(body)], InternalDate: time.Unix(int64(i), 0)})
	}
	for range 2 {
		inbox.Append(imapd.Message{Large: io.NewSectionReader(file, 0, large), InternalDate: time.Unix(1e9, 0)})
	}
	addr, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.configure("accounts:\n", s.account(&dovecot.User{Name: "alice", Password: "secret"}, addr, "tls_ca_file: "+s.write("ca.pem", string(cert.PEM))))
	s.run("sync").want(0)
	p := s.start("drill", "--sample", "all")
	peak := peakMemory(t, p)
	r := p.wait().want(0).prints(fmt.Sprintf("%s messages of 1 mailbox restored and compared, all equal", humanize.Comma(small+2)))
	if peak > most || peak == 0 {
		t.Errorf("the drill took %d octets of memory, want %d at most", peak, most)
	}
	t.Logf("peak memory %d MiB, %v", peak>>20, r.elapsed)
}
