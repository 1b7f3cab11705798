package wire

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
	"archiverd/internal/uid"
	"archiverd/internal/utf7"
)

// corpusMessages returns 300 messages of all kinds with flags, keywords and dates, among
// them one of 20 MB. All lines end in CRLF.
func corpusMessages() []dovecot.Msg {
	var msgs []dovecot.Msg
	for _, m := range dovecot.Corpus(3, 299) {
		msgs = append(msgs, m.Msgs...)
	}
	line := make([]byte, 64)
	random := rand.New(rand.NewPCG(1, 2))
	big := bytes.NewBufferString("Subject: big\r\n\r\n")
	for big.Len() < 20<<20 {
		for i := range line {
			line[i] = 'a' + byte(random.IntN(26))
		}
		big.Write(line)
		big.WriteString("\r\n")
	}
	return slices.Insert(msgs, 150, dovecot.Msg{
		Flags: []string{"$MDNSent", `\Flagged`, "big-one"}, Date: time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("", 5*3600+45*60)),
		Body: big.Bytes(), Size: int64(big.Len()), SHA256: sha256.Sum256(big.Bytes()),
	})
}

// toAppend returns msgs as messages to append.
func toAppend(msgs []dovecot.Msg) []AppendMessage {
	var out []AppendMessage
	for _, m := range msgs {
		out = append(out, AppendMessage{Flags: m.Flags, Date: m.Date, Size: m.Size, Body: bytes.NewReader(m.Body)})
	}
	return out
}

// checkAppended compares an open mailbox with the messages appended to it.
func checkAppended(t *testing.T, c *Conn, e Selected, want []dovecot.Msg, out []Appended) {
	t.Helper()
	var set uid.Set
	for i, o := range out {
		if o.State != AppendDone || o.UIDValidity != e.UIDValidity || o.UID == 0 || set.Contains(o.UID) {
			t.Fatalf("message %d: %+v", i, o)
		}
		set.Add(o.UID)
	}
	metadata, sums, err := fetchAll(t.Context(), c, set)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		u := out[i].UID
		flags := slices.Sorted(slices.Values(w.Flags))
		if m := metadata[u]; !slices.Equal(m.Flags, flags) || !m.InternalDate.Equal(w.Date) || m.Size != w.Size {
			t.Errorf("message %d, UID %d: %+v, want %v %v %d", i, u, m, flags, w.Date, w.Size)
		}
		if sums[u] != w.SHA256 {
			t.Errorf("message %d, UID %d: other octets", i, u)
		}
	}
}

// Dovecot has MULTIAPPEND and LITERAL+. Flags, dates and octets of appended messages are
// as they were sent, and a refused APPEND leaves the connection usable.
func TestAppendToDovecot(t *testing.T) {
	server := dovecot.Start(t)
	user := server.User(t, "append")
	corpus := corpusMessages()
	for _, c := range []struct {
		name     string // of the mailbox
		security Security
		address  string
	}{{"Entwürfe & mehr", TLS, server.Addr}, {"plain", Plaintext, server.PlainAddr}} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialAndLogin(t, Options{Address: c.address, Security: c.security, TLS: server.TLS}, user.Name, user.Password)
			if !conn.HasCapability("MULTIAPPEND") || !conn.HasCapability("LITERAL+") {
				t.Fatal("this Dovecot has no MULTIAPPEND or no LITERAL+")
			}
			witness := user.Dial(t)
			appendCorpus(t, conn, witness, c.name, corpus)
			appendRefused(t, conn, witness, c.name)
		})
	}
}

// appendCorpus appends want to a new mailbox, and compares what the client and the
// witness read there. The mailbox is open for writing afterwards.
func appendCorpus(t *testing.T, c *Conn, witness *dovecot.Client, name string, want []dovecot.Msg) {
	t.Helper()
	wireName := utf7.Encode(name)
	out, err := c.Append(t.Context(), wireName, toAppend(want))
	if err != nil || out[0].State != AppendRefused || out[299].State != AppendRefused || out[0].Err.(*Error).Code != "TRYCREATE" {
		t.Fatalf("Append to no mailbox: %+v, %v", out[0], err)
	}
	if err := c.Create(t.Context(), wireName); err != nil {
		t.Fatal(err)
	}
	out, err = c.Append(t.Context(), wireName, toAppend(want))
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Select(t.Context(), wireName)
	if err != nil || e.ReadOnly || e.Messages != 300 || !e.HasPermanentFlags || !e.AllowsNewKeywords || !slices.Contains(e.PermanentFlags, "big-one") {
		t.Errorf("Select = %+v, %v", e, err)
	}
	checkAppended(t, c, e, want, out)
	got := witness.Read(name)
	for i, w := range want {
		if g := got[i]; g.UID != out[i].UID || g.SHA256 != w.SHA256 || !g.Date.Equal(w.Date) || !slices.Equal(g.Flags, slices.Sorted(slices.Values(w.Flags))) {
			t.Errorf("the witness has %+v, want %+v", g, w)
		}
	}
}

