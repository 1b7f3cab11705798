package sync

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/internal/wire"
)

// slowLine brings 16 KiB at a time, with a pause before each: 1.6 MB a second.
type slowLine struct{ net.Conn }

func (l slowLine) Read(p []byte) (int, error) {
	<-time.After(10 * time.Millisecond)
	return l.Conn.Read(p[:min(len(p), 16<<10)])
}

// Over a slow line a run asks for compression between two pieces,
// unless the configuration says otherwise; what it archives is the same.
func TestCompress(t *testing.T) {
	for _, c := range []struct {
		name string
		when wire.Compress
		slow bool
		want string // COMPRESS among the commands: "", "late" or "first"
	}{
		{"auto, slow", wire.CompressAuto, true, "late"},
		{"off, slow", wire.CompressNever, true, ""},
		{"on, fast", wire.CompressAlways, false, "first"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTestbed(t)
			var boxes []hostile.Mailbox
			for i, name := range []string{"one", "two", "three"} {
				m := world.NewMailbox(name, uint32(i+1), 5)
				for j := range m.Messages {
					m.Messages[j].Body = append(m.Messages[j].Body, strings.Repeat("text of a long message ", 10_000)...)
				}
				boxes = append(boxes, m)
			}
			s := world.Serve(t, hostile.Options{Deflate: true, Mailboxes: boxes})
			acc := world.Alice(s.Address())
			acc.Connections, acc.Wire.Compress = 1, c.when
			if c.slow {
				acc.Wire.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
					return slowLine{conn}, err
				}
			}
			h.clean(acc)
			for _, m := range boxes {
				h.Holds(m)
			}
			got, bodies := "", false
			for _, command := range s.Commands() {
				bodies = bodies || strings.Contains(command, "BODY.PEEK")
				if strings.HasPrefix(command, "COMPRESS") {
					got = map[bool]string{false: "first", true: "late"}[bodies]
				}
			}
			if got != c.want {
				t.Errorf("COMPRESS came %q, want %q: %q", got, c.want, s.Commands())
			}
		})
	}
}
