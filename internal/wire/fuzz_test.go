package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"archiverd/internal/uid"
	"archiverd/internal/utf7"
)

// connectionSeeds are servers' sides of connections on which all commands run.
var connectionSeeds = []string{
	"* OK [CAPABILITY IMAP4rev1] x\r\nT1 OK [CAPABILITY IMAP4rev1] x\r\nX1 OK x\r\n* OK [UIDVALIDITY 7] x\r\nX2 OK [READ-ONLY] x\r\n* SEARCH 1 2\r\nX3 OK x\r\n" +
		"* 1 FETCH (UID 1 FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 3)\r\nX4 OK x\r\n" +
		"* 1 FETCH (UID 1 BODY[] {3}\r\none)\r\n* 2 FETCH (FLAGS () BODY[] {1}\r\nx UID 2)\r\nT2 OK x\r\n* 1 FETCH (BODY[] {3}\r\none UID 1)\r\nX5 OK x\r\n",
	"* PREAUTH [CAPABILITY ESEARCH LIST-STATUS CONDSTORE] x\r\n* LIST () \"/\" x (\"A\" (\"B\"))\r\nX1 OK x\r\n* STATUS x (MESSAGES 1)\r\nX2 OK\r\nX3 OK [HIGHESTMODSEQ 4] x\r\n" +
		"* ESEARCH (TAG \"X4\") UID ALL 1:4294967295\r\nX4 OK x\r\nX5 OK x\r\n* BYE x\r\nT1 OK x\r\n* 1 FETCH (UID 1 BODY[] NIL)\r\nX6 OK x\r\n",
	"* PREAUTH [CAPABILITY LITERAL+ MULTIAPPEND UIDPLUS QUOTA NAMESPACE APPENDLIMIT] x\r\nX1 OK x\r\nX2 OK x\r\n* SEARCH\r\nX3 OK x\r\nX4 OK x\r\nT1 OK x\r\nX5 OK x\r\n" +
		"+ x\r\nX6 OK [APPENDUID 7 1:2] x\r\nX7 NO x\r\n* OK [PERMANENTFLAGS (\\Seen \\*)]\r\nX8 OK x\r\n+ \r\n+ \r\n* SEARCH 1\r\nX9 OK x\r\n* 1 FETCH (UID 1 BODY[HEADER] {3}\r\none)\r\nX10 OK x\r\n" +
		"X11 OK x\r\nX12 OK x\r\n* NAMESPACE ((\"\" \"/\")) NIL NIL\r\nX13 OK x\r\n* QUOTA x (STORAGE 1 2)\r\nX14 OK x\r\n* STATUS INBOX (APPENDLIMIT 5)\r\nX15 OK x\r\n",
	"* OK x\r\n* CAPABILITY IMAP4rev1 (\r\n* BYE [ALERT] x\r\nX1 OK [MESSAGELIMIT 1] x\r\n",
	"* OK [CAPABILITY AUTH=PLAIN SASL-IR] x\r\n+ \r\n+ eA==\r\nT1 NO [AUTHENTICATIONFAILED] x\r\n",
	"* PREAUTH x\r\nX1 OK x\r\nX2 OK x\r\n* SEARCH 1\r\nX3 OK x\r\nX4 OK x\r\n* 1 FETCH (UID 1 BODY[] {30}\r\none", // a body that is cut short
	"* OK [CAPABILITY IMAP4rev1] x\r\nT1 NO x\r\n",
	"* 1 FETCH (FLAGS (a\"b) X {2}\r\n\"( BODY[HEADER.FIELDS (A)]<0> {0}\r\n ~{1}\r\nx UID 1 BODY[] \"\\\"\")\r\n",
}

// FuzzConnection sends arbitrary octets as a server's whole side of a connection. Every
// command ends in bounded time, and no body is delivered as whole that is not.
func FuzzConnection(f *testing.F) {
	for _, seed := range connectionSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, octets []byte) {
		ours, theirs := net.Pipe()
		go func() { // the server reads everything, sends its octets and hangs up
			go io.Copy(io.Discard, theirs)
			theirs.Write(octets)
			theirs.Close()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		c, err := Dial(ctx, Options{
			Security: Plaintext, Limits: Limits{Literal: 1000, Line: 4000, Message: 1 << 20},
			Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil },
		})
		if err != nil {
			checkError(t, err)
			return
		}
		defer c.Close()
		if err := c.Login(ctx, Auth{Username: "alice", Password: []byte("secret")}); err != nil { // it has closed the connection
			checkError(t, err)
			return
		}
		runReadingCommands(ctx, t, c)
		runChangingCommands(ctx, t, c)
	})
}

// runReadingCommands runs the commands of a sync.
func runReadingCommands(ctx context.Context, t *testing.T, c *Conn) {
	read := func(size int64, r io.Reader) error {
		n, err := io.Copy(io.Discard, r)
		if (n == size) != (err == nil) {
			t.Errorf("%d octets of %d, %v", n, size, err)
		}
		if err != nil { // it is returned as it is, also by later commands
			err = &Error{Class: ClassTransient, Err: err}
		}
		return err
	}
	_, err := c.List(ctx)
	checkError(t, err)
	_, err = c.Examine(ctx, "INBOX", true)
	checkError(t, err)
	_, err = c.Search(ctx)
	checkError(t, err)
	checkError(t, c.FetchMetadata(ctx, MetadataQuery{Set: uid.Of(1, 2)}, func(m Metadata) error {
		if m.UID == 0 {
			t.Error("UID 0")
		}
		return nil
	}))
	checkError(t, c.FetchBodies(ctx, uid.Of(1, 2), func(u uint32, size int64, r io.Reader) error {
		if u != 1 && u != 2 {
			t.Errorf("UID %d was not asked for", u)
		}
		return read(size, r)
	}))
	checkError(t, c.FetchBody(ctx, 1, read))
}

