package imapd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// TestUpdates: changes by others are sent with the sequence numbers of this client.
func TestUpdates(t *testing.T) {
	r := start(t, Options{})
	m := r.inbox(t)
	for range 5 {
		m.Append(Message{Body: []byte("x")})
	}
	events := make(chan string, 20)
	c := r.login(t, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(seq uint32) { events <- fmt.Sprint("expunge ", seq) },
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				events <- fmt.Sprint("exists ", *d.NumMessages)
			}
		},
	}})
	open(t, c, "INBOX", true)
	for len(events) > 0 { // what SELECT itself said
		<-events
	}
	m.Expunge(2, 4)
	m.Append(Message{Body: []byte("new")})
	// A FETCH by sequence number may not send EXPUNGE: the numbers do not change.
	got := fetch(t, c, imap.SeqSetNum(1, 2, 3, 5), &imap.FetchOptions{UID: true})
	if len(got) != 3 || got[0].UID != 1 || got[1].UID != 3 || got[2].UID != 5 {
		t.Errorf("FETCH 1:3,5 gives %d messages", len(got))
	}
	if e := <-events; e != "exists 6" {
		t.Errorf("FETCH tells %q", e)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	if a, b := <-events, <-events; a != "expunge 4" || b != "expunge 2" {
		t.Errorf("IDLE tells %q and %q", a, b)
	}
	m.Append(Message{Body: []byte("newer")})
	if e := <-events; e != "exists 5" {
		t.Errorf("IDLE tells %q", e)
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Fatal(err)
	}
	m.SetFlags(3, `\Flagged`)
	got = fetch(t, c, imap.SeqSetNum(2), &imap.FetchOptions{UID: true, Flags: true})
	if len(got) != 1 || got[0].UID != 3 || fmt.Sprint(got[0].Flags) != `[\Flagged]` {
		t.Errorf("FETCH 2 gives %+v", got)
	}
}

// TestIdleCutShort: an IDLE that ends without DONE does not disturb later commands.
func TestIdleCutShort(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	m, err := s.AddUser(name, password).Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	until := func(prefix string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), prefix) {
				return
			}
		}
		t.Fatalf("no %q before the end: %v", prefix, lines.Err())
	}
	fmt.Fprintf(conn, "a LOGIN %s %q\r\nb SELECT INBOX\r\n", name, password)
	until("b OK")
	for i := range 50 {
		fmt.Fprintf(conn, "c%d IDLE\r\n", i)
		until("+")
		m.Append(Message{Body: []byte("x")})
		fmt.Fprintf(conn, "nonsense\r\nd%d UID FETCH 1:* (FLAGS)\r\ne%d SELECT INBOX\r\n", i, i)
		until(fmt.Sprintf("e%d OK", i))
	}
}

// TestConcurrentUse has writers and readers of one mailbox at the same time: no reader
// receives a wrong octet.
func TestConcurrentUse(t *testing.T) {
	const writers, each = 3, 60
	r := start(t, Options{})
	m := r.inbox(t)
	mail := func(i int) []byte { return fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, strings.Repeat("z", i*37%900)) }
	seen := make(map[string]bool)
	for w := range writers {
		for i := range each {
			seen[string(mail(w*each+i))] = true
		}
	}
	var wg sync.WaitGroup
	for w := range writers {
		c := r.login(t, nil)
		wg.Go(func() {
			for i := range each {
				if b := mail(w*each + i); w == 0 {
					m.Append(Message{Body: b})
				} else {
					r.append(t, c, "INBOX", b, nil)
				}
				if i%10 == 9 {
					m.SetFlags(uint32(i), "Key")
					m.Expunge(uint32(i + 1))
				}
			}
		})
	}
	for range 3 {
		c := r.login(t, nil)
		wg.Go(func() {
			for range 15 {
				open(t, c, "INBOX", true)
				last := imap.UID(0)
				for _, got := range fetch(t, c, allUIDs, all) {
					if b := got.FindBodySection(peek); !seen[string(b)] || got.UID <= last {
						t.Errorf("UID %d after %d: %.30q", got.UID, last, b)
					}
					last = got.UID
				}
			}
		})
	}
	wg.Wait()
	gone := writers * each / 10 / writers // all writers expunge the same six
	if n := len(m.Messages()); n < writers*each-gone*writers || n > writers*each-gone {
		t.Errorf("%d messages left of %d", n, writers*each)
	}
}

