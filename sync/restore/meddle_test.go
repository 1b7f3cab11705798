package restore

import (
	"bufio"
	"net"
	gosync "sync"
	"testing"
)

// meddler stands between a restore and a server without TLS, and may change
// what they say, line by line.
type meddler struct {
	Addr string
	// client and server are given each line with its end, and return what is to
	// be passed on; nil ends the connection.
	client, server func(line []byte) []byte

	wait gosync.WaitGroup
}

// meddle starts a meddler in front of the server at to.
func meddle(t testing.TB, to string, m *meddler) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Addr = l.Addr().String()
	m.wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed: the test is over
			}
			m.wait.Go(func() { m.serve(client, to) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		m.wait.Wait()
	})
}

func (m *meddler) serve(client net.Conn, to string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	pass := func(from, to net.Conn, change func([]byte) []byte) {
		defer from.Close()
		defer to.Close()
		for r := bufio.NewReaderSize(from, 1<<16); ; {
			line, err := r.ReadSlice('\n')
			if change != nil && err == nil {
				if line = change(line); line == nil {
					return
				}
			}
			if _, werr := to.Write(line); werr != nil || err != nil && err != bufio.ErrBufferFull {
				return
			}
		}
	}
	m.wait.Go(func() { pass(client, server, m.client) })
	pass(server, client, m.server)
}
