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
// it. A refusal is no error. It may be called at any time after the login, and again.
//
// All limits and the minimum rate count octets after inflation, so that a decompression
// bomb gains nothing over the same octets sent plainly.
func (c *Conn) Compress(ctx context.Context) error {
	if c.compressSent || c.options.Compress == CompressNever || !c.HasCapability("COMPRESS=DEFLATE") {
		return nil
	}
	c.compressSent = true // also if the server refuses
	cmd := command{name: cmdCompress, answerWait: c.options.Timeouts.Idle, onNO: ClassMessage, onBAD: ClassMessage}
	return c.exclusive(ctx, cmd, func() error {
		answers, err := c.exchange([]string{"COMPRESS DEFLATE"}, 0, nil, nil)
		if err != nil {
			return err
		}
		if answers[0].kind != "OK" {
			switch err := c.refusal(answers[0], cmd); Classify(err) {
			case ClassBusy, ClassThrottled, ClassLogin: // the server refuses, not the command
				return err
			}
			return nil
		}
		// No other command runs, so nobody reads or writes meanwhile. Octets read behind
		// the OK are compressed.
		//
		// Some servers end an answer with a block that is not empty. The standard
		// library's reader would wait for more behind it, this one does not.
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

// Write sends p in stored blocks (RFC 1951 3.2.4): commands are short, and this needs
// no compressor's memory and delays nothing. The empty block at the end flushes.
func (d *deflated) Write(p []byte) (int, error) {
	const maxBlock = 1<<16 - 1
	packed := make([]byte, 0, len(p)+5*(2+len(p)/maxBlock))
	for rest := p; len(rest) > 0; {
		n := min(len(rest), maxBlock)
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

// CloseWrite closes the connection for writing.
func (d *deflated) CloseWrite() error {
	if half, ok := d.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
