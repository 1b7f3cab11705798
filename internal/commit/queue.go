package commit

import "archiverd/archive"

// MaxInFlight is how many batches of a producer may be in flight: submitted and not
// committed yet. The producer fills the next one meanwhile.
const MaxInFlight = 3

// maxOctetsInFlight bounds the octets of the batches of a producer in flight.
const maxOctetsInFlight = 2 * MaxOctets

// Queue bounds the batches of one producer that are in flight, in number and octets.
// It is owned by the producer's goroutine.
type Queue struct {
	committer  *Committer
	maxBatches int
	inFlight   []inFlight // oldest first
}

// inFlight is a batch that is submitted.
type inFlight struct {
	octets    int64
	committed chan struct{} // closed when its done has returned
}

// NewQueue returns an empty queue that allows at most maxBatches batches in flight.
func (c *Committer) NewQueue(maxBatches int) *Queue {
	return &Queue{committer: c, maxBatches: maxBatches}
}

// Submit waits until the batch is within the bounds and hands it to the committer.
// done is called as by [Committer.Submit]. A batch that is over the bounds by itself is
// submitted when no other one is in flight.
func (q *Queue) Submit(b *archive.Batch, done func(*archive.Batch)) {
	octets := b.Octets()
	for _, f := range q.inFlight {
		octets += f.octets
	}
	for len(q.inFlight) > 0 && (len(q.inFlight) >= q.maxBatches || octets > maxOctetsInFlight) {
		octets -= q.inFlight[0].octets
		q.waitOldest()
	}
	f := inFlight{b.Octets(), make(chan struct{})}
	q.inFlight = append(q.inFlight, f)
	q.committer.Submit(b, func(b *archive.Batch) {
		done(b)
		close(f.committed)
	})
}

func (q *Queue) waitOldest() {
	<-q.inFlight[0].committed
	q.inFlight = q.inFlight[1:]
}

// WaitAll waits until no batch of the queue is in flight.
func (q *Queue) WaitAll() {
	for len(q.inFlight) > 0 {
		q.waitOldest()
	}
}
