package wire

import (
	"context"
	"net"

	"archiverd/internal/uid"

	"github.com/emersion/go-imap/v2/imapclient"
)

// Logout sends LOGOUT, waits for the answer and closes the connection (RFC 9051
// 6.1.3). It takes no longer than Timeouts.Logout. The connection is closed
// whatever it returns.
func (c *Conn) Logout(ctx context.Context) error {
	cmd := command{name: cmdLogout, answerWait: c.options.Timeouts.Logout, onNO: ClassTransient, onBAD: ClassProtocol}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeouts.Logout)
	defer cancel()
	err := c.runGoIMAP(ctx, cmd, uid.Set{}, func(client *imapclient.Client) error { return client.Logout().Wait() })
	if bye, _ := c.server.lastWords(); bye != nil { // some servers close the connection without the tagged OK
		err = nil
	}
	_ = c.Close() // never fails
	return err
}

// LogoutNoWait sends LOGOUT and closes the connection without waiting for the
// answer, which saves a round trip. The server reads LOGOUT before it sees the end.
func (c *Conn) LogoutNoWait(ctx context.Context) error {
	cmd := command{name: cmdLogout, answerWait: c.options.Timeouts.Logout}
	err := c.exclusive(ctx, cmd, func() error {
		if err := c.send([]byte(c.nextTag() + " LOGOUT\r\n")); err != nil {
			return err
		}
		for _, conn := range []net.Conn{c.out, c.tcp} {
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // LOGOUT is on its way: nothing else matters
			}
		}
		return nil
	})
	_ = c.Close() // never fails
	return err
}
