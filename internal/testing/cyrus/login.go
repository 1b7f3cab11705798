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

// logins is the password service. It speaks the protocol of SASL's saslauthd on a
// Unix socket: four strings come, each after its length in two octets (user,
// password, service, realm), and one goes back, which begins with OK or NO.
type logins struct {
	mu        sync.Mutex
	passwords map[string]string // by user
}

// set adds a user, or gives one another password.
func (l *logins) set(user, password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.passwords == nil {
		l.passwords = make(map[string]string)
	}
	l.passwords[user] = password
}

// serve answers on the socket until the test ends.
func (l *logins) serve(t testing.TB, socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("open the password service: %w", err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		listener.Close() // ends the loop
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("password service: %v", err)
				}
				return
			}
			if err := l.answer(conn); err != nil {
				t.Errorf("password service: %v", err)
			}
		}
	}()
	return nil
}

// answer answers one question.
func (l *logins) answer(conn net.Conn) error {
	defer conn.Close()
	var question [4]string
	for i := range question {
		var size uint16
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return err
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(conn, text); err != nil {
			return err
		}
		question[i] = string(text)
	}
	l.mu.Lock()
	password, known := l.passwords[question[0]]
	l.mu.Unlock()
	reply := "NO wrong user or password"
	if known && password == question[1] {
		reply = "OK"
	}
	_, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}
