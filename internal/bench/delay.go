package main

import (
	"net"
	"testing"
	"time"
)

// delayed is the address of a line to the server at to: what goes in at one end
// comes out of the other half a round trip later, in order, as fast as it came.
func delayed(t testing.TB, to string, rtt time.Duration) (addr string, err error) {
	if rtt == 0 {
		return to, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed: the measurement is over
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go carry(client, server, rtt/2)
			go carry(server, client, rtt/2)
		}
	}()
	return l.Addr().String(), nil
}

// parcel is what was read, and when it is due at the other end.
type parcel struct {
	octets []byte
	due    time.Time
}

// carry carries one direction until either end hangs up.
func carry(from, to net.Conn, late time.Duration) {
	line := make(chan parcel, 4096)
	go func() {
		defer close(line)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				line <- parcel{buf[:n], time.Now().Add(late)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range line {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.octets); err != nil {
			break
		}
	}
	from.Close()
	to.Close()
	for range line { // what can't be delivered any more
		continue
	}
}
