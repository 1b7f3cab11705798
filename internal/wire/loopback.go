package wire

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
)

// ErrNotLoopback is returned when a server that may only be on this machine has an address
// elsewhere.
var ErrNotLoopback = errors.New("this address is not on this machine, and without TLS nothing is sent elsewhere: write tls: implicit or starttls, or allow_plaintext: true")

// checkLoopback is the control function of a dialer that connects to loopback addresses
// only. It sees each address that a name leads to, before anything is sent there.
func checkLoopback(_ context.Context, _, address string, _ syscall.RawConn) error {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Unmap().IsLoopback() {
		return nil
	}
	return ErrNotLoopback
}
