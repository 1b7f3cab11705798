package wire

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"archiverd/internal/testing/hostile"
)

// BenchmarkFetchBodies measures a message between socket and callback. The server runs in
// the same process and is measured too.
func BenchmarkFetchBodies(b *testing.B) {
	for _, security := range []Security{Plaintext, TLS} {
		for _, size := range []int{2 << 10, 8 << 10, 40 << 10} {
			b.Run(fmt.Sprintf("%s/%dKB", map[Security]string{Plaintext: "plain", TLS: "TLS"}[security], size>>10), func(b *testing.B) {
				body := strings.Repeat("x", size)
				o := hostile.Options{TLS: security == TLS, Mailboxes: inbox()}
				o.Script = func(s *hostile.Session, cmd hostile.Command) bool {
					if cmd.Name != "UID FETCH" {
						return false
					}
					for i := range b.N {
						s.Write(fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n", i+1, i+1, size))
						s.Write(body)
						s.Write(")\r\n")
					}
					return false
				}
				server := serve(b, o)
				client := options(server)
				client.Security = security
				c := connect(b, server, client)
				buf := make([]byte, 64<<10)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				n := 0
				err := c.FetchBodies(b.Context(), uidRange(1, uint32(b.N)), func(_ uint32, _ int64, r io.Reader) error {
					n++
					_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf)
					return err
				})
				if err != nil || n != b.N {
					b.Fatalf("%d of %d: %v", n, b.N, err)
				}
			})
		}
	}
}
