package dovecot

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Client is a logged-in connection: the loader and the witness of the tests. It
// reads lines and literals and no more. Every method but Try ends the test on
// an error; it belongs to the goroutine of the test that dialled it.
type Client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	tag  int
}

// Dial connects over implicit TLS and logs in. The connection closes when the
// test ends.
func (u *User) Dial(t testing.TB) *Client {
	t.Helper()
	c, err := u.connect(t, true)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// DialPlain is Dial without TLS.
func (u *User) DialPlain(t testing.TB) *Client {
	t.Helper()
	c, err := u.connect(t, false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (u *User) connect(t testing.TB, secure bool) (*Client, error) {
	if secure {
		return DialAt(t, u.server.Addr, u.server.TLS, u.Name, u.Password)
	}
	return DialAt(t, u.server.PlainAddr, nil, u.Name, u.Password)
}

// DialAt connects to any server and logs in: over implicit TLS, or without TLS
// where config is nil. The connection closes when the test ends.
func DialAt(t testing.TB, addr string, config *tls.Config, user, password string) (*Client, error) {
	var conn net.Conn
	var err error
	dialer := &net.Dialer{Timeout: patience}
	if config != nil {
		conn, err = tls.DialWithDialer(dialer, "tcp", addr, config)
	} else {
		conn, err = dialer.Dial("tcp", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("dial the test server: %w", err)
	}
	t.Cleanup(func() { conn.Close() }) // closed already by Close: no error to act on
	c := &Client{t: t, conn: conn, r: bufio.NewReaderSize(conn, 64<<10), w: bufio.NewWriterSize(conn, 64<<10)}
	greeting, err := c.response(nil)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(greeting, "* OK") {
		return nil, fmt.Errorf("greeting %q", greeting)
	}
	_, err = c.Try("LOGIN " + literal(user) + " " + literal(password))
	return c, err
}

// Close logs out.
func (c *Client) Close() {
	c.t.Helper()
	c.Do("LOGOUT")
	if err := c.conn.Close(); err != nil {
		c.t.Errorf("close: %v", err)
	}
}

// Do runs a command as it stands, without tag and final CRLF, and returns the
// untagged responses, each with its literals in it. A command that does not end
// in OK ends the test.
func (c *Client) Do(command string) []string {
	c.t.Helper()
	responses, err := c.Try(command)
	if err != nil {
		c.t.Fatal(err)
	}
	return responses
}

// Try is Do for commands that may be refused: the error holds the server's words.
func (c *Client) Try(command string) ([]string, error) {
	tag := c.send()
	c.w.WriteString(command) // errors stick to the writer until its Flush
	var responses []string
	err := c.finish(tag, nil, func(response string) error {
		responses = append(responses, response)
		return nil
	})
	if err != nil {
		verb, _, _ := strings.Cut(command, " ")
		return responses, fmt.Errorf("%s: %w", verb, err)
	}
	return responses, nil
}

// send begins a command and returns its tag.
func (c *Client) send() string {
	c.tag++
	tag := "w" + strconv.Itoa(c.tag)
	c.w.WriteString(tag + " ")
	return tag
}

// finish ends a command and passes on the untagged responses to it. With body,
// the literals go there and not into the text of the response.
func (c *Client) finish(tag string, body io.Writer, untagged func(string) error) error {
	c.conn.SetDeadline(time.Now().Add(2 * time.Minute)) // on an open connection it cannot fail
	c.w.WriteString("\r\n")
	if err := c.w.Flush(); err != nil {
		return err
	}
	for {
		response, err := c.response(body)
		if err != nil {
			return err
		}
		if result, ok := strings.CutPrefix(response, tag+" "); ok {
			if !strings.HasPrefix(result, "OK") {
				return fmt.Errorf("server says %q", result)
			}
			return nil
		}
		if err := untagged(response); err != nil {
			return err
		}
	}
}

// literalEnd is the announcement of a literal at the end of a line (RFC 9051 4.3).
var literalEnd = regexp.MustCompile(`\{(\d+)\}$`)

// response reads one response. Its literals go to body, or into the text where
// body is nil.
func (c *Client) response(body io.Writer) (string, error) {
	c.conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	var text strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read after %q: %w", text.String()+line, err)
		}
		line = strings.TrimSuffix(line, "\r\n")
		text.WriteString(line)
		m := literalEnd.FindStringSubmatch(line)
		if m == nil {
			return text.String(), nil
		}
		size, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return "", err
		}
		to := body
		if to == nil {
			text.WriteString("\r\n")
			to = &text
		}
		if _, err := io.CopyN(to, c.r, size); err != nil {
			return "", fmt.Errorf("read a literal of %d octets: %w", size, err)
		}
	}
}

// literal returns s as a non-synchronising literal (RFC 7888), which holds any
// octets but NUL.
func literal(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }
