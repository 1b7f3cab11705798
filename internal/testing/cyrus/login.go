package cyrus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// logins checks passwords for Cyrus. It speaks the protocol of SASL's saslauthd on a
// Unix socket: the client sends user, password, service and realm, each after its
// length in two octets, and receives one such string that begins with OK or NO.
type logins struct {
	serving bool // owned by the goroutine of the test

	mu        sync.Mutex
	passwords map[string]string // by user
}

// set adds a user, or changes the password of one.
func (l *logins) set(user, password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.passwords == nil {
		l.passwords = make(map[string]string)
	}
	l.passwords[user] = password
}

// serve answers on the socket until the test ends. Further calls do nothing.
func (l *logins) serve(t testing.TB, socket string) error {
	if l.serving {
		return nil
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen for password checks: %w", err)
	}
	l.serving = true
	done := make(chan struct{})
	t.Cleanup(func() {
		listener.Close() // ends Accept
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("check a password: %v", err)
				}
				return
			}
			if err := l.answer(conn); err != nil {
				t.Errorf("check a password: %v", err)
			}
		}
	}()
	return nil
}

// answer reads one request and answers it.
func (l *logins) answer(conn net.Conn) error {
	defer conn.Close()
	var request [4]string
	for i := range request {
		var size uint16
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return err
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(conn, text); err != nil {
			return err
		}
		request[i] = string(text)
	}
	l.mu.Lock()
	password, exists := l.passwords[request[0]]
	l.mu.Unlock()
	reply := "NO wrong user or password"
	if exists && password == request[1] {
		reply = "OK"
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}
