package main

import (
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	gosync "sync"
	"testing"
)

// proxy stands between archiverd and a server without TLS, hears what both say
// and can hold the server's octets back.
type proxy struct {
	Addr string

	t     *testing.T
	to    string
	mu    gosync.Mutex
	cond  *gosync.Cond
	conns []*overheard
	limit int // octets of all connections from the server; negative: any number
	heard int
	cuts  int // connections that are to break off in their first body
	wait  gosync.WaitGroup
}

// overheard is what was said on one connection.
type overheard struct{ client, server []byte }

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	return newProxyAt(t, "127.0.0.1:0", to)
}

func newProxyAt(t *testing.T, addr, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Addr: l.Addr().String(), t: t, to: to, limit: -1}
	p.cond = gosync.NewCond(&p.mu)
	p.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed: the test is over
			}
			p.wait.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.hold(-1)
		p.wait.Wait()
	})
	return p
}

// hold lets through no more than that many octets of the server, counted from
// the proxy's beginning; any number if it is negative.
func (p *proxy) hold(limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = limit
	p.cond.Broadcast()
}

// cut makes that many connections break off in the middle of their first body.
func (p *proxy) cut(connections int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = connections
}

// broken says whether a connection on which the server said that much is to
// break off.
func (p *proxy) broken(said []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts == 0 || !bodyLiteral.Match(said) {
		return false
	}
	p.cuts--
	return true
}

// full says whether the limit is reached.
func (p *proxy) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit >= 0 && p.heard >= p.limit
}

// forget begins to listen anew.
func (p *proxy) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = nil
	p.heard = 0
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return // the client sees a closed connection, as it would without us
	}
	defer server.Close()
	o := &overheard{}
	p.mu.Lock()
	p.conns = append(p.conns, o)
	p.mu.Unlock()
	var both gosync.WaitGroup
	both.Go(func() {
		p.pass(server, client, &o.client, false)
		server.Close()
	})
	both.Go(func() {
		p.pass(client, server, &o.server, true)
		client.Close()
	})
	both.Wait()
}

// pass copies from one side to the other.
func (p *proxy) pass(to io.Writer, from io.Reader, said *[]byte, counted bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			k := p.allowed(len(rest), counted)
			p.mu.Lock()
			*said = append(*said, rest[:k]...)
			all := *said
			p.mu.Unlock()
			if counted && p.broken(all) {
				to.Write(rest[:k/2]) // and the rest is lost
				return
			}
			if _, err := to.Write(rest[:k]); err != nil {
				return
			}
			rest = rest[k:]
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				return // reset by a killed client
			}
			return
		}
	}
}

// allowed waits until some of n octets may pass, and says how many.
func (p *proxy) allowed(n int, counted bool) int {
	if !counted {
		return n
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.limit >= 0 && p.heard >= p.limit {
		p.cond.Wait()
	}
	if p.limit >= 0 {
		n = min(n, p.limit-p.heard)
	}
	p.heard += n
	return n
}

// commands are the commands of all connections, without their tags.
func (p *proxy) commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, o := range p.conns {
		for line := range strings.Lines(string(o.client)) {
			if _, cmd, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				out = append(out, cmd)
			}
		}
	}
	return out
}

// asked says how many commands asked for bodies.
func (p *proxy) asked() int {
	n := 0
	for _, cmd := range p.commands() {
		if strings.Contains(cmd, "BODY") {
			n++
		}
	}
	return n
}

var bodyLiteral = regexp.MustCompile(`BODY\[\] \{(\d+)\}\r\n`)

// whole counts the bodies that came whole, on all connections.
func (p *proxy) whole() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, o := range p.conns {
		rest := o.server
		for {
			at := bodyLiteral.FindSubmatchIndex(rest)
			if at == nil {
				break
			}
			size, _ := strconv.Atoi(string(rest[at[2]:at[3]]))
			if len(rest) < at[1]+size+len(")\r\n") { // a body without the end of its reply may be cut short
				break
			}
			n++
			rest = rest[at[1]+size:]
		}
	}
	return n
}
