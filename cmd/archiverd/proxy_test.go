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

// proxy forwards connections between archiverd and a server without TLS. It records
// both directions and can stop the server's octets.
type proxy struct {
	Addr string

	t      *testing.T
	to     string
	mu     gosync.Mutex
	cond   *gosync.Cond
	conns  []*traffic
	limit  int // octets of all connections from the server; negative: any number
	passed int
	cuts   int // connections that are to break off in their first body
	wait   gosync.WaitGroup
}

// traffic is what each side has sent on one connection.
type traffic struct{ client, server []byte }

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
		p.passAtMost(-1)
		p.wait.Wait()
	})
	return p
}

// passAtMost limits the octets from the server, counted since the start of the
// proxy. A negative limit is none.
func (p *proxy) passAtMost(limit int) {
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

// breaksOff reports whether a connection on which the server has sent these octets
// is to break off.
func (p *proxy) breaksOff(sent []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts == 0 || !bodyLiteral.Match(sent) {
		return false
	}
	p.cuts--
	return true
}

// limitReached reports whether as many octets as passAtMost allows have passed.
func (p *proxy) limitReached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.limit >= 0 && p.passed >= p.limit
}

// reset deletes the record of all connections and the count of octets.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = nil
	p.passed = 0
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return // the client sees a closed connection, as it would without us
	}
	defer server.Close()
	o := &traffic{}
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
func (p *proxy) pass(to io.Writer, from io.Reader, sent *[]byte, counted bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			k := p.allowed(len(rest), counted)
			p.mu.Lock()
			*sent = append(*sent, rest[:k]...)
			all := *sent
			p.mu.Unlock()
			if counted && p.breaksOff(all) {
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

// allowed waits until some of n octets may pass, and returns how many.
func (p *proxy) allowed(n int, counted bool) int {
	if !counted {
		return n
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.limit >= 0 && p.passed >= p.limit {
		p.cond.Wait()
	}
	if p.limit >= 0 {
		n = min(n, p.limit-p.passed)
	}
	p.passed += n
	return n
}

// commands returns the commands of all connections, without their tags.
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

// bodyFetches returns the number of commands that fetch bodies.
func (p *proxy) bodyFetches() int {
	n := 0
	for _, cmd := range p.commands() {
		if strings.Contains(cmd, "BODY") {
			n++
		}
	}
	return n
}

var bodyLiteral = regexp.MustCompile(`BODY\[\] \{(\d+)\}\r\n`)

// wholeBodies returns the number of bodies that the server has sent to their end, on
// all connections.
func (p *proxy) wholeBodies() int {
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
