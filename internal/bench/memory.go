package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/testing/hostile"
)

// benchMemory measures archiverd's memory for one mailbox of so many small messages, which
// a scripted server generates for each command. It prints the table to out and returns
// the largest private memory of any run, in octets.
func benchMemory(t testing.TB, out io.Writer, dir string, messages, connections int) (peak int64, err error) {
	dir, program, remove, err := buildProgram(dir)
	if err != nil {
		return 0, err
	}
	defer remove(&err)
	var mailbox generatedMailbox
	mailbox.messages.Store(int64(messages))
	srv, err := hostile.New(hostile.Options{Capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR LIST-STATUS CONDSTORE ESEARCH", Script: mailbox.answer})
	if err != nil {
		return 0, err
	}
	defer srv.Close()
	s := &installation{filepath.Join(dir, "site"), program}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return 0, err
	}
	text := fmt.Sprintf("archive:\n  path: archive\naccounts:\n  - name: bench\n    server: %s\n    tls: none\n    username: alice\n    password: secret\n    connections: %d\n", srv.Address(), connections)
	if err := s.configure(text); err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "One mailbox of %d messages, %d connections, written to %s\n\n", messages, connections, fileSystem(dir))
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\twall\tCPU\tprivate\tresident\t")
	for _, kind := range []string{"first run", "no change", "100 new, all flags compared"} {
		if strings.HasPrefix(kind, "100 new") {
			mailbox.messages.Add(newMessages)
		}
		m, err := s.run("sync")
		if err != nil {
			return 0, fmt.Errorf("%s: %w", kind, err)
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t%s\t%s\t\n", kind, m.wall.Round(time.Millisecond), m.cpu.Round(time.Millisecond),
			humanize.IBytes(uint64(m.private)), humanize.IBytes(uint64(m.peak)))
		peak = max(peak, m.private)
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	fmt.Fprintln(out, "\nThe rest of the resident memory are pages of the program and of the state database, which the kernel may drop.")
	return peak, nil
}

// generatedMailbox is a mailbox whose messages are generated. One UID in five is missing,
// as where people delete messages.
type generatedMailbox struct{ messages atomic.Int64 }

// uid returns the UID of message i, counted from 0.
func (*generatedMailbox) uid(i int64) int64 { return i + i/4 + 1 }

// index returns a message at or before the first one with this UID or a higher one.
func (g *generatedMailbox) index(uid int64) int64 { return max(0, (uid-1)*4/5-1) }

// answer is a script of the server: it answers the commands about the mailmailbox.
func (g *generatedMailbox) answer(s *hostile.Session, cmd hostile.Command) bool {
	n := g.messages.Load()
	next := g.uid(n)
	switch cmd.Name {
	case "LIST":
		s.Write(fmt.Sprintf("* LIST (\\HasNoChildren) \"/\" INBOX\r\n* STATUS INBOX (MESSAGES %d UIDNEXT %d UIDVALIDITY 7 HIGHESTMODSEQ %d)\r\n", n, next, n))
	case "EXAMINE":
		s.Write(fmt.Sprintf("* %d EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT %d] x\r\n* OK [HIGHESTMODSEQ %d] x\r\n", n, next, n))
	case "UID SEARCH":
		s.Write(fmt.Sprintf("* ESEARCH (TAG %q) UID ALL ", cmd.Tag))
		for i := int64(0); i < n; i += 4 {
			if i > 0 {
				s.Write(",")
			}
			s.Write(fmt.Sprintf("%d:%d", g.uid(i), g.uid(min(i+3, n-1))))
		}
		s.Write("\r\n")
	case "UID FETCH":
		set, items, _ := strings.Cut(cmd.Args, " ")
		for part := range strings.SplitSeq(set, ",") {
			a, b, ranged := strings.Cut(part, ":")
			first, _ := strconv.ParseInt(a, 10, 64) // archiverd sends numbers
			last := first
			if ranged {
				last, _ = strconv.ParseInt(b, 10, 64)
			}
			for i := g.index(first); i < n && g.uid(i) <= last; i++ {
				if g.uid(i) >= first {
					g.fetch(s, i, items)
				}
			}
		}
	default:
		return false
	}
	s.Send(cmd.Tag + " OK done\r\n")
	return true
}

// fetch sends the FETCH reply for message i.
func (g *generatedMailbox) fetch(s *hostile.Session, i int64, items string) {
	body := fmt.Sprintf("From: <a@example.org>\r\nSubject: message %d\r\n\r\nText.\r\n", i)
	reply := fmt.Sprintf("* %d FETCH (UID %d", i+1, g.uid(i))
	switch {
	case strings.Contains(items, "BODY"):
		reply += fmt.Sprintf(" BODY[] {%d}\r\n%s", len(body), body)
	case strings.Contains(items, "RFC822.SIZE"):
		date := time.Unix(1e9+600*i, 0).UTC().Format("02-Jan-2006 15:04:05 -0700")
		reply += fmt.Sprintf(" FLAGS (\\Seen) INTERNALDATE %q RFC822.SIZE %d", date, len(body))
	default:
		reply += " FLAGS (\\Seen)"
	}
	s.Write(reply + ")\r\n")
}
