package wire

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"

	"github.com/klauspost/compress/flate"
)

// Compress turns compression on in both directions (RFC 4978), if the server announces
// it; that it refuses is no error. It may be called at any time after the login, and
// again.
//
// All limits and the minimum rate count octets after inflation, so that a bomb is worth
// no more than the same octets sent as they are.
func (c *Conn) Compress(ctx context.Context) error {
	if c.compressSent || c.options.Compress == CompressNever || !c.HasCapability("COMPRESS=DEFLATE") {
		return nil
	}
	c.compressSent = true // or asked for in vain
	cmd := command{name: cmdCompress, answerWait: c.options.Timeouts.Idle, onNO: ClassMessage, onBAD: ClassMessage}
	return c.exclusive(ctx, cmd, func() error {
		answers, err := c.exchange([]string{"COMPRESS DEFLATE"}, 0, nil, nil)
		if err != nil {
			return err
		}
		if answers[0].kind != "OK" {
			switch err := c.refusal(answers[0], cmd); Classify(err) {
			case ClassBusy, ClassThrottled, ClassLogin: // of the server, not of the command
				return err
			}
			return nil
		}
		// Some servers end what they say for now with a block that is not empty, behind
		// which the standard library's reader would wait for more.
		//
		// No other command is in flight, so nobody reads or writes meanwhile. What was
		// read behind the OK is compressed.
		behind := c.in.takeBuffered()
		packed := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(behind), c.out), readBufferSize/4)
		d := &deflated{Conn: c.out, r: flate.NewReaderOpts(packed, flate.WithPartialBlock())}
		c.in.conn, c.out = d, d
		return nil
	})
}

// deflated is a connection with compression over it.
type deflated struct {
	net.Conn
	r io.Reader
}

func (d *deflated) Read(p []byte) (int, error) { return d.r.Read(p) }

// Write sends p in stored blocks (RFC 1951 3.2.4): what we say is short, and so
// nothing of it waits in a compressor, nor takes the memory of one. The empty block
// behind it tells the reader that this is all for now.
func (d *deflated) Write(p []byte) (int, error) {
	const most = 1<<16 - 1
	packed := make([]byte, 0, len(p)+5*(2+len(p)/most))
	for rest := p; len(rest) > 0; {
		n := min(len(rest), most)
		packed = append(packed, 0, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
		packed = append(packed, rest[:n]...)
		rest = rest[n:]
	}
	packed = append(packed, 0, 0, 0, 0xff, 0xff)
	if _, err := d.Conn.Write(packed); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite says that nothing more will be written.
func (d *deflated) CloseWrite() error {
	if half, ok := d.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