// appendRefused appends messages that Dovecot refuses to the open mailbox with the 300
// messages of appendCorpus.
func appendRefused(t *testing.T, c *Conn, witness *dovecot.Client, name string) {
	t.Helper()
	wireName := utf7.Encode(name)
	// An empty message among others is refused alone.
	out, err := c.Append(t.Context(), wireName, []AppendMessage{message("a: b\r\n\r\n"), message(""), message("c: d\r\n\r\n")})
	if err != nil || states(out) != "drd" {
		t.Errorf("Append = %s, %v", states(out), err)
	}
	// A flag that is refused costs all messages of the command.
	for _, bad := range []AppendMessage{message("x DELETE INBOX\r\ny NOOP\r\n", strings.Repeat("k", 1000)), message("x DELETE INBOX\r\ny NOOP\r\n", `\XFoo`)} {
		out, err = c.Append(t.Context(), wireName, []AppendMessage{message("e: f\r\n\r\n"), bad, message(strings.Repeat("g", 1<<20))})
		if err != nil || states(out) != "rrr" {
			t.Errorf("Append = %s, %v", states(out), err)
		}
	}
	if s, err := c.Status(t.Context(), wireName); err != nil || s.Messages != 302 {
		t.Errorf("Status = %+v, %v", s, err)
	}
	// Nothing is appended if a body ends too soon.
	short := AppendMessage{Size: 1 << 20, Body: strings.NewReader("short")}
	if out, err := c.Append(t.Context(), wireName, []AppendMessage{message("h: i\r\n\r\n"), short}); err == nil || states(out) != "nn" {
		t.Errorf("Append = %s, %v", states(out), err)
	}
	if n := len(witness.Read(name)); n != 302 {
		t.Errorf("%d messages", n)
	}
}

// Package imapd has LITERAL+ but no MULTIAPPEND: Append sends a command for each message
// without waiting for the answers. The server stores octets that others refuse.
func TestAppendToImapd(t *testing.T) {
	server := imapd.New(imapd.Options{SpoolDir: t.TempDir()})
	defer server.Close()
	user := server.AddUser("alice", "secret")
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := dialAndLogin(t, Options{Address: address, Security: Plaintext}, "alice", "secret")
	if c.HasCapability("MULTIAPPEND") || !c.HasCapability("LITERAL+") {
		t.Fatal("the capabilities of package imapd changed")
	}
	want := corpusMessages()
	odd := [][]byte{[]byte("NUL \x00 and bare \n and \r"), nil, []byte("no line end"), []byte("\x80\xff"), []byte("{5+}\r\n")}
	for _, file := range dovecot.Mail(t) {
		odd = append(odd, file.Data)
	}
	for _, body := range odd {
		want = append(want, dovecot.Msg{Body: body, Size: int64(len(body)), Date: time.Date(2000, 1, 2, 3, 4, 5, 0, time.UTC), SHA256: sha256.Sum256(body)})
	}
	const name = "Prüfung/日本"
	out, err := c.Append(t.Context(), utf7.Encode(name), toAppend(want))
	if err != nil || out[0].State != AppendRefused || out[0].Err.(*Error).Code != "TRYCREATE" {
		t.Fatalf("Append to no mailbox: %+v, %v", out[0], err)
	}
	if err := c.Create(t.Context(), utf7.Encode(name)); err != nil {
		t.Fatal(err)
	}
	out, err = c.Append(t.Context(), utf7.Encode(name), toAppend(want))
	if err != nil {
		t.Fatal(err)
	}
	box, err := user.Mailbox(name)
	if err != nil {
		t.Fatal(err)
	}
	all := box.Messages()
	if len(all) != len(want) {
		t.Fatalf("%d messages of %d", len(all), len(want))
	}
	for i, m := range all {
		body, err := io.ReadAll(m.Reader())
		if err != nil || !bytes.Equal(body, want[i].Body) || m.UID != out[i].UID || !slices.Equal(slices.Sorted(slices.Values(m.Flags)), slices.Sorted(slices.Values(want[i].Flags))) {
			t.Errorf("message %d is %d octets, %v; want %d, %v", i, len(body), m.Flags, len(want[i].Body), want[i].Flags)
		}
	}
	e, err := c.Select(t.Context(), utf7.Encode(name))
	if err != nil || e.ReadOnly {
		t.Errorf("Select = %+v, %v", e, err)
	}
	checkAppended(t, c, e, want, out)
}

// Dovecot answers a command line of over 64 KiB with BAD and reads the next line as a
// command: Append must not have sent the message, or its text is run as commands.
func TestAppendManyFlagsToDovecot(t *testing.T) {
	server := dovecot.Start(t)
	user := server.User(t, "append")
	c := dialAndLogin(t, Options{Address: server.Addr, TLS: server.TLS}, user.Name, user.Password)
	mail := message("Subject: x\r\n\r\ne1 CREATE Smuggled\r\n", manyFlags(70000)...)
	out, err := c.Append(t.Context(), "INBOX", []AppendMessage{mail})
	if states(out) != "r" && err == nil {
		t.Errorf("Append = %s, want a refusal", states(out))
	}
	for _, line := range user.Dial(t).Do(`LIST "" "*"`) {
		if strings.Contains(line, "Smuggled") {
			t.Errorf("the mail was run as a command: %s", line)
		}
	}
}