// TestSlowClient: a client that stops reading in the middle of a message delays no other.
func TestSlowClient(t *testing.T) {
	r := start(t, Options{})
	m := r.inbox(t)
	m.Append(Message{Body: make([]byte, 64<<20)}) // more than the sockets' buffers take
	slow, quick := r.login(t, nil), r.login(t, nil)
	open(t, slow, "INBOX", true)
	cmd := slow.Fetch(allUIDs, all)
	defer cmd.Close()             // reads the rest
	if cmd.Next().Next() == nil { // the answer has begun
		t.Fatal("no answer")
	}
	m.Append(Message{Body: []byte("x")})
	m.Expunge(1)
	open(t, quick, "INBOX", true)
	if got := fetch(t, quick, allUIDs, all); len(got) != 1 {
		t.Errorf("%d messages fetched", len(got))
	}
}

// dialAll makes connections in each state: before LOGIN, in IDLE, and with a message that
// is read in part.
func dialAll(t *testing.T, addr string, cert *Certificate) (clients []*imapclient.Client, conns []net.Conn, cut []io.Reader) {
	t.Helper()
	for i := range 9 {
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: cert.Roots, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		c := imapclient.New(conn, nil)
		clients, conns = append(clients, c), append(conns, conn)
		if i%3 == 0 {
			continue
		}
		if err := c.Login(name, password).Wait(); err != nil {
			t.Fatal(err)
		}
		open(t, c, "INBOX", true)
		if i%3 == 1 {
			if _, err := c.Idle(); err != nil {
				t.Fatal(err)
			}
		} else { // and stays in mid-message
			_, literal := body(t, c)
			cut = append(cut, literal)
		}
	}
	return clients, conns, cut
}

// TestCloseLeavesNothing: Close ends connections in every state and all goroutines.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	cert, err := SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{TLS: cert.Server})
	m, err := s.AddUser(name, password).Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	m.Append(Message{Body: make([]byte, 64<<20)})
	addr, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mute, err := net.Dial("tcp", addr) // never begins TLS
	if err != nil {
		t.Fatal(err)
	}
	clients, conns, cut := dialAll(t, addr, cert)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := s.Listen("127.0.0.1:0"); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Close: %v", err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("still listening after Close")
	}
	mute.Close()
	for _, literal := range cut {
		if n, _ := io.Copy(io.Discard, literal); n >= 64<<20 {
			t.Error("Close waited for a message to be sent")
		}
	}
	for _, c := range conns {
		c.Close()
	}
	for _, c := range clients { // their goroutines are ours
		<-c.Closed()
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func BenchmarkFetch(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		b.Run(fmt.Sprintf("20000x%d", size), func(b *testing.B) {
			r := start(b, Options{})
			m := r.inbox(b)
			body := bytes.Repeat([]byte("x"), size)
			for range 20_000 {
				m.Append(Message{Body: body})
			}
			c := r.login(b, nil)
			open(b, c, "INBOX", true)
			b.SetBytes(20_000 * int64(size))
			for b.Loop() {
				n := 0
				cmd := c.Fetch(allUIDs, &imap.FetchOptions{UID: true, BodySection: all.BodySection})
				for cmd.Next() != nil {
					n++
				}
				if err := cmd.Close(); err != nil || n != 20_000 {
					b.Fatalf("%d messages, %v", n, err)
				}
			}
		})
	}
}
