package commit

import (
	"time"

	"archiverd/archive"
)

// A batch is full when it reaches one of these.
const (
	MaxMessages = 1000 // events that are messages
	MaxOctets   = 64 << 20
	MaxAge      = 10 * time.Second
	MaxEvents   = 10000 // events without octets, such as flags
)

// IsFull reports whether a batch that receives messages must be committed.
func IsFull(b *archive.Batch, now time.Time) bool {
	return b.Len() >= MaxMessages || b.Octets() >= MaxOctets || now.Sub(b.Started()) >= MaxAge
}
