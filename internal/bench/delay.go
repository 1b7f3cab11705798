package main

import (
	"net"
	"testing"
	"time"
)

// delayedAddress returns the address of a proxy for the server at to. It delivers what it
// receives half of rtt later, in order and at the same speed. The proxy ends with t.
func delayedAddress(t testing.TB, to string, rtt time.Duration) (addr string, err error) {
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
				return // closed by the cleanup
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go forward(client, server, rtt/2)
			go forward(server, client, rtt/2)
		}
	}()
	return l.Addr().String(), nil
}

// delayedOctets are octets that a proxy has received, with the time of their delivery.
type delayedOctets struct {
	octets []byte
	due    time.Time
}

// forward delivers the octets of one direction after a delay, until either end hangs up.
func forward(from, to net.Conn, delay time.Duration) {
	line := make(chan delayedOctets, 4096)
	go func() {
		defer close(line)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				line <- delayedOctets{buf[:n], time.Now().Add(delay)}
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
	for range line { // the reader must not block on it
		continue
	}
}