// runChangingCommands runs the commands of a restore and of a deletion at the server.
func runChangingCommands(ctx context.Context, t *testing.T, c *Conn) {
	out, err := c.Append(ctx, "INBOX", []AppendMessage{message("one", `\Seen`), message("two", `\XFoo`), message("")})
	checkError(t, err)
	for _, o := range out {
		if (o.State == AppendNotSent || o.State == AppendUnknown) && err == nil || (o.State == AppendRefused) != (o.Err != nil) || o.UID != 0 && o.UIDValidity == 0 {
			t.Errorf("%+v, %v", o, err)
		}
		checkError(t, o.Err)
	}
	_, err = c.Select(ctx, "INBOX")
	checkError(t, err)
	c.readOnly = false
	_, err = c.SearchKeys(ctx, []string{"SUBJECT", "ä", "TO", "ö"})
	checkError(t, err)
	checkError(t, c.FetchHeaders(ctx, uid.Of(1, 2), func(u uint32, _ []byte) error {
		if u != 1 && u != 2 {
			t.Errorf("UID %d was not asked for", u)
		}
		return nil
	}))
	checkError(t, c.Store(ctx, uid.Of(1, 2), "+FLAGS", []string{`\Deleted`}))
	checkError(t, c.Expunge(ctx, uid.Of(1, 2)))
	_, err = c.Namespace(ctx)
	checkError(t, err)
	q, err := c.Quota(ctx, "INBOX")
	checkError(t, err)
	n, err := c.AppendLimit(ctx, "INBOX")
	checkError(t, err)
	if q.Used < 0 || q.Limit < 0 || n < 0 {
		t.Errorf("%+v, %d", q, n)
	}
}

// checkError fails the test if err has no class, is a timeout of the test, or is unsafe
// for a terminal.
func checkError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	switch Classify(err) {
	case ClassUnknown:
		t.Errorf("unclassified: %v", err)
	case ClassCanceled:
		t.Errorf("hung: %v", err)
	}
	if bytes.ContainsAny([]byte(err.Error()), "\r\n\x1b\x00") {
		t.Errorf("error is not safe: %q", err)
	}
}

// FuzzReply reads arbitrary replies with every parser. No parser panics or returns an
// impossible value.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"* 1 FETCH (UID 1 FLAGS (\\Seen a\"b) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 5 MODSEQ (3) BODY[] {3}\r\none)",
		"* LIST (\\A \"x\") \"\\\"\" \"a\\\\b\" (\"X\" (\"Y\"))", "* STATUS a b (MESSAGES 1 SIZE (2) UIDNEXT 3)",
		"* ESEARCH (TAG \"a\") UID COUNT 1 ALL 1:5,9", "OK [APPENDUID 7 1:2,9] x", "OK [PERMANENTFLAGS (\\Seen a]b \\*)] x",
		"* NAMESPACE ((\"INBOX.\" \".\" \"X\" (\"Y\"))) NIL NIL", "* QUOTA \"\" (STORAGE 1 2 MESSAGE 3 4)", "* SEARCH 1 2 (MODSEQ 4)", "* LIST () \"/\" &AOk-", "* 1 FETCH (X ((((~{2}\r\n()) \"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		u := parseUntagged(reply)
		m := parseFetch(u).metadata(u.number)
		if !m.InternalDate.IsZero() && m.InternalDate.Year() < 1900 || m.Size < 0 || !m.HasFlags && len(m.Flags) > 0 {
			t.Errorf("metadata %+v", m)
		}
		s := searchResult{octetsLeft: 1 << 20}
		if _, err := s.handleUntagged(u); err == nil {
			set := s.set()
			if again, err := uid.Parse(set.String()); err != nil || again.Len() != set.Len() {
				t.Errorf("set %q: %v", set, err)
			}
		}
		box := parseList(u.rest)
		if !box.Raw && utf7.Encode(box.Name) != box.Wire {
			t.Errorf("name %q of %q is not encoded back", box.Name, box.Wire)
		}
		parseStatusReply(u)
		parseNamespace(u.rest)
		if q := parseQuota(u.rest); q.Used < 0 || q.Limit < 0 {
			t.Errorf("Quota = %+v", q)
		}
		if s, ok := parseStatus(reply); ok {
			var e Selected
			e.applyStatus(s)
			for _, flag := range e.PermanentFlags {
				if !ValidFlag(flag) {
					t.Errorf("flag %q", flag)
				}
			}
			if validity, uids := appendUIDs(s.args, 3); uids != nil && (validity == 0 || len(uids) != 3 || uids[0] == 0 || uids[0] >= uids[1] || uids[1] >= uids[2]) {
				t.Errorf("APPENDUID %q: %d %d", s.args, validity, uids)
			}
		}
		literalAt(reply)
	})
}
