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

	"archiverd/internal/testing/process"
)

// timeout bounds each wait for a server. It is long, since a busy machine is slow: it
// only keeps a test from hanging.
const timeout = 2 * time.Minute

// Client is a logged-in connection with which tests fill a server and check what it
// holds. It reads lines and literals only. Every method but Try ends the test on an
// error. A Client belongs to the goroutine of the test that dialled it.
type Client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	tag  int
}

// Dial connects to a server over implicit TLS and logs in. The connection closes
// when the test ends.
func Dial(t testing.TB, s *process.Server, user, password string) *Client {
	t.Helper()
	c, err := DialAt(t, s.Addr, s.TLS, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// DialPlain is Dial without TLS.
func DialPlain(t testing.TB, s *process.Server, user, password string) *Client {
	t.Helper()
	c, err := DialAt(t, s.PlainAddr, nil, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// DialAt connects to any address and logs in, over implicit TLS, or without TLS if
// config is nil. The connection closes when the test ends.
func DialAt(t testing.TB, addr string, config *tls.Config, user, password string) (*Client, error) {
	var conn net.Conn
	var err error
	dialer := &net.Dialer{Timeout: timeout}
	if config != nil {
		conn, err = tls.DialWithDialer(dialer, "tcp", addr, config)
	} else {
		conn, err = dialer.Dial("tcp", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("dial the test server: %w", err)
	}
	t.Cleanup(func() { conn.Close() }) // it may be closed already
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

// Do sends a command, given without tag and final CRLF, and returns the untagged
// responses with their literals. A command that does not end in OK ends the test.
func (c *Client) Do(command string) []string {
	c.t.Helper()
	responses, err := c.Try(command)
	if err != nil {
		c.t.Fatal(err)
	}
	return responses
}

// Try is Do for a command that may be refused: the error has the server's text.
func (c *Client) Try(command string) ([]string, error) {
	tag := c.send()
	c.w.WriteString(command) // Flush returns any error
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

// finish ends a command and passes its untagged responses to a function. If body is
// not nil, literals are written there and left out of the responses.
func (c *Client) finish(tag string, body io.Writer, untagged func(string) error) error {
	if err := c.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
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

// literalEnd matches the size of a literal at the end of a line (RFC 9051 4.3).
var literalEnd = regexp.MustCompile(`\{(\d+)\}$`)

// response reads one response. Literals are written to body, or into the text if body
// is nil.
func (c *Client) response(body io.Writer) (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return "", err
	}
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

// literal returns s as a non-synchronising literal (RFC 7888), which may have any
// octets but NUL.
func literal(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }
