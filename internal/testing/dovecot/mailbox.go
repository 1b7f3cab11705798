package dovecot

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"archiverd/internal/utf7"
)

// Msg is a message to append, or one that was read.
type Msg struct {
	UID    uint32            // set by Read
	Flags  []string          // flags and keywords; Read sorts them and leaves out \Recent
	Date   time.Time         // INTERNALDATE; zero: the server sets it
	Body   []byte            // to append; not set by Read
	Size   int64             // octets of the body
	SHA256 [sha256.Size]byte // of the body
}

// Create creates a mailbox. All names of mailboxes are in UTF-8.
func (c *Client) Create(mailbox string) {
	c.t.Helper()
	c.Do("CREATE " + name(mailbox))
}

// Delete deletes a mailbox.
func (c *Client) Delete(mailbox string) {
	c.t.Helper()
	c.Do("DELETE " + name(mailbox))
}

// Rename renames a mailbox, and those below it.
func (c *Client) Rename(from, to string) {
	c.t.Helper()
	c.Do("RENAME " + name(from) + " " + name(to))
}

// Append adds messages to an existing mailbox, hundreds in a command (MULTIAPPEND,
// RFC 3502). Dovecot refuses an empty message.
func (c *Client) Append(mailbox string, msgs ...Msg) {
	c.t.Helper()
	for batch := range slices.Chunk(msgs, 500) {
		tag := c.send()
		c.w.WriteString("APPEND " + name(mailbox))
		for _, m := range batch {
			fmt.Fprintf(c.w, " (%s)", strings.Join(m.Flags, " "))
			if !m.Date.IsZero() {
				fmt.Fprintf(c.w, " %q", m.Date.Format("02-Jan-2006 15:04:05 -0700"))
			}
			fmt.Fprintf(c.w, " {%d+}\r\n", len(m.Body))
			c.w.Write(m.Body)
		}
		if err := c.finish(tag, nil, func(string) error { return nil }); err != nil {
			c.t.Fatalf("append to %s: %v", mailbox, err)
		}
	}
}

// fetched matches a FETCH response to Read, without the octets of its literal. Cyrus
// sends the flags before the UID.
var fetched = regexp.MustCompile(`^\* \d+ FETCH \((?:UID (\d+) )?FLAGS \(([^)]*)\) (?:UID (\d+) )?INTERNALDATE "([^"]+)" BODY\[\] (?:\{(\d+)\}|NIL|"")\)$`)

// Read fetches all messages of a mailbox, in order of their UIDs. It changes no flag.
func (c *Client) Read(mailbox string) []Msg {
	c.t.Helper()
	exists := -1
	for _, r := range c.Do("EXAMINE " + name(mailbox)) {
		if n, ok := strings.CutSuffix(r, " EXISTS"); ok {
			exists, _ = strconv.Atoi(strings.TrimPrefix(n, "* "))
		}
	}
	var msgs []Msg
	body := &digest{Hash: sha256.New()}
	tag := c.send()
	c.w.WriteString("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])")
	err := c.finish(tag, body, func(response string) error {
		if !strings.Contains(response, "BODY[]") {
			return nil
		}
		m, err := body.message(response)
		msgs = append(msgs, m)
		return err
	})
	if err != nil {
		c.t.Fatalf("read %s: %v", mailbox, err)
	}
	if len(msgs) != exists {
		c.t.Fatalf("read %s: %d of %d messages", mailbox, len(msgs), exists)
	}
	c.Do("UNSELECT")
	return msgs
}

// digest hashes the body of one message.
type digest struct {
	hash.Hash
	size int64
}

// Write implements [io.Writer].
func (d *digest) Write(p []byte) (int, error) {
	d.size += int64(len(p))
	return d.Hash.Write(p)
}

// message returns the message of a FETCH response, whose body was written to the
// digest, and resets the digest.
func (d *digest) message(response string) (Msg, error) {
	f := fetched.FindStringSubmatch(response)
	if f == nil {
		return Msg{}, fmt.Errorf("unknown response %q", response)
	}
	uid, err := strconv.ParseUint(f[1]+f[3], 10, 32)
	if err != nil {
		return Msg{}, err
	}
	date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", f[4])
	if err != nil {
		return Msg{}, err
	}
	flags := slices.DeleteFunc(strings.Fields(f[2]), func(s string) bool { return s == `\Recent` })
	slices.Sort(flags)
	m := Msg{UID: uint32(uid), Flags: flags, Date: date, Size: d.size, SHA256: [sha256.Size]byte(d.Sum(nil))}
	d.Reset()
	d.size = 0
	return m, nil
}

// Store changes flags by a STORE item (RFC 9051 6.4.6): "+FLAGS (\\Seen)".
func (c *Client) Store(mailbox, change string, uids ...uint32) {
	c.t.Helper()
	c.Do("SELECT " + name(mailbox))
	for chunk := range slices.Chunk(uids, 1000) {
		c.Do("UID STORE " + set(chunk) + " " + change)
	}
	c.Do("UNSELECT")
}

// Expunge removes messages for good (UIDPLUS, RFC 4315).
func (c *Client) Expunge(mailbox string, uids ...uint32) {
	c.t.Helper()
	c.Store(mailbox, `+FLAGS.SILENT (\Deleted)`, uids...)
	c.Do("SELECT " + name(mailbox))
	for chunk := range slices.Chunk(uids, 1000) {
		c.Do("UID EXPUNGE " + set(chunk))
	}
	c.Do("UNSELECT")
}

// set returns a sequence set. One of 1,000 UIDs is far below the 64 KB that Dovecot
// accepts in a line.
func set(uids []uint32) string {
	var b bytes.Buffer
	for i, u := range uids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, u)
	}
	return b.String()
}

// name returns a mailbox's name as an argument of a command.
func name(mailbox string) string { return literal(utf7.Encode(mailbox)) }
