package wire

import "time"

// A link is slow below slowLinkSpeed octets a second, measured over at least
// slowLinkMinOctets and slowLinkMinTime. Mail compresses to a half or less, and a
// server's processor deflates some 20 MiB/s: below a fifth of that the work is small
// compared with what it saves.
const (
	slowLinkSpeed     = 4 << 20
	slowLinkMinOctets = 256 << 10
	slowLinkMinTime   = time.Second / 2
)

// throughput measures the link in the middle of answers: neither a round trip, nor a
// server that works, nor a slow disk of ours counts.
type throughput struct {
	octets int64
	waited time.Duration // for the network
}

func (t *throughput) add(n int, waited time.Duration) {
	t.octets += int64(n)
	t.waited += waited
}

func (t *throughput) isSlow() bool {
	return t.octets >= slowLinkMinOctets && t.waited >= slowLinkMinTime &&
		float64(t.octets) < slowLinkSpeed*t.waited.Seconds()
}

// IsSlow says whether the link was measured to be so slow that compression pays.
func (c *Conn) IsSlow() bool { return c.in.throughput.isSlow() }
